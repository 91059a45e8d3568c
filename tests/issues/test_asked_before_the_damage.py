"""A quarantine was lifted although an owner had not been asked since the damage: it had been asked
in an earlier trouble that ended otherwise, or before more was lost. What only that owner had was
given up, and a quorum of the other two did not show a write that had been acknowledged."""

from __future__ import annotations

from dynamokv.types import Consistency
from tests.issues.rotten_ring import RottenRing

WITHOUT_N3 = ("n1", "n3"), ("n2", "n3")
WITHOUT_N2 = ("n1", "n2"), ("n2", "n3")


def unreadable(ring: RottenRing) -> bool:
    return ring.partition in ring.members[0].home.forest.unreadable


def test_in_an_earlier_trouble() -> None:
    ring = RottenRing()
    disk = ring.disks[0]
    ring.put(0, ring.names[0], Consistency.ALL)
    ring.cut(*WITHOUT_N3)
    ring.cluster.run(4.0)
    # The disk cannot read it just now, and a second later it can.
    disk.bad = {ring.keys[0]}
    assert ring.get(0, ring.names[0]) is None
    ring.cluster.run(0.5)
    disk.bad.clear()
    ring.cluster.run(20.0)
    assert not unreadable(ring)
    ring.cut()
    ring.cluster.run(10.0)
    ring.cut(*WITHOUT_N3)
    ring.cluster.run(4.0)
    ring.put(1, ring.names[1])
    ring.cluster.run(1.0)
    ring.cut(*WITHOUT_N2)
    disk.bad = {ring.keys[1]}
    ring.get(0, ring.names[1])
    ring.cluster.run(15.0)
    assert unreadable(ring)
    assert disk.given_up == []
    ring.cut()
    ring.cluster.run(10.0)
    assert not unreadable(ring)
    assert ring.get(0, ring.names[1]) == [b"acknowledged"]


def lost_with_n2_away(ring: RottenRing) -> None:
    """Of the first two keys n3 has nothing; n2 has given what it has of the first one, and is away.
    Some row that nobody has stays unreadable meanwhile."""
    disk = ring.disks[0]
    ring.cut(*WITHOUT_N3)
    ring.cluster.run(4.0)
    ring.put(1, ring.names[0])
    ring.put(1, ring.names[1])
    disk.bad = {ring.keys[0], ring.keys[0] + b"nobody has it"}
    ring.get(0, ring.names[0])
    ring.cluster.run(20.0)
    assert unreadable(ring)
    assert ring.keys[0] not in disk.bad


def test_before_more_was_lost() -> None:
    ring = RottenRing()
    lost_with_n2_away(ring)
    ring.disks[0].bad.add(ring.keys[1])
    ring.cut(*WITHOUT_N2)
    ring.cluster.run(15.0)
    assert unreadable(ring)
    assert ring.disks[0].given_up == []
    ring.cut()
    ring.cluster.run(10.0)
    assert not unreadable(ring)
    assert ring.get(0, ring.names[1]) == [b"acknowledged"]


def test_before_it_was_written_again_and_lost_again() -> None:
    """In the same range: it is looked at all the time."""
    ring = RottenRing()
    lost_with_n2_away(ring)
    ring.disks[0].bad.add(ring.keys[0])
    ring.cut(*WITHOUT_N2)
    ring.cluster.run(15.0)
    assert unreadable(ring)
    assert ring.disks[0].given_up == []


def test_reads_and_attempts_that_fail_again_ask_nobody_again() -> None:
    ring = RottenRing()
    lost_with_n2_away(ring)
    ring.cut(*WITHOUT_N2)
    home, disk = ring.members[0].home, ring.disks[0]
    tried = home.counters["trees_unreadable"]
    for _ in range(200):
        home.damaged_read(disk.bad)
        ring.cluster.run(0.1)
    assert home.counters["trees_unreadable"] >= tried
    assert not unreadable(ring), "n2 was asked long ago"
    assert disk.given_up == [ring.keys[0] + b"nobody has it"]
