"""The plug-in as projects meet it: silent, light, and of help when a test fails."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.testing.plugged import run_pytest

FAILING = """
def test_broken(dynamokv_ring):
    ring = dynamokv_ring(2)
    ring[0].put("key", 1)
    ring.crash("n2")
    assert ring.seed not in (0, 3)
"""


def outcomes(stdout: str) -> dict[str, int]:
    """What the last line counts."""
    return {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|error)", stdout[-100:])}


def test_fixtures_give_a_ring_and_a_node(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import dynamokv
import pytest

rings = []

def test_ring(dynamokv_ring, dynamokv_seed):
    ring = dynamokv_ring(3, durability="os")
    assert [node.name for node in ring] == ["n1", "n2", "n3"]
    assert ring.seed == dynamokv_seed == 0
    assert len(dynamokv_ring()) == 3
    assert dynamokv_ring(1, seed=5).seed == 5
    rings.append(ring)

def test_ring_is_closed_afterwards():
    with pytest.raises(dynamokv.ClosedError):
        rings[0].advance(1)

def test_node(dynamokv_node):
    dynamokv_node["key"] = 1
    assert dynamokv_node.get("key") == 1
    assert len(dynamokv_node.status()["members"]) == 1
"""
    )
    run = run_pytest("-q", "test_it.py", cwd=tmp_path)
    assert outcomes(run.stdout) == {"passed": 3}, run.stdout + run.stderr


def test_a_failure_says_how_to_repeat_it(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FAILING)
    run = run_pytest("test_it.py", cwd=tmp_path)
    assert outcomes(run.stdout) == {"failed": 1}, run.stdout
    assert "simulated ring" in run.stdout
    assert "seed 0, " in run.stdout
    assert "n1 up, n2 down" in run.stdout
    assert "n1    put 'key': done" in run.stdout
    assert "n2    lost its power" in run.stdout
    (command,) = re.findall(r"^python -m pytest (.*)", run.stdout, re.MULTILINE)
    assert command.endswith("--dynamokv-seed=0")
    again = run_pytest(*shlex.split(command), cwd=tmp_path)
    assert outcomes(again.stdout) == {"failed": 1}


OWN_SEED = """
import pytest

@pytest.fixture
def rings(dynamokv_ring):
    yield dynamokv_ring(2, seed=5), dynamokv_ring(1)
    assert False, "after the test"

def test_broken_later(rings):
    rings[0][0].put("key", 1)
"""


def test_a_fixture_that_fails_afterwards_says_it_too(tmp_path: Path) -> None:
    """Once, whatever seeds its rings have, and from whichever folder it was run."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_it.py").write_text(OWN_SEED)
    run = run_pytest("--rootdir", str(tmp_path), "test_it.py", cwd=folder)
    assert outcomes(run.stdout) == {"passed": 1, "error": 1}, run.stdout
    assert "n1    put 'key': done" in run.stdout
    (place, command) = re.findall(r"^cd (.*) && python -m pytest (.*)", run.stdout, re.MULTILINE)[0]
    assert command.endswith("--dynamokv-seed=0")
    again = run_pytest(*shlex.split(command), cwd=Path(place))
    assert outcomes(again.stdout) == {"passed": 1, "error": 1}, again.stdout


UNITTEST = """
import unittest
import pytest

class TestIt(unittest.TestCase):
    @pytest.mark.dynamokv_seeds(3)
    def test_it(self):
        pass
"""


def test_a_marker_without_effect_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(UNITTEST)
    run = run_pytest("test_it.py", cwd=tmp_path)
    assert "dynamokv_seeds does nothing for test_it.py::TestIt::test_it" in run.stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--dynamokv-seeds=4",), {"passed": 2, "failed": 2}),
        (("--dynamokv-seed=3",), {"failed": 1}),
        (("--dynamokv-seed=7", "--dynamokv-seed=3"), {"passed": 1, "failed": 1}),
        (("--dynamokv-seed=7", "--dynamokv-seeds=2"), {"passed": 2, "failed": 1}),
    ],
)
def test_seeds_can_be_chosen(
    tmp_path: Path, options: tuple[str, ...], expected: dict[str, int]
) -> None:
    (tmp_path / "test_it.py").write_text(FAILING)
    run = run_pytest("-q", "--no-summary", "--tb=no", *options, "test_it.py", cwd=tmp_path)
    assert outcomes(run.stdout) == expected, run.stdout


def test_a_test_can_ask_for_seeds_itself(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import pytest

@pytest.mark.dynamokv_seeds(3)
@pytest.mark.parametrize("kind", "ab")
def test_marked(kind, dynamokv_ring):
    assert dynamokv_ring(1)[0].put("key", kind).acks == 1

def test_asked_for_later(request):
    assert request.getfixturevalue("dynamokv_ring")(1).seed == 0
"""
    )
    run = run_pytest("-v", "test_it.py", cwd=tmp_path)
    assert outcomes(run.stdout) == {"passed": 7}, run.stdout
    assert "test_marked[a-seed2] PASSED" in run.stdout
    run = run_pytest("-v", "--dynamokv-seed=9", "test_it.py", cwd=tmp_path)
    assert "test_marked[b-seed9] PASSED" in run.stdout


@pytest.mark.parametrize("marker", ["dynamokv_seeds", "dynamokv_seeds(0)", "dynamokv_seeds('1')"])
def test_a_marker_that_says_nothing_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "test_it.py").write_text(
        f"import pytest\n@pytest.mark.{marker}\ndef test_it(dynamokv_ring): pass\n"
    )
    run = run_pytest("test_it.py", cwd=tmp_path)
    assert "@pytest.mark.dynamokv_seeds(20)" in run.stdout + run.stderr
    assert "passed" not in run.stdout


def test_who_does_not_use_it_does_not_notice_it(tmp_path: Path) -> None:
    """Neither sockets nor event loops are imported, and names come when they are used."""
    (tmp_path / "test_it.py").write_text(
        """
import sys

def test_light():
    assert "dynamokv.testing.plugin" in sys.modules
    heavy = ["zmq", "cbor2", "dynamokv.api", "dynamokv.protocol", "dynamokv.runtime"]
    assert not set(heavy) & set(sys.modules)

def test_names_come_when_they_are_used():
    import dynamokv

    assert dynamokv.Node.__name__ == "Node"
    assert "zmq" in sys.modules
    assert all(hasattr(dynamokv, name) for name in dynamokv.__all__)
    assert not hasattr(dynamokv, "no_such_name")
"""
    )
    run = run_pytest("-q", "test_it.py", cwd=tmp_path)
    assert outcomes(run.stdout) == {"passed": 2}, run.stdout


def test_doubles_of_the_package_have_all_of_it_and_stay(tmp_path: Path) -> None:
    """Names that come later are there for whoever looks first, and take nobody's place."""
    (tmp_path / "test_it.py").write_text(
        """
from unittest import mock

import dynamokv

def test_all_of_it():
    assert "join" not in vars(dynamokv), "it came too early for this test"
    assert set(dynamokv.__all__) <= set(dir(dynamokv))
    dynamokv.join = "mine"
    assert dynamokv.Node.__name__ == "Node"
    assert dynamokv.join == "mine"
    assert mock.create_autospec(dynamokv).connect("127.0.0.1:1") is not None
"""
    )
    run = run_pytest("-q", "test_it.py", cwd=tmp_path)
    assert outcomes(run.stdout) == {"passed": 1}, run.stdout
