"""Everybody is killed at once, and comes back from disk: what was acknowledged is there."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.chaos.ring import Ring

SERVING_SECONDS = 10.0


def test_all_killed_and_back(tmp_path: Path) -> None:
    kill_all(tmp_path, "fsync", cycles=3, seed=11)


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("durability", ["os", "interval", "fsync"])
def test_all_killed_many_times(tmp_path: Path, durability: str, seed: int) -> None:
    """A kill is no power cut: what the kernel took is not lost, whatever the durability."""
    kill_all(tmp_path, durability, cycles=20, seed=seed)


def kill_all(folder: Path, durability: str, cycles: int, seed: int) -> None:
    rng = random.Random(seed)
    with Ring(folder, durability=durability) as ring:
        for cycle in range(cycles):
            for number, member in enumerate(ring.members):
                member.ask("load", f"c{cycle}-{number}", 3, False)
            ring.wait_acks(rng.randrange(50, 600))
            ring.kill_all()
            started = time.monotonic()
            ring.restart_all()
            assert time.monotonic() - started < SERVING_SECONDS
            ring.assert_nothing_lost()
            for number, member in enumerate(ring.members):
                member.ask("put", f"after-{cycle}-{number}", number, consistency="ALL")
