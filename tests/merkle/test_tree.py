"""The tree against a dict: it says what is there, and nothing about how it came there."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from dynamokv.merkle.tree import (
    BRANCH_BYTES,
    FAN_OUT,
    LEAVES,
    SUM_BYTES,
    Tree,
    decode,
    differing,
    leaf_of,
)

SEED = 12345
U64_MAX = 2**64 - 1

LEAF_NUMBERS = [571, 347, 422, 795]
ROOT = "fbd051901bdfd60230876dfa5a1a338c"
ENCODED = 0x1EB9E8B733CEB9E7

KEYS = st.binary(min_size=1, max_size=3) | st.sampled_from([b"k" * 300, bytes(1091)])
DIGESTS = st.integers(1, 3) | st.integers(1, U64_MAX)
CONTENTS = st.dictionaries(KEYS, DIGESTS, max_size=40)
WRITES = st.lists(st.tuples(KEYS, st.just(0) | DIGESTS), max_size=60)


def tree_of(contents: dict[bytes, int], seed: int = SEED) -> Tree:
    tree = Tree(seed)
    for key, digest in contents.items():
        tree.replace(key, 0, digest)
    return tree


def number(sums: bytes) -> int:
    """The total of sums that stand one after the other."""
    places = range(0, len(sums), SUM_BYTES)
    return sum(int.from_bytes(sums[at : at + SUM_BYTES]) for at in places) % 2**128


@given(WRITES)
def test_any_writes_give_the_tree_of_what_is_left(writes: list[tuple[bytes, int]]) -> None:
    tree = Tree(SEED)
    model: dict[bytes, int] = {}
    for key, digest in writes:
        tree.replace(key, model.get(key, 0), digest)
        model[key] = digest
    assert tree == tree_of({key: digest for key, digest in model.items() if digest})


@given(CONTENTS, st.randoms(use_true_random=False))
def test_the_order_of_writes_says_nothing(contents: dict[bytes, int], random: Random) -> None:
    shuffled = list(contents.items())
    random.shuffle(shuffled)
    assert tree_of(dict(shuffled)) == tree_of(contents)


@given(CONTENTS, CONTENTS)
def test_trees_differ_exactly_when_contents_differ(
    one: dict[bytes, int], other: dict[bytes, int]
) -> None:
    ours, theirs = tree_of(one), tree_of(other)
    same = one == other
    assert (ours == theirs) is same
    assert (ours.root() == theirs.root()) is same
    assert (ours.encode() == theirs.encode()) is same


@given(CONTENTS, CONTENTS)
def test_exactly_the_leaves_of_differing_keys_differ(
    one: dict[bytes, int], other: dict[bytes, int]
) -> None:
    ours, theirs = tree_of(one), tree_of(other)
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    leaves = sorted({leaf_of(key, SEED) for key in keys})
    branches = differing(ours.branches(), theirs.branches())
    assert branches == sorted({leaf // FAN_OUT for leaf in leaves})
    found = [
        branch * FAN_OUT + place
        for branch in range(FAN_OUT)
        for place in differing(ours.leaves(branch), theirs.leaves(branch))
    ]
    assert found == leaves


@given(CONTENTS)
def test_each_level_adds_up_to_the_one_above(contents: dict[bytes, int]) -> None:
    tree = tree_of(contents)
    branches = tree.branches()
    assert len(branches) == BRANCH_BYTES
    assert tree.root() == number(branches).to_bytes(SUM_BYTES)
    for branch in range(FAN_OUT):
        at = branch * SUM_BYTES
        assert len(tree.leaves(branch)) == BRANCH_BYTES
        assert number(tree.leaves(branch)) == number(branches[at : at + SUM_BYTES])


@given(CONTENTS)
def test_a_stored_tree_comes_back(contents: dict[bytes, int]) -> None:
    tree = tree_of(contents)
    again = decode(tree.encode(), SEED)
    assert again == tree
    assert (again.root(), again.branches()) == (tree.root(), tree.branches())
    again.replace(b"new", 0, 5)
    tree.replace(b"new", 0, 5)
    assert again == tree


@given(CONTENTS, st.data())
def test_a_damaged_tree_is_refused(contents: dict[bytes, int], data: st.DataObject) -> None:
    good = tree_of(contents).encode()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(bad), good[:at], good + b"\0"):
        with pytest.raises(ValueError, match="tree"):
            decode(damaged, SEED)


def sealed(body: bytes) -> bytes:
    return body + xxh3_64_intdigest(body, SEED).to_bytes(8)


def test_a_tree_of_another_version_or_shape_is_refused_by_name() -> None:
    body = tree_of({b"a": 1}).encode()[:-8]
    with pytest.raises(ValueError, match="version 2"):
        decode(sealed(b"\2" + body[1:]), SEED)
    with pytest.raises(ValueError, match="length"):
        decode(sealed(body + bytes(BRANCH_BYTES)), SEED)
    with pytest.raises(ValueError, match="checksum"):
        decode(sealed(body[:7]), SEED)


def test_a_tree_of_another_ring_is_refused() -> None:
    assert Tree(1) != Tree(2)
    with pytest.raises(ValueError, match="another ring"):
        decode(Tree(1).encode(), 2)


def test_a_tree_is_equal_to_no_other_thing() -> None:
    assert Tree(SEED) != b""
    assert Tree(SEED) == Tree(SEED)


def test_every_leaf_is_used() -> None:
    """Also by keys that one partition holds, whose hashes share their high bits."""
    hashes = [xxh3_64_intdigest(b"%d" % n, SEED) for n in range(200_000)]
    keys = [b"%d" % n for n, found in enumerate(hashes) if found >> 60 == 7]
    counts = [0] * LEAVES
    for key in keys:
        counts[leaf_of(key, SEED)] += 1
    assert min(counts) > 0
    assert max(counts) < 4 * len(keys) / LEAVES


def test_records_that_change_places_are_seen() -> None:
    before = tree_of({b"a": 10, b"b": 20, b"c": 30})
    assert leaf_of(b"a", SEED) != leaf_of(b"b", SEED)
    assert before.root() != tree_of({b"a": 20, b"b": 10, b"c": 30}).root()
    assert before.root() != tree_of({b"a": 10, b"c": 20, b"b": 30}).root()


def test_the_same_change_of_two_records_is_seen() -> None:
    """Hashes of the digest alone, under exclusive-or, would make up for each other."""
    before = tree_of({b"a": 10, b"b": 10})
    assert before.root() != tree_of({b"a": 20, b"b": 20}).root()
    assert before.root() != Tree(SEED).root()


def test_what_is_counted_twice_does_not_vanish() -> None:
    """Under exclusive-or, a record that went in twice looks like one that is not there, and the
    tree says "equal" to a store without it."""
    once, twice = tree_of({b"a": 10}), tree_of({b"a": 10})
    twice.replace(b"a", 0, 10)
    assert twice.root() not in (Tree(SEED).root(), once.root())
    twice.replace(b"a", 10, 0)
    twice.replace(b"a", 10, 0)
    assert twice == Tree(SEED)


def cancelling(hashes: list[int]) -> list[int]:
    """Places whose hashes, under exclusive-or, give nothing: elimination over bits."""
    pivots: dict[int, tuple[int, int]] = {}
    for place, hashed in enumerate(hashes):
        value, members = hashed, 1 << place
        while value and value.bit_length() in pivots:
            other, theirs = pivots[value.bit_length()]
            value, members = value ^ other, members ^ theirs
        if not value:
            return [at for at in range(len(hashes)) if members >> at & 1]
        pivots[value.bit_length()] = value, members
    raise AssertionError("129 numbers of 128 bits are never independent")


def test_records_that_cancel_out_under_exclusive_or_are_seen() -> None:
    """Found in a moment among any 129 records, whatever the hash."""
    keys = [b"%d" % n for n in range(129)]
    hashes = [number(tree_of({key: 7}).root()) for key in keys]
    chosen = cancelling(hashes)
    total = 0
    for at in chosen:
        total ^= hashes[at]
    assert total == 0
    assert len(chosen) > 2
    assert tree_of({keys[at]: 7 for at in chosen}).root() != Tree(SEED).root()


def test_sums_of_different_number_are_no_answer() -> None:
    with pytest.raises(ValueError, match="shapes"):
        differing(bytes(512), bytes(496))


def test_hashes_and_bytes_are_fixed_for_ever() -> None:
    """Golden values. Members of two versions with different ones would repair for ever."""
    assert [leaf_of(key, SEED) for key in (b"", b"a", b"user:1", b"k" * 300)] == LEAF_NUMBERS
    tree = tree_of({b"a": 1, b"user:1": U64_MAX, b"k" * 300: 2**63})
    assert tree.root().hex() == ROOT
    assert xxh3_64_intdigest(tree.encode()) == ENCODED
    lone = tree_of({b"a": 1})
    leaf = LEAF_NUMBERS[1]
    expected = bytearray(8 + BRANCH_BYTES)
    expected[0] = 1
    expected[4:8] = (1 << leaf // FAN_OUT).to_bytes(4)
    at = 8 + leaf % FAN_OUT * SUM_BYTES
    expected[at : at + SUM_BYTES] = lone.root()
    assert lone.encode() == sealed(bytes(expected))
