"""Every example runs as it stands, from anywhere, prints what it says, and fails when it should."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.documents import expected_output, run_python
from tests.testing.plugged import run_pytest

FOLDER: Final = Path(__file__).resolve().parents[2] / "examples"
TESTS: Final = sorted(FOLDER.glob("test_*.py"))
EXAMPLES: Final = [path for path in sorted(FOLDER.glob("*.py")) if path not in TESTS]
LINES_MAX: Final = 100


def test_there_are_examples() -> None:
    assert {"quickstart.py", "quickstart_async.py"} <= {path.name for path in EXAMPLES}
    assert {"test_cart_conflicts.py"} <= {path.name for path in TESTS}


@pytest.mark.parametrize("path", [*EXAMPLES, *TESTS], ids=lambda path: path.stem)
def test_it_is_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < LINES_MAX


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_prints_what_it_says_and_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    promised = expected_output(path.read_text("utf-8"))
    assert promised
    run = run_python(str(path), cwd=tmp_path, TMPDIR=str(tmp_path))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == promised
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_fails_when_something_is_off(path: Path, tmp_path: Path) -> None:
    """Here: rings that take two members only."""
    run = run_python(str(path), cwd=tmp_path, TMPDIR=str(tmp_path), DYNAMOKV_N="2")
    assert run.returncode == 1
    assert "JoinRefused" in run.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_its_tests_pass_under_any_seed(path: Path, tmp_path: Path) -> None:
    ini = str(tmp_path / "pytest.ini")  # and none that is near the example
    run = run_pytest("-q", "-c", ini, "--dynamokv-seeds=5", str(path), cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    count = path.read_text("utf-8").count("\ndef test_")
    assert f"{5 * count} passed" in run.stdout
