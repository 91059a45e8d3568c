"""The micro-benchmarks of ``benchmarks/micro``, run by pytest-benchmark in a process of their own,
and their results as rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.child import ROOT
from benchmarks.figures import Figure, Row
from benchmarks.workload import MICROSECONDS

FOLDER: Final = "benchmarks/micro"
QUICK: Final = ("--benchmark-max-time=0.01", "--benchmark-min-rounds=2")


class PiecesFailed(Exception):
    """pytest did not succeed; the message is what it printed."""


def run(*, quick: bool) -> list[Row]:
    """Run all of them; one row each."""
    with tempfile.TemporaryDirectory(prefix="dynamokv-bench-") as folder:
        found = Path(folder) / "found.json"
        command = [sys.executable, "-m", "pytest", FOLDER, "--benchmark-only", "--benchmark-quiet"]
        command += ["--benchmark-disable-gc", f"--benchmark-json={found}", "-q"]
        command += ["-p", "no:cacheprovider", *(QUICK if quick else ())]
        # What a pytest around this one was told (workers, options) is not meant for this one.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(
            command, cwd=ROOT, env=inherited, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PiecesFailed(done.stdout + done.stderr)
        return [_row(entry) for entry in json.loads(found.read_bytes())["benchmarks"]]


def _row(entry: dict[str, Any]) -> Row:
    module, _, name = entry["fullname"].rpartition("/")[2].partition("::")
    piece = module.removeprefix("test_").removesuffix(".py")
    label = name.removeprefix("test_").replace("_", " ").replace("[", ": ").removesuffix("]")
    stats = entry["stats"]
    return Row(
        f"micro.{piece}.{name.removeprefix('test_')}",
        Figure(f"micro: {piece}", label, "us"),
        tuple(stats[column] * MICROSECONDS for column in ("min", "median", "q3")),
    )
