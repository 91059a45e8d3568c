"""Each question, each answer, and what is refused."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from dynamokv import limits
from dynamokv.merkle import compare
from dynamokv.merkle.compare import Ask, Done, Exchange, Listing, Read, Repair, Settle, answer
from dynamokv.merkle.messages import (
    EDGE,
    Branches,
    Compared,
    CompareKeys,
    CompareLeaves,
    CompareRoot,
    Differing,
)
from dynamokv.merkle.tree import FAN_OUT, LEAVES, SUM_BYTES, leaf_of
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys
from tests.merkle.stores import EPOCH, PARTITION, SEED, Store, digest_of

KEY = b"key"
LEAF = leaf_of(KEY, SEED)
BRANCH = LEAF // FAN_OUT
ALL_LEAVES = list(range(LEAVES))


def exchange_of(store: Store) -> Exchange:
    return Exchange(store.tree, PARTITION, EPOCH, count(1).__next__, digest_of)


def asked(exchange: Exchange) -> CompareRoot | CompareLeaves | CompareKeys:
    assert isinstance(exchange.next, Ask)
    return exchange.next.question


def at_leaves(store: Store) -> Exchange:
    """An exchange that has just asked for leaves, since the other store is empty."""
    exchange = exchange_of(store)
    exchange.on_answer(Branches(1, Store().tree.branches()))
    assert isinstance(asked(exchange), CompareLeaves)
    return exchange


def at_rows(store: Store) -> Exchange:
    """An exchange that asks its host for rows."""
    exchange = at_leaves(store)
    exchange.on_answer(Differing(2, [LEAF]))
    exchange.on_settled()
    assert exchange.on_answer(Differing(3, [LEAF])) == Read(EDGE)
    return exchange


def test_the_way_down_and_back() -> None:
    ours, theirs = Store({KEY: b"x"}), Store({KEY: b"y"})
    exchange = exchange_of(ours)
    question = asked(exchange)
    assert question == CompareRoot(1, EPOCH, PARTITION, ours.tree.root())
    told = answer(theirs.tree, question)
    assert told == Branches(1, theirs.tree.branches())
    exchange.on_answer(told)
    question = asked(exchange)
    leaves = ours.tree.leaves(BRANCH)
    assert question == CompareLeaves(2, EPOCH, PARTITION, [BRANCH], leaves)
    told = answer(theirs.tree, question)
    assert told == Differing(2, [LEAF])
    assert exchange.on_answer(told) == Settle()
    exchange.on_settled()
    assert asked(exchange) == question._replace(id=3)
    assert exchange.on_answer(Differing(3, [LEAF])) == Read(EDGE)
    exchange.on_rows(ours.scan(EDGE), EDGE)
    question = asked(exchange)
    assert isinstance(question, CompareKeys)
    assert question[:5] == (4, EPOCH, PARTITION, [LEAF], 1)
    assert (question.start, question.end) == (EDGE, EDGE)
    assert question.digests == [digest_of(b"x")]
    compared = Listing(question, SEED, digest_of).on_rows(theirs.scan(EDGE), EDGE)
    assert compared == Compared(4, EDGE, [KEY], [0])
    assert exchange.on_answer(compared) == Repair([KEY], [KEY])
    assert type(exchange.on_repaired()) is Done


def test_equal_roots_end_it() -> None:
    store = Store({KEY: b"x"})
    told = answer(store.tree, CompareRoot(1, EPOCH, PARTITION, store.tree.root()))
    assert told == Differing(1, [])
    assert type(exchange_of(store).on_answer(told)) is Done


def test_what_became_equal_meanwhile_ends_it() -> None:
    """At the branches, at the first look at leaves, and at the second."""
    ours, theirs = Store(), Store({KEY: b"x"})
    exchange = exchange_of(ours)
    ours.join(KEY, b"x")
    assert type(exchange.on_answer(Branches(1, theirs.tree.branches()))) is Done
    assert type(at_leaves(ours).on_answer(Differing(2, []))) is Done
    exchange = at_leaves(ours)
    exchange.on_answer(Differing(2, [LEAF]))
    exchange.on_settled()
    neighbour = LEAF ^ 1
    assert type(exchange.on_answer(Differing(3, [neighbour]))) is Done


def test_leaves_of_several_branches_are_numbered() -> None:
    keys = [b"%d" % n for n in range(20)]
    ours, theirs = Store(dict.fromkeys(keys, b"x")), Store()
    branches = sorted({leaf_of(key, SEED) // FAN_OUT for key in keys})
    assert len(branches) > 5
    exchange = at_leaves(ours)
    question = asked(exchange)
    assert isinstance(question, CompareLeaves)
    assert question.branches == branches
    told = answer(theirs.tree, question)
    assert told == Differing(2, sorted({leaf_of(key, SEED) for key in keys}))


def test_late_and_repeated_answers_change_nothing() -> None:
    ours = Store({KEY: b"x"})
    told = Branches(1, Store().tree.branches())
    exchange = exchange_of(ours)
    assert exchange.on_answer(told._replace(id=9)) == Ask(asked(exchange_of(ours)))
    before = exchange.on_answer(told)
    assert exchange.on_answer(told) is before
    after = exchange.on_answer(Differing(2, [LEAF]))
    assert exchange.on_answer(Differing(2, [])) is after


def test_an_answer_to_something_else_is_refused() -> None:
    store = Store({KEY: b"x"})
    for wrong in (Differing(1, [LEAF]), Compared(1, EDGE, [], [])):
        with pytest.raises(ValueError, match="does not answer CompareRoot"):
            exchange_of(store).on_answer(wrong)
    with pytest.raises(ValueError, match="Branches does not answer CompareLeaves"):
        at_leaves(store).on_answer(Branches(2, store.tree.branches()))


def test_sums_of_another_shape_are_refused() -> None:
    store = Store({KEY: b"x"})
    with pytest.raises(ValueError, match="shapes"):
        exchange_of(store).on_answer(Branches(1, bytes(31 * SUM_BYTES)))
    with pytest.raises(ValueError, match="shapes"):
        answer(store.tree, CompareLeaves(1, EPOCH, PARTITION, [1, 2], bytes(512)))


def test_branches_and_leaves_that_there_are_not_are_refused() -> None:
    store = Store({KEY: b"x"})
    with pytest.raises(ValueError, match="branches"):
        answer(store.tree, CompareLeaves(1, EPOCH, PARTITION, [FAN_OUT], bytes(512)))
    other_branch = (LEAF + FAN_OUT) % LEAVES
    with pytest.raises(ValueError, match="not asked"):
        at_leaves(store).on_answer(Differing(2, [other_branch]))
    with pytest.raises(ValueError, match="no tree"):
        Listing(keys_question(leaves=[LEAVES]), SEED, digest_of)


def test_an_answer_has_to_be_about_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that covers nothing would make the same question come again and again."""
    monkeypatch.setattr(compare, "LISTED_MAX", 1)
    exchange = at_rows(Store({KEY: b"x"}))
    exchange.on_rows([(KEY, b"x"), (KEY, b"x")], EDGE)
    exchange.on_answer(Compared(4, b"b", [], []))
    question = asked(exchange)
    assert isinstance(question, CompareKeys)
    assert (question.id, question.start, question.end) == (5, b"b", KEY)
    for end in (EDGE, b"a", b"b", KEY + b"0", b"z"):
        with pytest.raises(ValueError, match="another range"):
            exchange.on_answer(Compared(5, end, [], []))
    with pytest.raises(ValueError, match="not listed"):
        exchange.on_answer(Compared(5, KEY, [], [1]))
    assert exchange.on_answer(Compared(5, KEY, [b"k"], [])) == Repair([b"k"], [])
    assert exchange.on_repaired() == Read(KEY)


def keys_question(**fields: Any) -> CompareKeys:
    question = CompareKeys(4, EPOCH, PARTITION, ALL_LEAVES, 1, EDGE, EDGE, [], [])
    return question._replace(**fields)


def test_a_question_whose_lists_do_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match="equally many"):
        Listing(keys_question(hashes=[1]), SEED, digest_of)


def test_rows_outside_of_the_question_are_not_told() -> None:
    rows = [(b"b", b"x"), (b"c", b"x"), (b"d", b"x")]
    question = keys_question(start=b"b", end=b"d")
    listing = Listing(question, SEED, digest_of)
    assert listing.start == b"b"
    assert listing.on_rows(rows, b"e") == Compared(4, b"d", [b"b", b"c"], [])
    listing = Listing(question, SEED, digest_of)
    assert listing.on_rows(rows[:1], b"c") is None
    assert listing.start == b"c"
    assert listing.on_rows(rows[1:2], b"d") == Compared(4, b"d", [b"b", b"c"], [])
    listing = Listing(keys_question(leaves=[LEAF]), SEED, digest_of)
    assert listing.on_rows([*rows, (KEY, b"x")], EDGE) == Compared(4, EDGE, [KEY], [])


def test_a_long_answer_is_cut_before_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCAN_PAGE_BYTES", compare.HEAD_BYTES + 12)
    rows = [(b"a" * 5, b"x"), (b"b", b"x"), (b"c" * 20, b"x")]
    assert Listing(keys_question(), SEED, digest_of).on_rows(rows, EDGE) == Compared(
        4, b"c" * 20, [b"a" * 5, b"b"], []
    )
    # One key at least, or the same question would come again and again.
    assert Listing(keys_question(), SEED, digest_of).on_rows(rows[2:], EDGE) == Compared(
        4, EDGE, [b"c" * 20], []
    )


def test_the_longest_messages_fit_a_page() -> None:
    """Everything listed is missing, and the keys found instead are as long as keys can be."""
    numbers = [2**64 - 1 - n for n in range(compare.LISTED_MAX)]
    long = b"k" * (row_keys.ROW_KEY_BYTES_MAX - 4)
    fields = {"start": long + b"0000", "end": long + b"9999"}
    question = keys_question(hashes=numbers, digests=numbers, **fields)
    assert len(codec.encode(question)) < limits.SCAN_PAGE_BYTES
    rows = [(long + b"%04d" % n, b"x") for n in range(300)]
    compared = Listing(question, SEED, digest_of).on_rows(rows, EDGE)
    assert compared is not None
    assert compared.end in dict(rows)
    assert len(compared.missing) == compare.LISTED_MAX
    size = len(codec.encode(compared))
    assert limits.SCAN_PAGE_BYTES - 2 * compare.HEAD_BYTES < size <= limits.SCAN_PAGE_BYTES


def test_of_a_cut_answer_only_its_range_counts() -> None:
    """What is missing behind the cut was not looked for yet."""
    store = Store({b"%d" % n: b"x" for n in range(100)})
    leaf = leaf_of(b"50", SEED)
    same = [b"%d" % n for n in range(20_000) if leaf_of(b"%d" % n, SEED) == leaf]
    first, second, third = sorted(same)[:3]
    exchange = exchange_of(store)
    exchange.on_answer(Branches(1, Store().tree.branches()))
    exchange.on_answer(Differing(2, [leaf]))
    exchange.on_settled()
    exchange.on_answer(Differing(3, [leaf]))
    exchange.on_rows([(first, b"x"), (second, b"x"), (third, b"x")], EDGE)
    repair = exchange.on_answer(Compared(4, second, [], [0, 1, 2]))
    assert repair == Repair([], [first])
    exchange.on_repaired()
    question = asked(exchange)
    assert isinstance(question, CompareKeys)
    assert (question.start, question.end, len(question.hashes)) == (second, EDGE, 2)
    assert exchange.on_answer(Compared(5, EDGE, [], [1])) == Repair([], [third])
    assert type(exchange.on_repaired()) is Done


def test_rows_are_asked_for_until_the_end() -> None:
    exchange = at_rows(Store({KEY: b"x"}))
    assert exchange.on_rows([(b"a", b"x")], b"k") == Read(b"k")
    exchange.on_rows([(KEY, b"x")], EDGE)
    question = asked(exchange)
    assert isinstance(question, CompareKeys)
    assert len(question.hashes) == 1
