"""A founder that had lost its data founded a second ring, while its own was out of reach.

No other seed answered within its second of grace, and it took that for a beginning. What it was
given afterwards was lost when the two met, or stayed a ring of its own for ever.
"""

from __future__ import annotations

from tests.protocol.cluster import plain_cluster


def test_it_waits_until_it_knows() -> None:
    cluster = plain_cluster()
    first, second, _ = cluster.ring(3)
    machine = cluster.kill(first)
    machine.wipe()
    for other in ("n2:1", "n3:1"):
        cluster.network.cut("n1:1", other)
    again = cluster.start(machine, expect_members=None)
    cluster.run(60.0)
    assert not again.ready
    assert again.home.topology is None
    cluster.network.heal()
    cluster.run(10.0)
    assert again.ready
    assert again.home.topology == second.home.topology


def test_a_ring_of_two_begins_when_both_are_there() -> None:
    cluster = plain_cluster()
    seeds = ("n1:1", "n2:1")
    first = cluster.member("n1", seeds=seeds)
    cluster.run(10.0)
    assert not first.ready
    second = cluster.member("n2", seeds=seeds)
    cluster.run(10.0)
    assert first.ready
    assert second.ready
    assert first.home.topology == second.home.topology
