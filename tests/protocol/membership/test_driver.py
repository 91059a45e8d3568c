"""The driver of a ring: whom it takes in, and every reason not to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamokv.limits import NEWCOMER_GRACE_SECONDS, OLD_PLACE_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.ring.topology import Topology
from dynamokv.types import ClusterId
from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.joining import HERE, ROUTE, THERE, answered, decided, request, seeking
from tests.protocol.lone import Lone, of, only, sent
from tests.ring import rings


def asked(lone: Lone, **changes: Any) -> list[Effect]:
    return lone.receive(ROUTE, request(7, **changes))


def test_a_newcomer_is_taken_in_and_told_when_that_is_durable() -> None:
    lone = Lone(2)
    effects = asked(lone)
    topology = decided(effects)
    assert topology is not None
    assert (topology.epoch, topology.change) == (2, rings.node_id(7))
    assert of(e.Send, effects) == []
    lone.durable()
    assert sent(m.TopologyReply, lone.last) == {ROUTE: m.TopologyReply(9, topology.encode())}
    assert set(sent(m.Announce, lone.last)) == {rings.node_id(1), rings.node_id(7)}
    assert of(e.Connect, lone.last) == [e.Connect(rings.node_id(7), rings.member(7).address)]


MISMATCHES: dict[str, dict[str, Any]] = {
    "cluster": {"cluster": "other"},
    "partitions": {"partitions": 16},
    "n": {"n": 5},
    "weight 0": {"weight": 0},
    "weight 101": {"weight": 101},
    "no address": {"address": ""},
    "long address": {"address": "ä" * 1024},
    "long zone": {"zone": "ä" * 1024},
    "no text": {"zone": "\ud800"},
}


@pytest.mark.parametrize("changes", MISMATCHES.values(), ids=MISMATCHES)
@pytest.mark.parametrize("founding", [True, False])
def test_a_request_that_does_not_fit_is_refused_and_stops_nobody(
    founding: bool, changes: dict[str, Any]
) -> None:
    bench = seeking() if founding else Lone(2)
    reason, text = answered(bench.receive(ROUTE, request(7, **changes)))
    assert (reason, bool(text)) == (JoinReason.MISMATCH, True)
    if not founding:
        assert decided(bench.receive(ROUTE, request(7))), "the next one is taken in"


def test_the_drivers_own_address_is_its_own() -> None:
    reason, text = answered(asked(Lone(2), address=HERE))
    assert reason == JoinReason.DUPLICATE
    assert rings.node_id(0).hex()[:8] in text


def test_a_member_does_not_get_the_address_of_another() -> None:
    reason, text = answered(Lone(3).receive(ROUTE, request(2, address=THERE)))
    assert reason == JoinReason.DUPLICATE
    assert rings.node_id(1).hex()[:8] in text


def test_only_the_driver_decides() -> None:
    lone = Lone(2, number=1)
    assert answered(asked(lone)) == (JoinReason.ASK, HERE)


def test_a_member_that_asks_again_gets_the_record() -> None:
    lone = Lone()
    reply = only(m.TopologyReply, lone.receive(ROUTE, request(2)))
    assert reply == m.TopologyReply(9, lone.topology.encode())


def test_one_decision_at_a_time() -> None:
    lone = Lone(1)
    assert decided(asked(lone))
    assert answered(lone.receive(ROUTE, request(8)))[0] == JoinReason.BUSY


def test_a_full_ring_is_full() -> None:
    reason, text = answered(asked(Lone(3)))
    assert reason == JoinReason.FULL
    assert "expect_members" in text


def test_a_disk_that_refuses_a_decision_leaves_the_next_one_free() -> None:
    lone = Lone(2)
    asked(lone)
    lone.durable(failing="DiskFull")
    assert lone.home.epoch == 1
    assert decided(asked(lone))


# --- a newcomer that is being filled --------------------------------------------------------------


def filling(*, up: bool = True) -> Lone:
    """The driver of a ring of one, with a second member that is being filled."""
    lone = Lone(1)
    lone.receive(ROUTE, request(1))
    lone.durable()
    if up:
        lone.step(e.PeerUp(rings.node_id(1)))
    return lone


def filled(lone: Lone, peer: int = 1) -> Topology | None:
    return decided(lone.receive(rings.node_id(peer), m.Filled(0, lone.home.epoch)))


def test_the_next_newcomer_waits_until_this_one_is_whole() -> None:
    lone = filling()
    assert answered(asked(lone))[0] == JoinReason.BUSY
    topology = filled(lone)
    assert topology is not None
    assert (topology.epoch, topology.change) == (3, None)
    assert filled(lone) is None, "it is being decided"
    lone.durable()
    assert filled(lone) is None, "it was decided"
    assert decided(asked(lone))


def test_nobody_else_says_that_it_is_whole() -> None:
    assert filled(filling(), peer=5) is None


def test_whole_is_said_to_the_driver() -> None:
    topology = replace(rings.ring(3), partitions=8, epoch=2, change=rings.node_id(2))
    lone = Lone(number=1, topology=topology)
    assert filled(lone, peer=2) is None


def test_a_newcomer_that_is_up_keeps_its_place() -> None:
    lone = filling()
    for _ in range(5):
        lone.after(NEWCOMER_GRACE_SECONDS)
        assert answered(asked(lone))[0] == JoinReason.BUSY


def test_a_newcomer_that_is_away_loses_its_place_after_a_while() -> None:
    lone = filling(up=False)
    assert answered(asked(lone))[0] == JoinReason.BUSY
    lone.after(NEWCOMER_GRACE_SECONDS - 0.1)
    assert decided(asked(lone)) is None
    lone.after(0.2)
    effects = asked(lone)
    assert answered(effects)[0] == JoinReason.BUSY
    topology = decided(effects)
    assert topology is not None
    assert (topology.change, len(topology.members)) == (None, 1)
    lone.durable()
    assert decided(asked(lone))


def test_a_newcomer_that_came_back_meanwhile_has_its_place_anew() -> None:
    lone = filling(up=False)
    asked(lone)
    lone.after(NEWCOMER_GRACE_SECONDS - 0.1)
    lone.step(e.PeerUp(rings.node_id(1)))
    assert answered(asked(lone))[0] == JoinReason.BUSY
    lone.step(e.PeerDown(rings.node_id(1)))
    lone.after(0.2)
    assert decided(asked(lone)) is None


def test_a_newcomer_without_its_data_gets_its_place_at_once() -> None:
    lone = filling()
    effects = lone.receive(ROUTE, request(1, node_id=rings.node_id(77)))
    assert answered(effects)[0] == JoinReason.BUSY
    topology = decided(effects)
    assert topology is not None
    assert topology.change is None


# --- who moved ------------------------------------------------------------------------------------


def test_a_member_that_is_down_may_ask_from_another_address() -> None:
    lone = Lone(up=[0])
    topology = decided(lone.receive(ROUTE, request(2, address="moved:1", zone="other")))
    assert topology is not None
    assert topology.members[2] == replace(rings.member(2), address="moved:1")
    assert (topology.epoch, topology.change) == (2, None)


OLD, MOVED = rings.node_id(2), request(2, address="moved:1")


def moves(lone: Lone) -> tuple[JoinReason, dict[bytes, Any]]:
    """What a member is told that asks from elsewhere, and who is asked because of it."""
    effects = lone.receive(ROUTE, MOVED)
    return JoinReason(sent(m.JoinAnswer, effects)[ROUTE].reason), sent(m.Identify, effects)


def test_a_member_that_answers_at_its_old_address_cannot_be_somewhere_else() -> None:
    lone = Lone()
    reason, asked = moves(lone)
    assert (reason, list(asked)) == (JoinReason.BUSY, [OLD])
    effects = lone.receive(OLD, m.Identified(asked[OLD].id, OLD, lone.home.epoch))
    reason, text = answered(effects)
    assert reason == JoinReason.DUPLICATE
    assert "one identity cannot run twice" in text


def test_a_member_may_ask_from_elsewhere_before_anybody_has_noticed_that_it_went() -> None:
    lone = Lone()
    assert moves(lone)[0] == JoinReason.BUSY
    lone.wait(OLD_PLACE_SECONDS - 0.1)
    assert moves(lone)[0] == JoinReason.BUSY
    lone.step(e.PeerDown(OLD))
    topology = decided(lone.receive(ROUTE, MOVED))
    assert topology is not None
    assert topology.members[2].address == "moved:1"


def test_a_member_whose_link_stays_up_is_there_though_it_does_not_answer() -> None:
    lone = Lone()
    _, first = moves(lone)
    lone.wait(OLD_PLACE_SECONDS)
    assert moves(lone) == (JoinReason.DUPLICATE, {})
    lone.wait(OLD_PLACE_SECONDS)
    reason, again = moves(lone)
    assert reason == JoinReason.BUSY, "this is another time"
    assert again != first


def test_a_record_of_another_ring_is_never_taken() -> None:
    lone = Lone()
    foreign = replace(rings.ring(3), partitions=8, epoch=9, cluster_id=ClusterId(bytes(16)))
    assert lone.receive(lone.peers[0], m.TopologyReply(0, foreign.encode())) == []
    assert lone.home.epoch == 1
