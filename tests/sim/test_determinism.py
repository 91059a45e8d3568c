"""One seed is one run, to the last byte: whatever the hash seed of Python, and its version."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import pytest

from dynamokv.testing.campaign.plan import draw
from dynamokv.testing.campaign.run import play
from tests.sim.second_python import FOLDER, ROOT, python_in, reason_in

SEEDS = 50


@cache
def fingerprints(python: str, hash_seed: str) -> list[str]:
    """Of the first seeds, each from a process of its own kind."""
    command = [python, "-m", "dynamokv.testing.campaign", "--fingerprints"]
    command += ["--seeds", str(SEEDS), "--seconds", "1", "--rate", "30"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert len(set(lines)) == SEEDS
    return lines


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
    other, reason = python_in(FOLDER), reason_in(FOLDER)
    if not other.exists():
        text = reason.read_text("utf-8") if reason.exists() else "`make test` has not been run here"
        pytest.skip(f"no second version of Python: {text}")
    assert fingerprints(sys.executable, "1") == fingerprints(str(other), "1")
