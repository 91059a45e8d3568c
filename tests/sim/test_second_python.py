"""The environment of another Python: whatever does not run, or is of this version, is passed over;
and where nothing is left the reason is kept."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sim.second_python import others, python_in, reason_in, set_up


def fake_python(folder: Path, version: str) -> str:
    """Something that says it is a Python, and can do nothing else."""
    path = folder / f"python{version}"
    path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo {version}\n', "utf-8")
    path.chmod(0o755)
    return str(path)


def test_only_what_runs_and_differs(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 127\n", "utf-8")
    broken.chmod(0o755)
    one, other = fake_python(tmp_path, "3.98"), fake_python(tmp_path, "3.99")
    paths = [str(broken), str(tmp_path / "absent"), sys.executable, one, one, other]
    assert list(others(paths)) == [one, other]


def test_the_reason_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    assert "no other version" in set_up(folder, [sys.executable])
    assert "no other version" in reason_in(folder).read_text("utf-8")
    assert "could not be set up" in set_up(folder, [fake_python(tmp_path, "3.99")])
    assert "could not be set up" in reason_in(folder).read_text("utf-8")
    assert not python_in(folder).exists()
