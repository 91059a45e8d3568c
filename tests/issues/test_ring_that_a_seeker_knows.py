"""A first seed that had lost its data founded a second ring, with the help of somebody who knew.

That one had been told who decides about its place, and waited. Asked whether there is a ring, it
said that there was none yet: it had not seen one itself.
"""

from __future__ import annotations

import pytest

from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.cluster import plain_cluster
from tests.protocol.joining import LINK, ROUTE, answered, decided, request, seeking

SEEDS = ("n1:1", "n2:1", "n3:1")
QUESTION = m.TopologyRequest(9, "test")


def test_no_second_ring_is_founded_with_its_help() -> None:
    cluster = plain_cluster()
    first, second = (cluster.member(name, seeds=SEEDS, expect_members=2) for name in ("n1", "n2"))
    cluster.run(3.0)
    assert first.ready
    machine = cluster.kill(first)
    machine.wipe()
    cluster.member("n3", seeds=SEEDS)
    cluster.run(10.0)
    for other in ("n1:1", "n3:1"):
        cluster.network.cut("n2:1", other)
    again = cluster.start(machine, expect_members=None)
    cluster.run(20.0)
    assert again.home.topology is None
    cluster.network.heal()
    cluster.run(30.0)
    assert again.ready
    assert again.home.topology == second.home.topology


@pytest.mark.parametrize("reason", [JoinReason.ASK, JoinReason.BUSY])
@pytest.mark.parametrize("founder", [True, False])
def test_who_was_told_to_wait_for_a_place_knows_that_there_is_a_ring(
    reason: JoinReason, founder: bool
) -> None:
    seeker = seeking(founder=founder)
    seeker.receive(LINK, m.JoinAnswer(0, reason, "n7:1"))
    for question in (QUESTION, request()):
        assert answered(seeker.receive(ROUTE, question))[0] == JoinReason.WAITING
    assert decided(seeker.after(60.0)) is None


def test_who_was_told_that_one_is_being_founded_does_not() -> None:
    """The first seed may lose its data before it is, and has to begin anew then."""
    seeker = seeking(founder=False)
    answer = m.JoinAnswer(0, *answered(seeking(expect_members=2).receive(ROUTE, request())))
    assert "founded" in answer.detail
    seeker.receive(LINK, answer)
    for question in (QUESTION, request()):
        assert answered(seeker.receive(ROUTE, question))[0] == JoinReason.NO_RING
