"""Two owners that compare what they hold until it is the same, whatever gets in their way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv import limits
from dynamokv.merkle.messages import CompareRoot
from dynamokv.merkle.tree import LEAVES, leaf_of
from dynamokv.protocol import effects as e
from dynamokv.types import Actor
from dynamokv.wire import messages as m
from tests.protocol.healing.pair import Pair, held, row, some
from tests.protocol.lone import NOW, Lone, of, record

# --- what it is for -------------------------------------------------------------------------------


def test_both_end_with_what_either_had() -> None:
    common = some(20)
    pair = Pair({**common, **some(5, 100)}, {**common, **some(7, 200)})
    pair.run()
    assert pair.equal
    assert len(pair.one.rows) == 32
    sides = (pair.one, pair.other)
    assert sum(side.count("repaired_by_exchange_fetched") for side in sides) in (5, 7)
    assert sum(side.count("repaired_by_exchange_pushed") for side in sides) in (5, 7)
    assert sum(side.count("read_repairs") for side in sides) == 0


def test_records_are_joined_not_replaced() -> None:
    mine = record((Actor(b"actor a."), NOW - 5, b"a"))
    theirs = record((Actor(b"actor b."), NOW - 4, b"b"))
    pair = Pair({row(1): mine}, {row(1): theirs})
    pair.run()
    assert pair.equal
    assert b"a" in pair.one.rows[row(1)]
    assert b"b" in pair.one.rows[row(1)]


def test_what_the_peer_has_just_shown_is_not_sent_back_to_it() -> None:
    pair = Pair(some(1), {row(0): held(NOW - 3)})
    pair.run()
    assert pair.equal
    assert pair.sent["Replicate"] + pair.sent["Fetch"] == 1


def test_more_than_one_message_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a page, pages of a partition, and records of a page."""
    monkeypatch.setattr("dynamokv.merkle.compare.LISTED_MAX", 40)
    monkeypatch.setattr(limits, "EXCHANGE_KEYS", 16)
    monkeypatch.setattr(limits, "TREE_STEP_ROWS", 32)
    pair = Pair(some(300), some(300, 150))
    pair.run(8.0)
    assert pair.equal
    assert len(pair.one.rows) == 450
    assert pair.sent["CompareKeys"] >= 5


def test_an_answer_that_is_cut_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_BYTES_MAX", 200)
    monkeypatch.setattr(limits, "SCAN_PAGE_BYTES", 4096)
    pair = Pair({}, {row(number): held(value=bytes(300)) for number in range(30)})
    pair.run()
    assert pair.equal


def test_one_key_among_a_million_moves_less_than_64_kib() -> None:
    """Of a million keys in a partition, those of the differing leaf are here. The others would be
    read, and nothing of them travels."""
    lone = Lone()
    seed = lone.home.forest.seed
    keys = [row(number) for number in range(1_000_000) if leaf_of(row(number), seed) == 7]
    assert 0.9 < len(keys) * LEAVES / 1_000_000 < 1.1
    rows = dict.fromkeys(keys, held())
    pair = Pair(rows, {**rows, keys[500]: held(NOW - 3)})
    pair.run()
    assert pair.equal
    for _ in range(5):
        pair.round(limits.EXCHANGE_ROUND_SECONDS)
    assert 15_000 < pair.frames_bytes < 64 * 1024


# --- when -----------------------------------------------------------------------------------------


def test_equal_owners_exchange_roots_and_nothing_else() -> None:
    pair = Pair(some(20), some(20))
    pair.run()
    assert pair.equal
    assert pair.sent.keys() - {"Probe", "ProbeAck", "Announce"} == {"CompareRoot", "Differing"}


def test_each_partition_is_compared_once_a_round_by_one_of_two() -> None:
    pair = Pair({}, {})
    pair.run()
    before = [side.count("trees_compared") for side in (pair.one, pair.other)]
    for _ in range(round(limits.EXCHANGE_ROUND_SECONDS) + 1):
        pair.round(limits.EXCHANGE_BEAT_SECONDS)
        pair.round()
    after = [side.count("trees_compared") for side in (pair.one, pair.other)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [4, 4]
    exchanges = pair.one.node.exchanges
    assert exchanges.compared_at() is None, "the third is down"


def test_the_age_of_a_round_is_that_of_the_slowest_peer() -> None:
    lone = Lone(2, n=2, up=[0])
    exchanges = lone.node.exchanges
    for _ in range(round(limits.EXCHANGE_ROUND_SECONDS) + 2):
        lone.after(limits.EXCHANGE_BEAT_SECONDS)
    ended = lone.home.forest.compared_at
    assert ended is not None
    assert ended == exchanges.compared_at()
    age = lone.home.clock.monotonic() - ended
    assert age < 20.0


def test_a_return_is_followed_by_a_comparison() -> None:
    pair = Pair(some(3), some(3))
    pair.run()
    pair.one.step(e.PeerDown(pair.other.me))
    pair.other.step(e.PeerDown(pair.one.me))
    pair.other.store.write(e.Write([(row(50), held())]))
    pair.other.durable()
    pair.run(1.0)
    assert not pair.equal
    pair.meet()
    pair.run(4.0)
    assert pair.equal


def test_what_is_asked_for_is_compared() -> None:
    pair = Pair(some(3), some(3))
    pair.run()
    compared = pair.one.count("trees_compared") + pair.other.count("trees_compared")
    pair.one.node.exchanges.want(3)
    assert pair.one.node.exchanges.waiting >= 1
    pair.run(0.2)
    assert pair.one.count("trees_compared") + pair.other.count("trees_compared") == compared + 1


def test_what_has_no_tree_yet_waits() -> None:
    pair = Pair(some(3), some(3))
    exchanges, forest = pair.one.node.exchanges, pair.one.home.forest
    assert exchanges.waiting >= len(forest.unknown) > 0
    pair.run()
    assert not forest.unknown
    before = exchanges.waiting
    forest.forget(3)
    assert exchanges.waiting == before + 1


def test_what_is_kept_for_nobody_is_compared() -> None:
    pair = Pair(some(3), some(3))
    pair.run()
    compared = pair.one.count("trees_compared") + pair.other.count("trees_compared")
    pair.one.home.hints.unhinted.update((3, 4))
    pair.run(1.2)
    assert not pair.one.home.hints.unhinted
    assert pair.one.count("trees_compared") + pair.other.count("trees_compared") >= compared + 2


def test_nobody_compares_what_it_does_not_own() -> None:
    lone = Lone(5, n=1)
    theirs = next(p for p in range(8) if lone.me not in lone.home.owners[p])
    wanted = lone.node.exchanges.waiting
    lone.node.exchanges.want(theirs)
    lone.node.exchanges.want(999)
    assert lone.node.exchanges.waiting == wanted


def test_a_newcomer_that_is_filled_compares_nothing_and_is_not_compared() -> None:
    ring = Lone().topology
    for change in (0, 2):
        topology = replace(ring, epoch=2, change=ring.members[change].node_id)
        lone = Lone(topology=topology)
        roots = [peer for peer in lone.peers if sent_to(lone, peer)]
        assert roots == ([] if change == 0 else [lone.peers[0]])


def sent_to(lone: Lone, peer: bytes) -> list[CompareRoot]:
    """Comparisons that this member begins with a peer in its next second."""
    lone.node.exchanges.on_peer_down(peer)  # type: ignore[arg-type]
    for partition in range(8):
        lone.node.exchanges.want(partition)
    return [
        effect.message
        for effect in of(e.Send, lone.after(1.0))
        if effect.peer == peer and type(effect.message) is CompareRoot
    ]


def test_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXCHANGES_PER_PEER", 2)
    monkeypatch.setattr(limits, "EXCHANGES_MAX", 3)
    lone = Lone()
    lone.after(1.0)
    assert len(lone.node.exchanges.talks) == 3
    assert {p for _, p in lone.node.exchanges.talks} == {0, 1, 2}, "each partition with one peer"


def test_a_new_ring_begins_anew() -> None:
    lone = Lone()
    lone.after(0.1)
    assert lone.node.exchanges.talks
    epochs = {talk.epoch for talk in lone.node.exchanges.talks.values()}
    lone.receive(lone.peers[0], m.Announce(replace(lone.topology, epoch=2).encode()))
    lone.after(0.1)
    assert epochs == {1}
    assert {talk.epoch for talk in lone.node.exchanges.talks.values()} == {2}


# --- two at once ----------------------------------------------------------------------------------


def test_a_question_about_a_partition_takes_the_place_of_ones_own() -> None:
    pair = Pair(some(3), some(4))
    for _ in range(5):
        pair.one.node.exchanges.want(3)
        pair.other.node.exchanges.want(3)
        pair.run(0.5)
    assert pair.equal
    assert sum(side.count("exchanges_given_up") for side in (pair.one, pair.other)) <= 8
