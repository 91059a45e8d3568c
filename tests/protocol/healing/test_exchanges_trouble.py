"""Exchanges to which something happens, and the side that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from dynamokv import limits
from dynamokv.errors import CorruptionError
from dynamokv.merkle.compare import Read
from dynamokv.merkle.messages import Answer, Compared, CompareKeys, CompareRoot, Differing, Question
from dynamokv.merkle.tree import LEAVES
from dynamokv.protocol import effects as e
from dynamokv.protocol.healing.exchange import Talk
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.healing.pair import Pair, held, row, some
from tests.protocol.lone import CLIENT, NOW, OTHER, Lone, of, record, sent

FAR = NOW + (3600 * 1000 << 20)


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        *(cls.__name__ for cls in (*get_args(Question), *get_args(Answer))),
        *("Fetch", "Fetched", "Replicate", "Replicated"),
    ],
)
def test_a_lost_message_is_made_up_for(kind: str) -> None:
    pair = Pair({**some(5), **some(5, 10)}, {**some(5), **some(5, 20)})
    lost: list[str] = []

    def lose(message: Any) -> bool:
        if type(message).__name__ != kind or lost:
            return False
        lost.append(kind)
        return True

    pair.lose = lose
    pair.run(8.0)
    assert lost
    assert pair.equal


def test_a_peer_that_never_answers_is_given_up() -> None:
    lone = Lone()
    seconds = limits.EXCHANGE_RETRY_SECONDS
    for _ in range(limits.EXCHANGE_TRIES + 1):
        lone.after(seconds)
        lone.after(limits.TREE_STEP_SECONDS)
    assert lone.home.counters["exchanges_given_up"] > 0
    assert lone.node.exchanges.waiting > 0


def test_a_peer_that_is_gone_is_not_waited_for() -> None:
    lone = Lone()
    lone.after(0.1)
    peer = lone.peers[0]
    assert any(talk.peer == peer for talk in lone.node.exchanges.talks.values())
    lone.step(e.PeerDown(peer))
    assert not any(talk.peer == peer for talk in lone.node.exchanges.talks.values())
    assert not any(talk.peer == peer for talk in lone.node.exchanges.asked.values())


def test_a_message_that_never_left_ends_its_exchange() -> None:
    lone = Lone()
    lone.after(0.1)
    exchanges = lone.node.exchanges
    (id, talk) = next(iter(exchanges.asked.items()))
    question = CompareRoot(id, 1, talk.partition, bytes(16))
    lone.step(e.Undelivered(b"somebody else...", question))
    assert id in exchanges.asked
    lone.step(e.Undelivered(talk.peer, question))
    assert id not in exchanges.asked


def test_an_answer_of_somebody_else_is_none() -> None:
    lone = Lone()
    lone.after(0.1)
    exchanges = lone.node.exchanges
    (id, talk) = next(iter(exchanges.asked.items()))
    other = next(peer for peer in lone.peers if peer != talk.peer)
    late = lone.home.counters["late_replies"]
    lone.receive(other, Differing(id, []))
    lone.receive(other, m.Refused(id, 3, ""))
    lone.receive(other, Differing(id + 10_000, []))
    assert lone.home.counters["late_replies"] == late + 3
    assert id in exchanges.asked


@pytest.mark.parametrize("answer", [Compared(0, b"", [], []), m.Replicated(0), Differing(0, [3])])
def test_an_answer_to_another_question_ends_the_exchange(answer: Any) -> None:
    lone = Lone()
    lone.after(0.1)
    (id, talk) = next(iter(lone.node.exchanges.asked.items()))
    lone.receive(talk.peer, answer._replace(id=id))
    assert talk.failed
    assert talk not in lone.node.exchanges.talks.values()


def test_an_answer_with_too_many_records_ends_it() -> None:
    pair = Pair(some(1), some(2))
    asked = capture(pair, "Fetched")
    pair.run(2.0)
    [(asker, peer, message)] = asked[:1]
    talk = asker.node.exchanges.asked[message.id]
    asker.receive(peer.me, m.Fetched(message.id, [held(), held(), held()]))
    assert talk.failed


def capture(pair: Pair, kind: str) -> list[tuple[Any, Any, Any]]:
    """Messages of a kind, which do not arrive: to whom, from whom."""
    found: list[tuple[Any, Any, Any]] = []

    def lose(message: Any) -> bool:
        if type(message).__name__ != kind:
            return False
        asker = pair.one if message.id in pair.one.node.exchanges.asked else pair.other
        found.append((asker, pair.other if asker is pair.one else pair.one, message))
        return True

    pair.lose = lose
    return found


def test_poison_and_stamps_of_the_future_are_left_out() -> None:
    pair = Pair({}, some(3))
    asked = capture(pair, "Fetched")
    while not asked:
        pair.round()
    pair.lose = lambda message: False
    asker, peer, message = asked[0]
    count = len(message.records)
    poison = [b"no record", record((OTHER, FAR, b"far")), b""][:count]
    asker.receive(peer.me, m.Fetched(message.id, poison))
    assert asker.count("poison_records") == 1
    assert asker.count("clock_drift_refused") == 1
    assert asker.count("exchange_keys_skipped") == 2
    pair.run(3.0)
    assert not pair.equal, "there is no hurry: it may come again"
    for _ in range(70):
        pair.round(limits.EXCHANGE_BEAT_SECONDS)
    pair.run(3.0)
    assert pair.equal


def test_a_disk_that_refuses_what_was_fetched_ends_it_until_later() -> None:
    pair = Pair({}, some(3))
    asked = capture(pair, "Fetched")
    while not asked:
        pair.round()
    pair.lose = lambda message: False
    asker, peer, message = asked[0]
    asker.receive(peer.me, message)
    pair.take(asker, asker.durable(failing="full"))
    assert asker.count("exchanges_given_up") >= 1
    assert asker.count("repaired_by_exchange_fetched") == 0
    pair.run(6.0)
    assert pair.equal


def test_news_of_an_exchange_that_is_over_is_no_news() -> None:
    lone = Lone()
    lone.step(e.ExchangeStored(lone.peers[0], 3, 12345, True))
    lone.after(0.1)
    (peer, partition), talk = next(iter(lone.node.exchanges.talks.items()))
    lone.step(e.ExchangeStored(peer, partition, talk.salt + 1, True))
    assert lone.node.exchanges.talks[peer, partition] is talk


def test_a_key_that_is_refused_does_not_hold_up_the_others() -> None:
    """The peer finds one of them stamped too far ahead of its own clock."""
    rows = some(6)
    pair = Pair(rows, {})
    far = row(99)
    pair.one.store.rows[far] = record((OTHER, FAR, b"far"))
    pair.one.home.forest.forget(3)
    pair.run(6.0)
    assert set(pair.other.rows) == set(rows)


def test_a_damaged_row_of_the_peer_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = Pair({}, some(9))
    visible = pair.other.store.visible

    def damaged(key: bytes) -> bytes | None:
        if key == row(4):
            raise CorruptionError("block 7 is damaged")
        return visible(key)

    monkeypatch.setattr(pair.other.store, "visible", damaged)
    pair.run(6.0)
    assert {*some(9)} - pair.one.rows.keys() == {row(4)}
    assert sum(side.count("damaged_reads") for side in (pair.one, pair.other)) > 0


def test_a_row_that_cannot_be_read_is_not_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(some(9), {})

    def damaged(key: bytes) -> bytes | None:
        if key == row(4):
            raise CorruptionError("block 7 is damaged")
        return pair.one.store.disk.get(key)

    monkeypatch.setattr(pair.one.store, "visible", damaged)
    pair.other.home.forest.fresh.clear()
    pair.run(6.0)
    assert {*some(9)} - pair.other.rows.keys() == {row(4)}


def test_what_the_peer_knows_to_be_deleted_holds_up_nothing() -> None:
    new = {row(9): held(NOW + 900)}
    pair = Pair({**some(9), **new}, {})
    pair.other.home.horizons.adopt(3, NOW)
    pair.run()
    assert pair.other.rows == new
    for name in ("exchanges_given_up", "exchange_keys_skipped"):
        assert pair.one.count(name) == pair.other.count(name) == 0


def test_a_peer_without_a_tree_is_left_alone_until_it_has_one() -> None:
    pair = Pair(some(9), {})
    pair.other.home.load.pressure.spend(0.0, 1 << 34)
    pair.run(1.0)
    assert pair.one.count("exchanges_given_up") > 0
    assert pair.sent["Refused"] > 0
    pair.other.home.load.pressure.spend(0.0, -(1 << 34))
    pair.run(4.0)
    assert pair.equal


def test_only_what_both_own_is_compared_on_a_return() -> None:
    lone = Lone(5, n=2)
    for peer in lone.peers:
        shared = sum(lone.me in owners and peer in owners for owners in lone.home.owners)
        wanted = lone.node.exchanges.waiting
        lone.node.exchanges.on_return(peer)
        assert lone.node.exchanges.waiting - wanted == shared


def test_an_asker_that_cannot_read_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lone = Lone()
    tree = lone.home.forest.tree(3)
    assert tree is not None

    def damaged(start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise CorruptionError("block 7 is damaged")

    monkeypatch.setattr(lone.store, "scan_visible", damaged)
    talk = Talk(lone.home, lone.peers[0], 3, tree, lone.node.table.new_id, {})
    talk._exchange.next = Read(b"")
    talk.step(0.0)
    assert talk.failed
    assert lone.home.counters["damaged_reads"] == 1
    assert lone.home.forest.unreadable.keys() == {3}


def test_repair_waits_while_the_foreground_is_hindered() -> None:
    pair = Pair(some(2), some(3))
    for side in (pair.one, pair.other):
        while side.home.forest.unknown:
            side.after(0.01)
        side.home.load.pressure.spend(side.home.clock.monotonic(), 1 << 28)
    pair.run(3.0)
    assert not pair.equal
    pair.run(20.0)
    assert pair.equal


def test_what_went_meanwhile_is_not_pushed() -> None:
    pair = Pair(some(3), some(2))
    pair.one.store.visible = lambda key: None  # type: ignore[method-assign]
    pair.other.store.visible = lambda key: None  # type: ignore[method-assign]
    pair.run(2.0)
    assert pair.sent["Replicate"] == 0


# --- the side that is asked -----------------------------------------------------------------------


def test_only_members_are_answered_and_only_about_trees_that_are_known() -> None:
    lone = Lone()
    question = CompareRoot(7, 1, 3, bytes(16))
    for peer in (CLIENT, lone.peers[0]):
        effects = lone.receive(peer, question)
        kinds = [type(effect.message) for effect in of(e.Send, effects)]
        assert (m.Refused in kinds) == (peer == CLIENT)
    [refused] = sent(
        m.Refused, lone.receive(lone.peers[0], question._replace(partition=77))
    ).values()
    assert refused.reason == m.RefusedReason.NOT_READY
    older = lone.receive(lone.peers[0], question._replace(epoch=0))
    assert sent(m.Refresh, older)


def test_nonsense_is_counted() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], CompareKeys(7, 1, 3, [], 0, b"", b"", [1], []))
    assert lone.home.counters["poison_questions"] == 1


def test_listings_are_bounded_and_forgotten_with_their_asker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "EXCHANGE_LISTINGS_MAX", 2)
    lone = Lone()
    peer = lone.peers[0]
    for id in (1, 2, 2, 3):
        lone.receive(peer, CompareKeys(id, 1, 3, [0], 9, b"", b"", [], []))
    assert lone.node.next_deadline() <= lone.home.clock.monotonic() + limits.TREE_STEP_SECONDS
    effects = [lone.after(limits.TREE_STEP_SECONDS) for _ in range(4)]
    answers = [found for each in effects for found in sent(Compared, each).values()]
    assert [answer.id for answer in answers] == [1, 2]
    lone.receive(peer, CompareKeys(4, 1, 3, [0], 9, b"", b"", [], []))
    lone.step(e.PeerDown(peer))
    assert not sent(Compared, lone.after(limits.TREE_STEP_SECONDS))


def test_a_listing_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lone = Lone()

    def damaged(start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise CorruptionError("block 7 is damaged")

    monkeypatch.setattr(lone.store, "scan_visible", damaged)
    lone.receive(lone.peers[0], CompareKeys(7, 1, 3, [0], 9, b"", b"", [], []))
    [refused] = sent(m.Refused, lone.after(limits.TREE_STEP_SECONDS)).values()
    assert refused.reason == m.RefusedReason.STORAGE


def test_a_listing_may_take_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    lone = Lone()
    monkeypatch.setattr(limits, "TREE_STEP_ROWS", 4)
    for number in range(10):
        lone.store.rows[row_key(3, name_of(b"", b"%d" % number))] = held()
    every = list(range(LEAVES))
    lone.receive(lone.peers[0], CompareKeys(7, 1, 3, every, 9, b"", b"", [], []))
    effects = [lone.after(2 * limits.TREE_STEP_SECONDS) for _ in range(6)]
    answers = [found for each in effects for found in sent(Compared, each).values()]
    assert [len(answer.keys) for answer in answers] == [10]
    assert not sent(Compared, effects[0])
