"""A member that was greeted before it knew its ring did not hear of it, and nobody said it again:
so whoever waited for all links at the founding of a ring waited for the whole grace period."""

from __future__ import annotations

import pytest

from dynamokv.runtime.arrival import all_linked
from dynamokv.testing.simulation.cluster import Cluster


@pytest.mark.parametrize("seed", range(10))
def test_founders_hear_from_each_other_at_once(seed: int) -> None:
    cluster = Cluster(seed=seed, memory=True)
    members = cluster.ring(3)
    ready_ns = cluster.now_ns
    cluster.run_until(
        lambda: all(all_linked(one.home, member=True) for one in members), seconds=0.2
    )
    assert cluster.now_ns - ready_ns < 200_000_000
