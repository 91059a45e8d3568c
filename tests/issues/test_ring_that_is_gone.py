"""Processes that had heard of a ring that was gone waited for it for ever, and told each other so.

A ring in memory was redeployed one process at a time, faster than a place is filled, and nobody had
the ring any more. Each process had been told of it, by a member or by another one that waited, and
said so to whoever asked. Who was started anew was told again at once.
"""

from __future__ import annotations

import pytest

from dynamokv.limits import HEARSAY_SECONDS
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.cluster import plain_cluster
from tests.protocol.joining import LINK, ROUTE, TICK, answered, decided, request, seeking
from tests.testing.simulation.clusters import put

NAMES = ("n1", "n2", "n3")
HEARSAY = m.JoinAnswer(0, JoinReason.WAITING, "it waits for a place in the ring itself")
NOTHING = m.JoinAnswer(0, JoinReason.NO_RING, "no ring here yet")
QUESTION = m.TopologyRequest(9, "test")


def started_anew(cluster: Cluster, process: Process, down: float) -> Process:
    machine = cluster.kill(process)
    machine.wipe()
    cluster.run(down)
    return cluster.start(machine)


def redeployed(expect_members: int | None, order: tuple[str, ...]) -> tuple[Cluster, list[Process]]:
    """Who is left of a ring, each with its former self's name and nothing else."""
    cluster = plain_cluster()
    members = {
        name: cluster.member(
            name,
            seeds=tuple(f"{seed}:1" for seed in NAMES),
            expect_members=expect_members,
            background_bytes_per_second=1 << 16,
        )
        for name in NAMES
    }
    cluster.run(20.0)
    for number in range(200):
        put(cluster, members["n1"], f"key {number}", "value")
    for name in order:
        members[name] = started_anew(cluster, members[name], 0.5)
        cluster.run(0.5)
    cluster.run(60.0)
    return cluster, [members[name] for name in NAMES]


@pytest.mark.parametrize("expect_members", [None, 3])
@pytest.mark.parametrize("order", [("n3", "n2", "n1"), ("n1", "n2", "n3"), ("n2", "n1", "n3")])
def test_it_is_founded_anew_when_they_are_started_one_by_one(
    expect_members: int | None, order: tuple[str, ...]
) -> None:
    cluster, processes = redeployed(expect_members, order)
    assert not any(process.ready for process in processes), "the ring is gone"
    # Twice: one of them has a place in the ring that nobody fills any more, and tells others of it.
    for number in (0, 1, 2, 0, 1, 2):
        if not processes[number].ready:
            processes[number] = started_anew(cluster, processes[number], 1.0)
            cluster.run(20.0)
    assert all(process.ready for process in processes)
    (topology,) = {process.home.topology for process in processes}
    assert topology is not None
    assert len(topology.members) == 3


@pytest.mark.parametrize("founder", [True, False])
def test_what_others_were_told_is_not_passed_on(founder: bool) -> None:
    seeker = seeking(founder=founder)
    seeker.receive(LINK, HEARSAY)
    for question in (QUESTION, request()):
        assert answered(seeker.receive(ROUTE, question))[0] == JoinReason.NO_RING


def test_it_stops_a_founder_while_somebody_says_it_and_a_while_longer() -> None:
    founder = seeking()
    for _ in range(int(60.0 / TICK)):
        founder.receive(LINK, HEARSAY)
        assert decided(founder.after(TICK)) is None
    founder.receive(LINK, NOTHING)
    assert decided(founder.after(HEARSAY_SECONDS - 2 * TICK)) is None
    assert decided(founder.after(2 * TICK))
