"""A get at its coordinator: whom it asks, when it replies, and what it repairs afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.limits import RETURNED_PEER_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import open_token, token_of
from dynamokv.wire.keys import name_of, partition_of
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import (
    CLIENT,
    ELSE,
    NAME,
    NOW,
    OTHER,
    Lone,
    beside_comparing,
    failed,
    get_request,
    no_reply,
    of,
    only,
    record,
    reply,
    request_id,
    sent,
)
from tests.ring import rings

ONE, ALL = Consistency.ONE, Consistency.ALL
MINE = record((ELSE, NOW - 9, b"mine"))
NEWER = record((ELSE, NOW - 5, b"newer"))
BESIDE = record((OTHER, NOW - 5, b"beside"))
BOTH = records.join_records(MINE, BESIDE)
FAR_AHEAD = record((ELSE, NOW + (60_000 << 20), b"tomorrow"))


# --- whom it asks ---------------------------------------------------------------------------------


def test_at_one_an_owner_answers_from_its_own_store() -> None:
    lone = Lone()
    lone.hold(MINE)
    effects = lone.get(level=ONE)
    assert sent(m.Fetch, effects) == {}
    done = reply(effects)
    assert (done.records, done.needed, done.replicas) == ([MINE], 1, [lone.me])


def test_what_is_not_durable_is_not_shown() -> None:
    lone = Lone()
    lone.put()
    assert reply(lone.get(level=ONE, ticket=2)).records == [b""]


def test_at_quorum_one_other_owner_is_asked_for_less_than_the_record() -> None:
    lone = Lone()
    lone.hold(MINE)
    message = only(m.Fetch, lone.get())
    assert (message.keys, message.digests) == ([lone.row], [records.digest(MINE)])
    assert (message.epoch, message.budget_ms) == (1, 5000)


def test_reads_spread_over_the_owners() -> None:
    lone = Lone()
    asked = [next(iter(sent(m.Fetch, lone.get(ticket=ticket)))) for ticket in range(10)]
    assert sorted(asked) == sorted(lone.peers * 5)


def test_an_owner_that_is_down_is_not_asked() -> None:
    lone = Lone(up=[1])
    for ticket in range(4):
        assert list(sent(m.Fetch, lone.get(ticket=ticket))) == [lone.peers[1]]


def test_too_few_owners_up_is_unavailable_before_anybody_is_asked() -> None:
    lone = Lone(up=[])
    effects = lone.get()
    assert (failed(effects), of(e.Send, effects)) == (FailedCode.UNAVAILABLE, [])
    assert sorted(reply(effects).failed) == sorted(f"{p.hex()[:8]} (down)" for p in lone.peers)


def test_a_member_without_a_copy_asks_as_many_owners_as_needed_and_has_no_digests() -> None:
    lone = Lone(5)
    asked = sent(m.Fetch, lone.get(lone.name(mine=False)))
    assert len(asked) == 2
    assert all(message.digests == [] for message in asked.values())


def test_names_of_different_owners_are_refused() -> None:
    lone = Lone(5)
    assert failed(lone.get(lone.name(mine=True), lone.name(mine=False))) == FailedCode.USAGE


def test_a_level_above_n_is_a_mistake() -> None:
    assert failed(Lone().get(level=7)) == FailedCode.USAGE


# --- when it replies ------------------------------------------------------------------------------


def test_the_same_is_an_answer() -> None:
    lone = Lone()
    lone.hold(MINE)
    ((peer, message),) = sent(m.Fetch, lone.get()).items()
    effects = lone.receive(peer, m.Same(message.id))
    done = reply(effects)
    assert (done.records, done.needed, done.replicas) == ([MINE], 2, [lone.me, peer])
    assert len(effects) == 1, "nothing to repair"


def test_answers_are_joined() -> None:
    lone = Lone()
    lone.hold(MINE)
    ((peer, message),) = sent(m.Fetch, lone.get()).items()
    assert reply(lone.receive(peer, m.Fetched(message.id, [BESIDE]))).records == [BOTH]


def risen(lone: Lone) -> None:
    """A horizon above all that is shown here."""
    lone.home.horizons.adopt(partition_of(lone.row), NOW)


def test_answers_are_held_against_the_copy_under_the_horizon_of_the_moment() -> None:
    """What came to this node after the read began, and before the horizon rose, is not deleted;
    what is not there any more, is."""
    lone = Lone()
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get(level=ALL))
    first, second = asked
    lone.receive(first, m.Fetched(asked[first].id, [BOTH]))
    lone.hold(NEWER)
    risen(lone)
    done = reply(lone.receive(second, m.Fetched(asked[second].id, [NEWER])))
    (shown,) = done.records
    assert records.dots_of(shown) == records.dots_of(NEWER)
    assert records.context_of(shown) == records.context_of(records.join_records(NEWER, BESIDE))


def test_who_has_the_same_still_has_when_the_horizon_rises() -> None:
    lone = Lone()
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get(level=ALL))
    first, second = asked
    lone.receive(first, m.Same(asked[first].id))
    risen(lone)
    effects = lone.receive(second, m.Same(asked[second].id))
    assert reply(effects).records == [MINE]
    assert of(e.Write, effects) == []


def test_an_answer_that_cannot_be_held_against_the_copy_is_none() -> None:
    lone = Lone()
    lone.hold(MINE)
    ((first, asked),) = sent(m.Fetch, lone.get()).items()
    lone.store.disk.damaged.add(lone.row)
    risen(lone)
    ((second, again),) = sent(m.Fetch, lone.receive(first, m.Same(asked.id))).items()
    assert second != first
    effects = lone.receive(second, m.Fetched(again.id, [BESIDE]))
    assert failed(effects) == FailedCode.READ_FAILED
    assert "cannot be held against this copy" in reply(effects).failed[0]


def test_the_context_of_a_read_is_sealed_for_its_key_when_asked_for() -> None:
    lone = Lone()
    lone.hold(MINE)
    other = name_of(b"", b"absent")
    done = reply(lone.get(NAME, other, level=ONE))
    tokens = [token_of(found, seal) for found, seal in zip(done.records, done.seals, strict=True)]
    rows = [lone.row, lone.home.locate(other)[0]]
    contexts = [open_token(t, row, rings.CONTEXT_KEY) for t, row in zip(tokens, rows, strict=True)]
    assert contexts == [records.context_of(MINE), {}]
    assert reply(lone.get(ticket=2, level=ONE, sealed=False)).seals == []


def test_all_waits_for_all() -> None:
    lone = Lone()
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get(level=ALL))
    first, second = asked
    assert no_reply(lone.receive(first, m.Same(asked[first].id)))
    assert reply(lone.receive(second, m.Same(asked[second].id))).needed == 3


def test_an_answer_counts_once_and_a_strangers_not_at_all() -> None:
    lone = Lone()
    asked = sent(m.Fetch, lone.get(level=ALL))
    first, second = asked
    id = asked[first].id
    assert no_reply(lone.receive(first, m.Same(id)) + lone.receive(first, m.Same(id)))
    assert no_reply(lone.receive(CLIENT, m.Same(id)))
    assert no_reply(lone.receive(CLIENT, m.Refused(id, m.RefusedReason.STORAGE, "no")))
    assert reply(lone.receive(second, m.Same(id)))


def test_what_a_stranger_or_a_latecomer_shows_is_not_joined() -> None:
    lone = Lone()
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get(level=ALL))
    first, second = asked
    id = asked[first].id
    lone.receive(first, m.Same(id))
    for peer in (CLIENT, rings.node_id(77), first):
        assert lone.receive(peer, m.Fetched(id, [BESIDE])) == []
    assert reply(lone.receive(second, m.Same(id))).records == [MINE]


def test_the_answer_for_a_client_goes_to_the_client() -> None:
    lone = Lone()
    lone.hold(MINE)
    effects = lone.receive(CLIENT, get_request(id=9, level=ONE))
    assert only(m.GetDone, effects).id == 9


# --- who does not answer --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["refused", "down", "undelivered", "wrong", "damaged", "digest"])
def test_an_owner_that_does_not_answer_is_replaced(way: str) -> None:
    lone = Lone(5)
    asked = sent(m.Fetch, lone.get(lone.name(mine=False)))
    first, second = asked
    id = asked[first].id
    answers: dict[str, e.Event] = {
        "refused": e.Received(first, m.Refused(id, m.RefusedReason.STORAGE, "full")),
        "down": e.PeerDown(first),
        "undelivered": e.Undelivered(first, asked[first]),
        "wrong": e.Received(first, m.Fetched(id, [MINE, MINE])),
        "damaged": e.Received(first, m.Fetched(id, [MINE[:-1]])),
        "digest": e.Received(first, m.Same(id)),
    }
    ((third, message),) = sent(m.Fetch, lone.step(answers[way])).items()
    assert third not in (first, second)
    assert no_reply(lone.receive(second, m.Fetched(message.id, [MINE])))
    assert reply(lone.receive(third, m.Fetched(message.id, [BESIDE]))).records == [BOTH]


def test_when_nobody_is_left_the_read_failed() -> None:
    lone = Lone()
    asked = sent(m.Fetch, lone.get())
    (first,) = asked
    id = asked[first].id
    (second,) = sent(m.Fetch, lone.receive(first, m.Refused(id, 1, "full")))
    effects = lone.step(e.PeerDown(second))
    assert failed(effects) == FailedCode.READ_FAILED
    answered = reply(effects)
    assert (answered.needed, answered.got) == (2, 1)
    reasons = [f"{first.hex()[:8]} (full)", f"{second.hex()[:8]} (connection lost)"]
    assert answered.failed == reasons


def test_a_damaged_record_costs_its_sender_and_is_counted() -> None:
    lone = Lone(up=[0])
    lone.hold(MINE)
    asked = sent(m.Fetch, lone.get())
    (peer,) = asked
    effects = lone.receive(peer, m.Fetched(asked[peer].id, [b"junk"]))
    assert failed(effects) == FailedCode.READ_FAILED
    assert lone.home.counters["poison_records"] == 1
    assert "sent a damaged record" in reply(effects).failed[1]


def test_at_the_deadline_the_read_failed() -> None:
    lone = Lone()
    lone.get(budget_ms=1000)
    lone.after(0.5)
    effects = lone.after(0.6)
    assert failed(effects) == FailedCode.READ_FAILED
    assert all("no answer in time" in line for line in reply(effects).failed)


# --- hedges ---------------------------------------------------------------------------------------


def test_a_late_answer_is_hedged_by_another_owner_once() -> None:
    lone = Lone()
    lone.hold(MINE)
    (first,) = sent(m.Fetch, lone.get())
    assert of(e.Send, lone.after(0.02)) == []
    asked = sent(m.Fetch, lone.after(0.02))
    (second,) = asked
    assert {first, second} == set(lone.peers)
    assert asked[second].budget_ms == 4960
    assert lone.home.counters["hedged_reads"] == 1
    assert of(e.Send, lone.after(0.1)) == []
    assert reply(lone.receive(second, m.Same(asked[second].id))).replicas == [lone.me, second]


def test_a_hedged_read_repairs_without_the_late_one() -> None:
    lone = Lone()
    lone.hold(NEWER)
    lone.get()
    asked = sent(m.Fetch, lone.after(0.1))
    (second,) = asked
    effects = lone.receive(second, m.Fetched(asked[second].id, [MINE]))
    assert list(sent(m.Replicate, effects)) == [second]


def test_a_hedge_with_nobody_left_asks_nobody() -> None:
    lone = Lone(up=[0])
    lone.get()
    assert of(e.Send, lone.after(0.1)) == []
    assert lone.home.counters["hedged_reads"] == 0


# --- peers that came back -------------------------------------------------------------------------


def back_again(lone: Lone, peer: int) -> None:
    lone.step(e.PeerDown(lone.peers[peer]))
    lone.step(e.PeerUp(lone.peers[peer]))


def test_who_came_back_is_asked_beyond_the_quorum_and_repaired() -> None:
    lone = Lone()
    lone.hold(NEWER)
    back_again(lone, 0)
    asked = sent(m.Fetch, lone.get(level=ONE))
    assert list(asked) == [lone.peers[0]]
    assert reply(lone.last).records == [NEWER]
    effects = lone.receive(lone.peers[0], m.Fetched(asked[lone.peers[0]].id, [MINE]))
    assert no_reply(effects)
    assert sent(m.Replicate, effects)[lone.peers[0]].records == [NEWER]
    lone.wait(RETURNED_PEER_SECONDS)
    assert sent(m.Fetch, lone.get(level=ONE, ticket=2)) == {}
    assert sent(m.Fetch, lone.get(level=ONE, ticket=3)) == {}


def test_who_came_back_is_waited_for_even_when_the_read_is_hedged() -> None:
    lone = Lone(4, n=4)
    lone.hold(NEWER)
    back_again(lone, 1)
    asked = sent(m.Fetch, lone.get())
    assert lone.peers[1] in asked
    id = asked[lone.peers[1]].id
    lone.after(0.1)
    others = [peer for peer in lone.peers if peer != lone.peers[1]]
    effects = [effect for peer in others for effect in lone.receive(peer, m.Same(id))]
    assert reply(effects).records == [NEWER]
    repair = lone.receive(lone.peers[1], m.Fetched(id, [MINE]))
    assert sent(m.Replicate, repair)[lone.peers[1]].records == [NEWER]


@pytest.mark.parametrize("way", ["silent", "down", "refresh"])
def test_who_came_back_and_does_not_answer_costs_nothing(way: str) -> None:
    lone = Lone()
    lone.hold(NEWER)
    back_again(lone, 0)
    id = request_id(lone.get(level=ONE, budget_ms=1000))
    if way == "silent":
        assert of(e.Send, beside_comparing(lone.after(0.5))) == []
        effects = lone.after(0.6)
    elif way == "down":
        effects = lone.step(e.PeerDown(lone.peers[0]))
    else:
        newer = lone.topology.with_member(replace(lone.topology.members[2], address="moved:1"))
        effects = lone.receive(lone.peers[0], m.Refresh(id, newer.encode()))
    assert no_reply(effects)
    assert of(e.Send, effects) == []
    assert lone.receive(lone.peers[0], m.Same(id)) == []
    assert lone.home.counters["late_replies"] == 1


# --- restarts -------------------------------------------------------------------------------------


def test_a_restart_asks_the_new_owners_and_forgets_the_old_answers() -> None:
    lone = Lone(5)
    name = lone.name(mine=False)
    asked = sent(m.Fetch, lone.get(name))
    first, second = asked
    id = asked[first].id
    lone.receive(first, m.Fetched(id, [MINE]))
    moved = replace(lone.topology.members[0], address="moved:1")
    again = sent(
        m.Fetch,
        lone.receive(second, m.Refresh(id, lone.topology.with_member(moved).encode())),
    )
    assert len(again) == 2
    assert all(message.epoch == 2 for message in again.values())
    one, two = again
    assert no_reply(lone.receive(one, m.Fetched(id, [BESIDE])))
    assert reply(lone.receive(two, m.Fetched(id, [BESIDE]))).records == [BESIDE]
