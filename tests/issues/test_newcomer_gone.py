"""A newcomer that died before it was filled kept its place for ever, and nobody could join.

It kept ``change`` in the record: every later joiner was told to wait for it. A process without a
data directory comes back under a new id, so nobody could ever finish its copy.
"""

from __future__ import annotations

from dynamokv import limits
from dynamokv.ring.topology import Topology
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from tests.protocol.cluster import plain_cluster


def record_of(member: Process) -> Topology:
    assert member.home.topology is not None
    return member.home.topology


def stuck(cluster: Cluster) -> tuple[Process, Process]:
    """A ring of one, and a newcomer that is in the record and not filled."""
    seeds = ("n1:1",)
    first = cluster.member("n1", seeds=seeds)
    cluster.run(2.0)
    second = cluster.member("n2", seeds=seeds)
    while record_of(first).change is None:
        cluster.run(0.001)
    assert not second.ready
    return first, second


def test_its_address_gets_its_place_at_once() -> None:
    cluster = plain_cluster()
    first, second = stuck(cluster)
    machine = cluster.power_cut(second)
    machine.wipe()
    again = cluster.start(machine)
    cluster.run(3.0)
    assert again.ready
    assert len(record_of(first).members) == 2


def test_another_one_gets_it_after_a_while_and_it_may_come_back() -> None:
    cluster = plain_cluster()
    first, second = stuck(cluster)
    machine = cluster.power_cut(second)
    third = cluster.member("n3", seeds=("n1:1",))
    cluster.run(limits.NEWCOMER_GRACE_SECONDS - 1.0)
    assert not third.ready
    cluster.run(3.0)
    assert third.ready
    second = cluster.start(machine)
    cluster.run(5.0)
    assert second.ready
    assert record_of(first).change is None
    assert len(record_of(first).members) == 3
