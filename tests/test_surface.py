"""What ``import dynamokv`` offers is what ``__all__`` says: sorted, complete, and nothing besides.

Everything else is private by this test, whatever its name, and may change without notice.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import dynamokv
from dynamokv import errors

ROOT: Final = Path(__file__).resolve().parents[1]

PROMISED: Final = frozenset(
    {
        "AsyncNode",
        "Bucket",
        "Client",
        "Consistency",
        "DistributedKVStore",
        "Entry",
        "Node",
        "NodeConfig",
        "Receipt",
        "connect",
        "join",
        "join_async",
    }
)
"""Names that examples, documentation and applications build on. Every error is promised too."""


def surface() -> list[str]:
    assert hasattr(dynamokv, "__all__"), "dynamokv/__init__.py has to list its names in __all__"
    return list(dynamokv.__all__)


def test_the_surface_is_sorted_and_names_nothing_twice() -> None:
    assert surface() == sorted(set(surface()))


def test_every_name_resolves() -> None:
    missing = [name for name in surface() if not hasattr(dynamokv, name)]
    assert not missing


def test_nothing_public_is_left_out() -> None:
    public = {
        name
        for name, value in vars(dynamokv).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and type(value).__module__ != "__future__"
    }
    assert public
    assert not public - set(surface())


def test_the_promised_names_are_there() -> None:
    assert set(surface()) >= PROMISED


def test_every_error_can_be_caught_by_its_public_name() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.DynamoKVError)
    }
    assert "DynamoKVError" in tree
    assert tree <= set(surface())
    assert all(getattr(dynamokv, name) is getattr(errors, name) for name in tree)


def test_the_import_is_light() -> None:
    """The kit and its tools are for those who ask for them."""
    script = "import sys, dynamokv; print(*sorted(sys.modules), sep='\\n')"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "dynamokv" in loaded
    heavy = {
        "dynamokv.cli",
        "dynamokv.contrib",
        "dynamokv.testing",
        "hypothesis",
        "pytest",
        "uvloop",
    }
    assert not loaded & heavy
