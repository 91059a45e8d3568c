"""``python -m tests.sim.second_python FOLDER``: an environment of another version of Python, for
the test that both play the same seeds.

Rules:
    - It has what the library needs to run, and nothing else: the checkout itself is given to it.
    - Wheels only. A version for which something would have to be compiled is passed over.
    - No other version, or no way to install, is no error: the folder then holds the reason, and the
      test that wanted it is skipped with that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".venv-second"

MINORS: Final = range(20, 10, -1)
"""Of Python 3, the newest first; the library needs 3.11."""

MANAGERS: Final = (("pyenv root", "versions"), ("uv python dir", ""))
"""Commands that say where a version manager keeps its versions, and the folder in there. What they
put on the PATH may be of one version only, or start nothing."""

SECONDS: Final = 120.0
"""For an installation: beyond that it is given up."""

_LOOK: Final = "import sys, venv; print('3.%d' % sys.version_info[1])"
_HERE: Final = f"3.{sys.version_info.minor}"


def python_in(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def reason_in(folder: Path) -> Path:
    """Where it says why there is none."""
    return folder / "reason.txt"


def candidates() -> Iterator[str]:
    """Whatever may be another Python."""
    kept = list(_folders_of_managers())
    for minor in MINORS:
        name = f"python3.{minor}"
        found = shutil.which(name)
        if found is not None:
            yield found
        for folder in kept:
            yield from sorted(map(str, folder.glob(f"*/bin/{name}")))


def others(paths: Iterable[str]) -> Iterator[str]:
    """Those that run, and are of another version than this one; one of each."""
    versions = {_HERE}
    for path in paths:
        version = _said([path, "-c", _LOOK])
        if re.fullmatch(r"3\.\d+", version) and version not in versions:
            versions.add(version)
            yield path


def set_up(folder: Path, paths: Iterable[str]) -> str:
    """Make the environment, of the first of these that can have it. Returns why there is none, or
    nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    reason = "no other version of Python that can be used is installed here"
    for path in others(paths):
        shutil.rmtree(folder, ignore_errors=True)
        make = [path, "-m", "venv", "--without-pip", str(folder)]
        pip = [sys.executable, "-m", "pip", "--python", str(python_in(folder)), "install", "-q"]
        try:
            for command in (make, [*pip, "--only-binary", ":all:", *project["dependencies"]]):
                subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"{path} is another version of Python, and could not be set up: {error}"
            continue
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    reason_in(folder).write_text(reason, "utf-8")
    return reason


def _folders_of_managers() -> Iterator[Path]:
    for command, below in MANAGERS:
        said = _said(command.split())
        if said:
            yield Path(said) / below


def _said(command: list[str]) -> str:
    """What a command printed, if it could be run and went well."""
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


def main(arguments: list[str]) -> int:
    """Tell how it went. The exit code is 0 in any case."""
    folder = Path(arguments[0]) if arguments else FOLDER
    reason = set_up(folder, candidates())
    text = f"not made: {reason}" if reason else f"made with Python {_said(_version_of(folder))}"
    sys.stdout.write(f"{folder.name} {text}\n")
    if not reason:
        (folder / ".ready").touch()
    return 0


def _version_of(folder: Path) -> list[str]:
    return [str(python_in(folder)), "-c", _LOOK]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
