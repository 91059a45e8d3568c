"""A put at its coordinator: what leaves, what is waited for, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import open_token
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import (
    CLIENT,
    NOW,
    Lone,
    failed,
    no_reply,
    of,
    only,
    put_request,
    reply,
    request_id,
    sent,
)
from tests.ring import rings

ONE, TWO, ALL = Consistency.ONE, Consistency.TWO, Consistency.ALL


def acknowledge(lone: Lone, id: int, peer: int) -> list[e.Effect]:
    return lone.receive(lone.peers[peer], m.Replicated(id))


# --- what leaves ----------------------------------------------------------------------------------


def test_the_local_write_and_all_messages_leave_in_one_step() -> None:
    lone = Lone()
    effects = lone.put()
    (write,) = of(e.Write, effects)
    messages = sent(m.Replicate, effects)
    assert set(messages) == set(lone.peers)
    for message in messages.values():
        assert (message.epoch, message.budget_ms) == (1, 5000)
        assert list(zip(message.keys, message.records, strict=True)) == write.rows
    assert [version.value for version in lone.held().versions] == [b"value"]
    assert no_reply(effects)


def test_owners_that_are_down_are_sent_nothing() -> None:
    lone = Lone(up=[1])
    assert list(sent(m.Replicate, lone.put())) == [lone.peers[1]]


# --- what is waited for ---------------------------------------------------------------------------


def test_two_remote_acknowledgements_do_not_reply_before_the_local_write_is_durable() -> None:
    lone = Lone()
    id = request_id(lone.put())
    assert no_reply(acknowledge(lone, id, 0) + acknowledge(lone, id, 1))
    done = reply(lone.durable())
    assert type(done) is m.PutDone
    assert (done.id, done.epoch, done.needed, done.sloppy) == (1, 1, 2, False)
    assert set(done.replicas) == {lone.me, *lone.peers}


def test_the_local_write_alone_does_not_reply_at_quorum() -> None:
    lone = Lone()
    id = request_id(lone.put())
    assert no_reply(lone.durable())
    assert reply(acknowledge(lone, id, 1)).replicas == [lone.me, lone.peers[1]]


def test_the_local_write_alone_replies_at_one() -> None:
    lone = Lone()
    assert no_reply(lone.put(level=ONE))
    assert reply(lone.durable()).needed == 1


def test_a_foreign_acknowledgement_does_not_reply_at_one_either() -> None:
    lone = Lone()
    id = request_id(lone.put(level=ONE))
    assert no_reply(acknowledge(lone, id, 0))
    assert reply(lone.durable()).replicas == [lone.peers[0], lone.me]


def test_an_acknowledgement_counts_once() -> None:
    lone = Lone()
    id = request_id(lone.put(level=ALL))
    lone.durable()
    assert no_reply(acknowledge(lone, id, 0) + acknowledge(lone, id, 0))
    assert reply(acknowledge(lone, id, 1)).needed == 3


def test_an_acknowledgement_of_a_stranger_counts_nothing() -> None:
    lone = Lone()
    id = request_id(lone.put())
    lone.durable()
    assert no_reply(lone.receive(rings.node_id(77), m.Replicated(id)))
    assert no_reply(lone.receive(CLIENT, m.Refused(id, m.RefusedReason.STORAGE, "no")))
    assert no_reply(lone.step(e.PeerDown(rings.node_id(77))))
    assert reply(acknowledge(lone, id, 0))


@pytest.mark.parametrize(("others", "counts"), [(1, True), (2, False), (3, True), (4, False)])
def test_a_newcomer_counts_only_where_the_others_are_a_quorum_without_it(
    others: int, counts: bool
) -> None:
    """It may go away again, and another one may come in its place."""
    ring = rings.ring(others + 1, n=5, partitions=8)
    lone = Lone(topology=replace(ring, change=rings.node_id(others)), n=5)
    id = request_id(lone.put())
    lone.durable()
    quorum = (others + 1) // 2 + 1
    *old, newcomer = range(others)
    for peer in old[: quorum - 2]:
        assert no_reply(acknowledge(lone, id, peer))
    effects = acknowledge(lone, id, newcomer)
    assert no_reply(effects) is not counts
    if not counts:
        assert reply(acknowledge(lone, id, old[quorum - 2])).needed == others // 2 + 1


# --- how it fails ---------------------------------------------------------------------------------


def test_unavailable_only_before_anything_left() -> None:
    lone = Lone(up=[])
    effects = lone.put()
    assert (failed(effects), of(e.Write, effects), lone.store.begin()) == (
        FailedCode.UNAVAILABLE,
        [],
        False,
    )
    assert sorted(reply(effects).failed) == sorted(f"{p.hex()[:8]} (down)" for p in lone.peers)


def test_unavailable_says_how_many_owners_there_are_left() -> None:
    """How many did answer is another number: none was asked, but for the one that is here."""
    for effects in (Lone(up=[0]).put(level=3), Lone(up=[0]).get(level=3)):
        assert failed(effects) == FailedCode.UNAVAILABLE
        assert reply(effects).detail == "2 of 3 owners can answer"


def test_a_level_above_the_copies_there_are_is_unavailable() -> None:
    assert failed(Lone(2).put(level=3)) == FailedCode.UNAVAILABLE


def test_a_level_above_n_is_a_mistake() -> None:
    assert failed(Lone().put(level=4)) == FailedCode.USAGE


def test_the_own_disk_failing_is_indeterminate_whoever_else_has_it() -> None:
    lone = Lone()
    id = request_id(lone.put())
    assert no_reply(acknowledge(lone, id, 0) + acknowledge(lone, id, 1))
    effects = lone.durable(failing="no space")
    assert failed(effects) == FailedCode.INDETERMINATE
    answered = reply(effects)
    assert (answered.needed, answered.got) == (2, 2)
    assert answered.detail == "the coordinator's own disk failed: DiskFull: no space"


def test_what_an_engine_says_fits_the_answer() -> None:
    lone = Lone()
    lone.put()
    assert len(reply(lone.durable(failing="x" * 9999)).detail) < limits.TEXT_BYTES_MAX


@pytest.mark.parametrize("way", ["refused", "down", "undelivered"])
def test_a_lost_quorum_is_indeterminate(way: str) -> None:
    lone = Lone()
    effects = lone.put()
    for peer, message in sent(m.Replicate, effects).items():
        assert no_reply(lone.last)
        if way == "refused":
            lone.receive(peer, m.Refused(message.id, m.RefusedReason.STORAGE, "full"))
        elif way == "down":
            lone.step(e.PeerDown(peer))
        else:
            lone.step(e.Undelivered(peer, message))
    assert failed(lone.last) == FailedCode.INDETERMINATE
    reason = {"refused": "full", "down": "connection lost", "undelivered": "unreachable"}[way]
    expected = [f"{peer.hex()[:8]} ({reason})" for peer in lone.peers]
    assert sorted(reply(lone.last).failed) == sorted(expected)


def test_what_was_acknowledged_stays_so_when_the_peer_goes_down() -> None:
    lone = Lone()
    id = request_id(lone.put(level=TWO))
    acknowledge(lone, id, 0)
    lone.step(e.PeerDown(lone.peers[0]))
    lone.step(e.PeerDown(lone.peers[1]))
    assert set(reply(lone.durable()).replicas) == {lone.me, lone.peers[0]}


def test_at_the_deadline_what_is_missing_has_failed() -> None:
    lone = Lone()
    id = request_id(lone.put(budget_ms=1000))
    acknowledge(lone, id, 0)
    assert no_reply(lone.after(0.999))
    effects = lone.after(0.002)
    assert failed(effects) == FailedCode.INDETERMINATE
    answered = reply(effects)
    assert answered.got == 1
    missing = [lone.me, lone.peers[1]]
    assert sorted(answered.failed) == sorted(f"{p.hex()[:8]} (no answer in time)" for p in missing)
    assert no_reply(lone.durable())


def test_a_late_acknowledgement_is_dropped_and_counted() -> None:
    lone = Lone()
    id = request_id(lone.put(level=ONE))
    lone.durable()
    assert acknowledge(lone, id, 0) == []
    assert lone.home.counters["late_replies"] == 1


# --- several names, and who may coordinate --------------------------------------------------------


def test_several_names_travel_together_and_each_gets_its_context() -> None:
    lone = Lone()
    names = [name_of(b"", b"a"), name_of(b"b", b"b"), name_of(b"", b"c")]
    effects = lone.put(names=names, values=[b"1", b"2", b"3"])
    rows = [lone.home.locate(name)[0] for name in names]
    assert sent(m.Replicate, effects)[lone.peers[0]].keys == rows
    acknowledge(lone, request_id(effects), 0)
    done = reply(lone.durable())
    assert done.errors == []
    for name, row, token in zip(names, rows, done.contexts, strict=True):
        assert open_token(token, row, rings.CONTEXT_KEY) == lone.held(name).context


def test_names_of_different_owners_are_refused() -> None:
    lone = Lone(5)
    effects = lone.put(names=[lone.name(mine=True), lone.name(mine=False)])
    assert (failed(effects), of(e.Write, effects)) == (FailedCode.USAGE, [])


def test_names_of_the_same_owners_are_one_write_whoever_is_primary() -> None:
    lone = Lone()
    first, *_ = lone.home.owners
    assert any(owners != first for owners in lone.home.owners), "one primary only: shows nothing"
    assert len(only_replicate(lone.put(names=names_of(40))).keys) == 40


def test_a_client_that_asks_the_wrong_member_is_told() -> None:
    lone = Lone(5)
    effects = lone.receive(CLIENT, put_request(id=9, names=[lone.name(mine=False)]))
    answer = only(m.Failed, effects)
    assert (answer.id, answer.code) == (9, FailedCode.USAGE)


def test_the_answer_for_a_client_goes_to_the_client() -> None:
    lone = Lone()
    id = request_id(lone.receive(CLIENT, put_request(id=9)))
    acknowledge(lone, id, 0)
    ((peer, done),) = sent(m.PutDone, lone.durable()).items()
    assert (peer, done.id) == (CLIENT, 9)


# --- dots, time to live, deletes ------------------------------------------------------------------


def test_a_ring_of_one_needs_nobody() -> None:
    lone = Lone(1)
    assert sent(m.Replicate, lone.put()) == {}
    assert reply(lone.durable()).needed == 1


def test_times_of_one_actor_only_grow() -> None:
    lone = Lone()
    times = []
    for ticket in range(3):
        lone.put(ticket=ticket)
        times.append(lone.held().context[lone.home.actor])
    assert NOW <= times[0] < times[1] < times[2]


def test_time_to_live_counts_from_the_dot() -> None:
    lone = Lone()
    lone.put(ttl_ms=5000)
    (version,) = lone.held().versions
    assert version.expires_ms == (version.dot.time >> 20) + 5000


def test_a_delete_is_a_tombstone_whatever_value_comes_along() -> None:
    lone = Lone()
    lone.put(b"old")
    effects = lone.put(b"surplus", delete=True, ticket=2)
    (version,) = lone.held().versions
    assert (version.tombstone, version.value) == (True, b"")
    records.check(only_replicate(effects).records[0])


def names_of(count: int) -> list[bytes]:
    return [name_of(b"", b"name %d" % number) for number in range(count)]


def only_replicate(effects: list[e.Effect]) -> m.Replicate:
    return next(iter(sent(m.Replicate, effects).values()))
