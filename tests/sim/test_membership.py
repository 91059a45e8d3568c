"""The checker of membership is shown steps that no member may take, and some that it may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.protocol import effects as e
from dynamokv.ring.topology import Member, Topology
from dynamokv.testing.campaign.checkers.membership import MembersAgree
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from tests.sim.histories import ROW, A, Story, token_of_read

PEER = b"somebody"


class Ring:
    """Three members that run, whose steps are told by hand."""

    def __init__(self, *, durable: bool = True) -> None:
        self.story = Story()
        self.cluster = Cluster()
        self.members = self.cluster.ring(3)
        self.first, self.second, self.third = self.members
        self.checker = MembersAgree(
            self.story.history.report,
            durable=durable,
            history=self.story.history,
            resumed_ns=lambda _: 0,
        )
        self.story.history.checkers.append(self.checker)
        self.tells(self.first, self.topology)

    @property
    def topology(self) -> Topology:
        """What the first member knows."""
        assert self.first.home.topology is not None
        return self.first.home.topology

    @property
    def broken(self) -> list[Rule]:
        """Which rules."""
        return self.story.broken

    def does(self, process: Process, *effects: e.Effect) -> None:
        """One step of it."""
        self.checker.watch(process, None, list(effects))

    def tells(self, process: Process, topology: Topology) -> None:
        """It shows somebody this."""
        self.does(process, e.Send(PEER, m.Announce(topology.encode())))

    def third_is_filled(self) -> None:
        """From now on the third one is a newcomer, and everybody knows."""
        topology = replace(self.topology, epoch=9, change=self.third.home.node_id)
        for process in self.members:
            process.home.topology = topology
            self.does(process)
        self.checker.durable = False
        self.tells(self.first, topology)
        self.checker.durable = True


def test_members_tell_of_the_ring_that_they_are_in() -> None:
    ring = Ring()
    for process in ring.members:
        ring.tells(process, ring.topology)
        ring.tells(process, ring.topology.without_secrets())
    assert ring.broken == []


def test_two_rings_of_one_epoch() -> None:
    ring = Ring()
    ring.tells(ring.second, replace(ring.topology, members=ring.topology.members[:2]))
    assert ring.broken == [Rule.MEMBERSHIP]


def test_a_decision_is_told_before_it_is_durable() -> None:
    ring = Ring()
    ring.tells(ring.first, ring.topology.settled())
    assert ring.broken == [Rule.MEMBERSHIP]
    # Who hears of it, and passes it on, need not have it on a disk.
    ring.story.history.findings.clear()
    ring.tells(ring.second, ring.topology.settled())
    assert ring.broken == []


def test_a_disk_that_was_rolled_back_may_tell_two_things() -> None:
    ring = Ring(durable=False)
    ring.tells(ring.second, replace(ring.topology, members=ring.topology.members[:2]))
    ring.tells(ring.first, ring.topology.settled())
    assert ring.broken == []


def test_a_newcomer_says_that_it_is_whole() -> None:
    ring = Ring()
    story, whole = ring.story, e.Send(PEER, m.Filled(0, 9))
    record = story.put(A, 1, b"one")
    story.told(b"one", token_of_read(record))
    ring.third_is_filled()
    # What is acknowledged from now on reaches it as an owner, or counts without it.
    story.told(b"two", token_of_read(story.put(A, 5, b"two", held=record)))
    ring.does(ring.second, whole)
    assert ring.broken == [], "it is no newcomer"
    ring.does(ring.third, whole)
    assert ring.broken == [Rule.ACKNOWLEDGED]
    story.history.findings.clear()
    ring.third.engine.apply([(ROW, record)], sync=True)
    ring.does(ring.third, whole)
    assert ring.broken == []


@pytest.mark.parametrize(("counted", "enough"), [((0, 2), False), ((0, 1), True)])
def test_a_quorum_that_counts_a_newcomer(counted: tuple[int, ...], enough: bool) -> None:
    ring = Ring()
    ring.third_is_filled()
    replicas: list[bytes] = [ring.members[at].home.node_id for at in counted]
    record = ring.story.put(A, 1, b"one")
    ring.story.told(b"one", token_of_read(record), replicas=replicas, epoch=9)
    assert ring.broken == ([] if enough else [Rule.QUORUM])


@pytest.mark.parametrize("answers", [True, False])
def test_a_member_is_moved(answers: bool) -> None:
    ring = Ring()
    before = ring.second.home.node_id
    moved = ring.topology.with_member(Member(before, "elsewhere:1", "", 1))
    if not answers:
        ring.cluster.kill(ring.second)
    ring.cluster.run(2.0)
    ring.does(ring.first, e.Write([], e.TopologyStored(moved, None)))
    assert ring.broken == ([Rule.MEMBERSHIP] if answers else [])
