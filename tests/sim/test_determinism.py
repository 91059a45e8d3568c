"""One seed is one run, to the last byte: whatever the hash seed of Python, and its version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dynamokv.testing.campaign.plan import draw
from dynamokv.testing.campaign.run import play

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 50
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
NEEDED = "import cbor2, xxhash, zmq, zstandard"


def fingerprints(python: str, hash_seed: str) -> list[str]:
    """Of the first seeds, each from a process of its own kind."""
    command = [python, "-m", "dynamokv.testing.campaign", "--fingerprints"]
    command += ["--seeds", str(SEEDS), "--seconds", "1", "--rate", "30"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert len(set(lines)) == SEEDS
    return lines


def another_python() -> str | None:
    """One of another version that has what this library needs."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in VERSIONS:
        path = shutil.which(f"python{version}") if version != here else None
        if path is None:
            continue
        if subprocess.run([path, "-c", NEEDED], capture_output=True, check=False).returncode == 0:
            return path
    return None


def test_twice_in_one_process() -> None:
    plan = draw(7, 1.0)
    first, second = play(plan), play(plan)
    assert first.fingerprint == second.fingerprint
    assert first.happened == second.happened


def test_seeds_differ() -> None:
    assert play(draw(1, 0.5)).fingerprint != play(draw(2, 0.5)).fingerprint


def test_two_hash_seeds() -> None:
    assert fingerprints(sys.executable, "1") == fingerprints(sys.executable, "2")


def test_two_versions_of_python() -> None:
    other = another_python()
    if other is None:
        pytest.skip("no other version of Python is installed here with what this library needs")
    assert fingerprints(sys.executable, "1") == fingerprints(other, "1")
