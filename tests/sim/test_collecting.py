"""Deleted keys in a whole ring, in virtual time: the sequences by which others got them back."""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import Message
from tests.protocol.cluster import plain_cluster

GRACE = 2.0
KEY = name_of(b"", b"P")


def ring() -> tuple[Cluster, list[Process]]:
    cluster = plain_cluster()
    return cluster, cluster.ring(3, tombstone_grace=GRACE)


def put(cluster: Cluster, at: Process, value: bytes, *, level: int = Consistency.QUORUM) -> None:
    """Write, or delete where there is no value."""
    request = m.PutRequest(0, 0, 5_000, level, True, not value, 0, [KEY], [value], [])
    assert type(cluster.ask(at, request)) is m.PutDone


def shown(cluster: Cluster, at: Process, level: int = Consistency.QUORUM) -> list[bytes]:
    """What a read shows."""
    answer: Message = cluster.ask(at, m.GetRequest(0, 0, 5_000, level, True, [KEY]))
    assert type(answer) is m.GetDone
    record = answer.records[0]
    return records.live_values(record, at.clock.wall_ms()) if record else []


def stored(process: Process) -> bytes | None:
    return process.engine.get(process.home.locate(KEY)[0])


def test_the_eleven_steps_of_a_hint_that_outlives_its_tombstone() -> None:
    """Scylla issue 23712 (row 19), by its numbers."""
    cluster, (n1, n2, n3) = ring()  # 1) collected by repair
    cluster.stop(n2)  # 2) node 2 goes down
    cluster.run(5.0)
    put(cluster, n1, b"old")  # 3) P is written, with node 1 as coordinator
    assert n1.home.hints.accounts  # 4) node 1 keeps a hint for node 2
    cluster.stop(n1)  # 5) node 1 goes down
    n2 = cluster.start(n2.machine)  # 6) node 2 is back
    cluster.run(5.0)
    put(cluster, n2, b"")  # 7) P is deleted, at node 2
    cluster.run(60.0)  # 8) time enough for many rounds
    assert stored(n2) is not None, "9) the tombstone stays while somebody is away"
    n1 = cluster.start(n1.machine)  # 10) node 1 is back, and gives away what it kept
    cluster.run(60.0)
    assert [stored(process) for process in (n1, n2, n3)] == [None] * 3
    for process in (n1, n2, n3):  # 11) nothing has come back
        assert shown(cluster, process) == []


def test_an_owner_that_was_cut_off_has_not_kept_what_was_deleted() -> None:
    """Row 18."""
    cluster, members = ring()
    n1, n2, n3 = members
    put(cluster, n1, b"old", level=Consistency.ALL)
    cluster.network.partition([n3.address], [n1.address, n2.address])
    cluster.run(5.0)
    put(cluster, n1, b"")
    cluster.run(60.0)
    assert stored(n1) is not None
    cluster.network.reunite([n3.address], [n1.address, n2.address])
    cluster.run(60.0)
    assert [stored(process) for process in members] == [None] * 3
    for process in members:
        assert shown(cluster, process, Consistency.ALL) == []


def test_a_member_that_comes_from_a_backup_does_not_bring_back_what_was_deleted() -> None:
    """Row 27: its copy is older than the delete, which all others have forgotten."""
    cluster, members = ring()
    n1, n2, n3 = members
    put(cluster, n1, b"old", level=Consistency.ALL)
    backup = n3.machine.snapshot()
    put(cluster, n1, b"", level=Consistency.ALL)
    cluster.run(30.0)
    assert [stored(process) for process in members] == [None] * 3
    cluster.kill(n3)
    n3.machine.restore(backup)
    n3 = cluster.start(n3.machine)
    cluster.run(60.0)
    assert stored(n3) is None
    for process in (n1, n2, n3):
        assert shown(cluster, process, Consistency.ALL) == []


def test_nothing_is_sent_back_and_forth_afterwards() -> None:
    """Row 22: no read repairs anything, and no row is left."""
    cluster, members = ring()
    put(cluster, members[0], b"old", level=Consistency.ALL)
    put(cluster, members[0], b"", level=Consistency.ALL)
    cluster.run(30.0)
    before = sum(process.home.counters["read_repairs"] for process in members)
    for _ in range(20):
        for process in members:
            assert shown(cluster, process, Consistency.ALL) == []
    cluster.run(30.0)
    assert sum(process.home.counters["read_repairs"] for process in members) == before
    assert [stored(process) for process in members] == [None] * 3


def test_a_key_that_is_made_anew_stays() -> None:
    """Row 4: whatever comes late of its old life."""
    cluster, members = ring()
    n1, _, n3 = members
    put(cluster, n1, b"old", level=Consistency.ALL)
    old = stored(n3)
    put(cluster, n1, b"", level=Consistency.ALL)
    tombstone = stored(n3)
    assert old is not None
    assert tombstone is not None
    cluster.run(30.0)
    put(cluster, n3, b"new", level=Consistency.ALL)
    key = n1.home.locate(KEY)[0]
    for process in members:
        for late in (old, tombstone):
            message = m.Replicate(0, process.home.epoch, 0, [key], [late])
            process.feed(e.Received(n1.home.node_id, message))
    cluster.run(5.0)
    for process in members:
        assert shown(cluster, process, Consistency.ALL) == [b"new"]
