"""Verdicts in whole rings, under simulated time: without faults there are none, and they pass with
what they were about."""

from __future__ import annotations

import pytest

from dynamokv.protocol.liveness.beliefs import LivenessSettings
from dynamokv.protocol.node import Node
from dynamokv.testing.campaign.believing import doubts, verdicts_of
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process

PERIOD = LivenessSettings().period
DAY_MS = 24 * 3600 * 1000
STALLS = 10


def incarnations_agree(members: list[Process]) -> bool:
    """Whether everybody knows of everybody's present life."""
    cores = [member.core for member in members]
    beliefs = [core.reach.liveness.beliefs for core in cores if isinstance(core, Node)]
    own = {each.me: each.own.incarnation for each in beliefs}
    return all(
        peer.news.incarnation == own[id] for each in beliefs for id, peer in each.peers.items()
    )


def total(members: list[Process], counter: str) -> int:
    return sum(member.home.counters[counter] for member in members)


@pytest.mark.parametrize("seed", range(3))
def test_without_faults_there_is_no_verdict_against_anybody(seed: int) -> None:
    cluster = Cluster(seed, memory=True)
    members = cluster.ring(5)
    cluster.run(300.0)
    assert not doubts(members)
    assert [verdicts_of(member) for member in members] == [0] * 5
    assert total(members, "suspicions") == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_full_restart_converges_within_ten_rounds(seed: int) -> None:
    """Row 42 of the failure catalogue: nobody stays dead because of an incarnation of before."""
    cluster = Cluster(seed, memory=True)
    members = cluster.ring(7)
    for _ in range(4):
        cluster.run(2.0)
        machines = [cluster.kill(member) for member in members]
        members[:] = [cluster.start(machine) for machine in machines]
        cluster.run_until(lambda: not doubts(members) and incarnations_agree(members), 10 * PERIOD)
        assert total(members, "declared_down") == 0


def test_a_rolling_restart_after_400_days_is_one_like_any_other() -> None:
    """Row 45: a boot time may be as far ahead of the last one as it likes."""
    cluster = Cluster(1, memory=True)
    members = cluster.ring(5)
    for machine in cluster.machines.values():
        machine.clock.jump(400 * DAY_MS)
    cluster.run(2.0)
    for at, member in enumerate(members):
        members[at] = cluster.start(cluster.kill(member))
        cluster.run_until(lambda: not doubts(members) and incarnations_agree(members), 10 * PERIOD)
    assert total(members, "frames_rejected") == 0


def test_a_member_that_stalls_again_and_again_blames_nobody() -> None:
    """Row 48: of a slow observer nobody hears that others are slow, let alone dead."""
    cluster = Cluster(2, memory=True)
    members = cluster.ring(5)
    stalling = members[2]
    for _ in range(STALLS):
        cluster.pause(stalling, frozen=False)
        cluster.run(20.0)
        cluster.resume(stalling)
        cluster.run(20.0)
        assert not doubts(members)
    assert verdicts_of(stalling) == 0
    assert total(members, "declared_down") == 0
    assert total(members, "peers_down") == 0
    assert total(members, "peers_slow") == 4 * STALLS, "the stalling one, each time, by each other"
