"""pytest as users run it: in a process of its own, with dynamokv's plug-in found by its entry
point."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

from tests.documents import ROOT, run_python

# pytest-asyncio would load an event loop, and warn of a setting that it wants.
OPTIONS = "--strict-markers -p no:cacheprovider -p no:asyncio"
METADATA = "Metadata-Version: 2.1\nName: dynamokv\nVersion: 0\n"


def run_pytest(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run tests. The entry point is what pyproject.toml says, also where nobody installed it."""
    (cwd / "pytest.ini").write_text(f"[pytest]\naddopts = {OPTIONS}\n")
    site = str(installed(cwd))
    return run_python("-m", "pytest", *arguments, cwd=cwd, PYTHONPATH=f"{ROOT}:{site}")


def installed(folder: Path) -> Path:
    """A folder for ``sys.path`` in which dynamokv is installed, as far as metadata goes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = ["[pytest11]"]
    lines += [f"{name} = {target}" for name, target in project["entry-points"]["pytest11"].items()]
    place = folder / "site" / "dynamokv-0.dist-info"
    place.mkdir(parents=True, exist_ok=True)
    (place / "entry_points.txt").write_text("\n".join(lines))
    (place / "METADATA").write_text(METADATA)
    return place.parent
