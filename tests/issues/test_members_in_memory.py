"""A member without a data directory could never come back: its address was taken, by itself.

It has a new id each time. So had a member whose disk was lost, and the ring stayed one short until
it was founded anew.
"""

from __future__ import annotations

import pytest

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from tests.protocol.cluster import plain_cluster
from tests.protocol.lone import get_request, put_request

NAMES = [name_of(b"", b"%d" % number) for number in range(50)]


def write(cluster: Cluster, member: Process, value: bytes) -> None:
    for name in NAMES:
        assert type(cluster.ask(member, put_request(names=[name], values=[value]))) is m.PutDone


def found(cluster: Cluster, member: Process, level: int) -> set[bytes]:
    values: set[bytes] = set()
    for name in NAMES:
        done = cluster.ask(member, get_request(name, level=level))
        assert type(done) is m.GetDone
        values.update(version.value for version in records.decode(done.records[0]).versions)
    return values


def lose(cluster: Cluster, member: Process) -> Process:
    """Its process ends, nothing is left of it, and it is started as before."""
    machine = cluster.kill(member)
    machine.wipe()
    return cluster.start(machine)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_it_takes_its_own_place_and_is_filled(number: int) -> None:
    cluster = plain_cluster()
    members = cluster.ring(3)
    write(cluster, members[0], b"held")
    cluster.run(1.0)
    members[number] = again = lose(cluster, members[number])
    cluster.run(3.0)
    assert again.ready
    others = [member for member in members if member is not again]
    assert found(cluster, again, Consistency.ONE) == {b"held"}
    for other in others:
        cluster.kill(other)
    cluster.run(1.0)
    assert found(cluster, again, Consistency.ONE) == {b"held"}, "it has everything itself"


def test_all_of_them_one_after_the_other() -> None:
    cluster = plain_cluster()
    members = cluster.ring(5, n=3)
    owners = members[0].home.owners
    write(cluster, members[0], b"held")
    for turn in range(2):
        for number in range(5):
            members[number] = lose(cluster, members[number])
            cluster.run(3.0)
            assert members[number].ready, (turn, number)
    assert found(cluster, members[0], Consistency.QUORUM) == {b"held"}
    topology = members[0].home.topology
    assert topology is not None
    places = {member.node_id: member.place for member in topology.members}
    assert [{places[owner] for owner in each} for each in members[0].home.owners] == [
        set(each) for each in owners
    ]


def test_what_one_other_acknowledged_with_the_lost_one_is_read() -> None:
    """A quorum of the replacement and the third would miss it."""
    cluster = plain_cluster()
    first, second, third = cluster.ring(3)
    cluster.network.cut("n1:1", "n3:1")
    cluster.network.cut("n2:1", "n3:1")
    cluster.run(0.1)
    write(cluster, first, b"by two")
    machine = cluster.kill(first)
    machine.wipe()
    cluster.network.heal()
    again = cluster.start(machine)
    while third.home.replacement is None:
        cluster.run(0.0005)
    cluster.network.cut("n2:1", "n3:1")
    cluster.network.cut("n2:1", "n1:1")
    cluster.run(5.0)
    assert not again.ready, "it could read one of two only"
    reply = cluster.ask(third, get_request(NAMES[0]))
    assert type(reply) is m.Failed
    cluster.network.heal()
    cluster.run(5.0)
    assert again.ready
    assert second.alive
    assert found(cluster, again, Consistency.QUORUM) == {b"by two"}
