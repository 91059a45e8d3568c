"""Who takes the place of a member whose store is lost, and when nobody does."""

from __future__ import annotations

from dataclasses import replace

from dynamokv.limits import PLACE_QUESTIONS_MAX
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.ring.topology import Member, Topology
from dynamokv.types import NodeId
from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.joining import ROUTE, answered, decided, request, seeking
from tests.protocol.lone import Lone, of, only, sent
from tests.ring import rings

RING = rings.ring(3, partitions=8)
NEW = rings.node_id(7)


def asks(lone: Lone, place: int, node_id: NodeId = NEW, route: bytes = ROUTE) -> list[Effect]:
    """Somebody wants the place of a member, at its address."""
    return lone.receive(route, request(place, node_id=node_id))


def questions(effects: list[Effect]) -> dict[bytes, int]:
    """Who is asked who is there, and under which id."""
    return {peer: question.id for peer, question in sent(m.Identify, effects).items()}


def says(lone: Lone, peer: int, node_id: NodeId, id: int, epoch: int = 0) -> list[Effect]:
    """At the end of the link to a member, this one answers."""
    return lone.receive(rings.node_id(peer), m.Identified(id, node_id, epoch))


def asked(lone: Lone, place: int) -> int:
    """The id of the question that a wish for this place leads to."""
    (id,) = set(questions(asks(lone, place)).values())
    return id


# --- who is there ---------------------------------------------------------------------------------


def test_every_process_says_who_it_is() -> None:
    for bench, epoch in ((Lone(), 1), (seeking(), 0)):
        told = bench.receive(ROUTE, m.Identify(5))
        assert told == [e.Send(ROUTE, m.Identified(5, bench.me, epoch))]


def test_the_place_is_decided_when_the_address_names_the_asker() -> None:
    lone = Lone()
    effects = asks(lone, 2)
    assert answered(effects)[0] == JoinReason.BUSY
    assert decided(effects) is None
    assert list(questions(effects)) == [rings.node_id(2)]
    effects = says(lone, 2, NEW, questions(effects)[rings.node_id(2)])
    assert decided(effects) == RING.replaced(rings.node_id(2), NEW, rings.member(2).address)
    assert [report.level for report in of(e.Report, effects)] == ["WARNING"]
    assert lone.home.counters["members_replaced"] == 1
    assert of(e.Send, effects) == [], "not before it is durable"
    lone.durable()
    told = sent(m.TopologyReply, lone.last)[ROUTE]
    member = Topology.decode(told.topology).members[-1]
    assert member == Member(NEW, rings.member(2).address, "", 1, place=rings.node_id(2))
    assert of(e.Disconnect, lone.last) == [e.Disconnect(rings.node_id(2))]
    assert of(e.Connect, lone.last) == [e.Connect(NEW, rings.member(2).address)]


def test_a_link_that_works_proves_nothing() -> None:
    lone = Lone(up=[0, 1])
    for _ in range(100):
        lone.after(1.0)
        assert decided(asks(lone, 2)) is None


def test_a_member_that_answers_at_its_address_is_not_replaced() -> None:
    lone = Lone()
    id = asked(lone, 2)
    effects = says(lone, 2, rings.node_id(2), id, epoch=1)
    assert decided(effects) is None
    reason, text = answered(effects)
    assert reason == JoinReason.DUPLICATE
    assert rings.node_id(2).hex()[:8] in text
    assert says(lone, 2, NEW, id) == [], "that question is answered"


def test_somebody_else_at_the_address_is_nobody() -> None:
    lone = Lone()
    assert says(lone, 2, rings.node_id(8), asked(lone, 2)) == []


def test_an_answer_counts_only_from_that_link_and_to_that_question() -> None:
    lone = Lone()
    id = asked(lone, 2)
    assert says(lone, 1, NEW, id) == []
    assert says(lone, 2, NEW, id + 1) == []
    assert decided(says(lone, 2, NEW, id))


def test_the_question_is_repeated_as_long_as_somebody_asks() -> None:
    """One that was lost, or came before the link, is of no harm."""
    lone = Lone()
    first = asks(lone, 2)
    again = asks(lone, 2, route=b"\0bbbb")
    assert questions(again) == questions(first)
    assert decided(says(lone, 2, NEW, questions(first)[rings.node_id(2)]))
    lone.durable()
    assert list(sent(m.TopologyReply, lone.last)) == [b"\0bbbb"], "the last one to ask is told"


def test_two_that_ask_do_not_disturb_each_other() -> None:
    lone = Lone()
    id = asked(lone, 2)
    other = questions(asks(lone, 2, node_id=rings.node_id(8)))[rings.node_id(2)]
    assert other != id
    assert says(lone, 2, NEW, other) == []
    topology = decided(says(lone, 2, NEW, id))
    assert topology is not None
    assert topology.change == NEW


def test_those_that_ask_are_bounded() -> None:
    lone = Lone()
    id = asked(lone, 2)
    for number in range(PLACE_QUESTIONS_MAX):
        asks(lone, 2, node_id=rings.node_id(100 + number))
    assert len(lone.node.life.driver.replacing.questions) == PLACE_QUESTIONS_MAX
    assert says(lone, 2, NEW, id) == [], "it was the oldest"
    assert decided(says(lone, 2, NEW, asked(lone, 2)))


def test_who_asks_for_another_place_is_asked_about_there() -> None:
    lone = Lone()
    id = asked(lone, 2)
    assert list(questions(asks(lone, 1))) == [rings.node_id(1)]
    assert says(lone, 2, NEW, id) == []


def test_the_place_has_the_old_weight_and_zone() -> None:
    ring = rings.ring(3, partitions=8, zone=lambda i: "abc"[i], weight=lambda i: 1 + i)
    lone = Lone(topology=ring)
    asking = lone.receive(ROUTE, request(2, node_id=NEW, zone="elsewhere", weight=9))
    topology = decided(says(lone, 2, NEW, questions(asking)[rings.node_id(2)]))
    assert topology is not None
    assert (topology.members[-1].zone, topology.members[-1].weight) == ("c", 3)


# --- one change at a time -------------------------------------------------------------------------


def test_while_something_is_decided_nothing_else_is() -> None:
    lone = Lone()
    second = rings.node_id(8)
    id, other = asked(lone, 2), questions(asks(lone, 1, node_id=second))[rings.node_id(1)]
    assert decided(says(lone, 2, NEW, id))
    assert says(lone, 1, second, other) == []
    assert answered(asks(lone, 1))[0] == JoinReason.BUSY
    lone.durable()
    assert says(lone, 1, second, other) == [], "it was asked in another epoch"


def test_an_answer_from_an_earlier_epoch_decides_nothing() -> None:
    lone = Lone()
    id = asked(lone, 2)
    moved = RING.with_member(replace(RING.members[1], address="moved:1"))
    lone.receive(lone.peers[0], m.Announce(moved.encode()))
    assert says(lone, 2, NEW, id) == []
    assert decided(says(lone, 2, NEW, asked(lone, 2)))


def test_nobody_is_replaced_while_another_is_filled() -> None:
    filling = replace(RING, epoch=2, change=rings.node_id(2))
    lone = Lone(topology=filling)
    effects = asks(lone, 1)
    assert answered(effects)[0] == JoinReason.BUSY
    assert questions(effects) == {}


def test_a_replacement_that_is_lost_while_it_is_filled_is_replaced_itself() -> None:
    before = RING.replaced(rings.node_id(2), rings.node_id(9), rings.member(2).address)
    lone = Lone(topology=before)
    asking = asks(lone, 2)
    topology = decided(
        lone.receive(rings.node_id(9), m.Identified(questions(asking)[rings.node_id(9)], NEW, 0))
    )
    assert topology is not None
    assert topology.members[-1] == Member(NEW, rings.member(2).address, "", 1, rings.node_id(2))


def test_a_replacement_that_is_away_keeps_its_place() -> None:
    ring = rings.ring(2, partitions=8)
    lone = Lone(2, topology=ring.replaced(rings.node_id(1), NEW, rings.member(1).address), up=[])
    for _ in range(5):
        lone.after(60.0)
        effects = lone.receive(ROUTE, request(5))
        assert answered(effects)[0] == JoinReason.BUSY
        assert decided(effects) is None


def test_who_was_replaced_gets_no_place_again() -> None:
    """Its directory misses what was acknowledged since, and says that it does not."""
    after = RING.replaced(rings.node_id(2), NEW, rings.member(2).address).settled()
    lone = Lone(topology=after)
    reason, text = answered(asks(lone, 2, node_id=rings.node_id(2)))
    assert reason == JoinReason.REPLACED
    assert "empty data directory" in text


# --- the place of the first member ----------------------------------------------------------------

FIVE = rings.ring(5, partitions=8)


def second(topology: Topology = FIVE) -> Lone:
    """The member that decides about the first one's place."""
    return Lone(5, number=1, topology=topology)


def test_the_second_member_decides_about_the_first_and_nobody_else_does() -> None:
    assert answered(asks(Lone(5, number=2, topology=FIVE), 0)) == (
        JoinReason.ASK,
        rings.member(1).address,
    )
    assert answered(asks(second(), 3)) == (JoinReason.ASK, rings.member(0).address)
    lone = second()
    effects = asks(lone, 0)
    assert set(questions(effects)) == {rings.node_id(number) for number in (0, 2, 3, 4)}


def test_the_first_ones_place_is_decided_when_all_others_know_no_newer_ring() -> None:
    lone = second()
    id = asked(lone, 0)
    assert says(lone, 0, NEW, id) == []
    assert says(lone, 2, rings.node_id(2), id, epoch=1) == []
    assert says(lone, 3, rings.node_id(3), id, epoch=1) == []
    assert list(questions(asks(lone, 0))) == [rings.node_id(4)], "only who is missing is asked"
    topology = decided(says(lone, 4, rings.node_id(4), id, epoch=1))
    assert topology == FIVE.replaced(rings.node_id(0), NEW, rings.member(0).address)


def test_a_newer_ring_is_learned_first() -> None:
    """The first member's last decision may be known to a single other one."""
    lone = second()
    id = asked(lone, 0)
    effects = says(lone, 2, rings.node_id(2), id, epoch=2)
    assert effects == [e.Send(rings.node_id(2), m.TopologyRequest(0, "test"))]
    assert says(lone, 2, rings.node_id(2), id, epoch=0) == [], "it does not know this ring"
    assert says(lone, 2, rings.node_id(8), id, epoch=1) == [], "it is somebody else"
    for number in (3, 4):
        says(lone, number, rings.node_id(number), id, epoch=1)
    assert decided(says(lone, 0, NEW, id)) is None


def test_the_first_member_is_asked_for_its_place_only_once_it_is_gone() -> None:
    lone = second()
    effects = says(lone, 0, rings.node_id(0), asked(lone, 0), epoch=1)
    assert answered(effects)[0] == JoinReason.DUPLICATE


def test_who_has_the_place_already_hears_of_it_from_anybody() -> None:
    after = FIVE.replaced(rings.node_id(0), NEW, rings.member(0).address)
    lone = Lone(5, number=3, topology=after)
    reply = only(m.TopologyReply, asks(lone, 0))
    assert reply.topology == after.encode()


def test_a_process_without_a_ring_asks_nobody_who_is_there() -> None:
    assert seeking().receive(ROUTE, m.Identified(5, NEW, 1)) == []
