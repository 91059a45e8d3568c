"""The first member came back without its data, and asked itself for a place until its time was up.

Nobody else can let it in, and now it is told so at once.
"""

from __future__ import annotations

import pytest

from tests.protocol.cluster import plain_cluster


@pytest.mark.parametrize("seeds", [("n1:1", "n2:1"), ("n2:1", "n1:1")])
def test_it_is_told_what_is_missing(seeds: tuple[str, ...]) -> None:
    cluster = plain_cluster()
    first, *_ = cluster.ring(3)
    machine = cluster.power_cut(first)
    machine.wipe()
    cluster.run(0.1)
    again = cluster.start(machine, seeds=seeds, expect_members=1)
    cluster.run(1.0)
    assert len(again.refused) == 1
    assert "n1:1 belongs to the ring's first member" in again.refused[0]
