"""Whole exchanges between two stores: whatever they hold, whoever asks, and whatever happens to the
messages and to the stores meanwhile, both end with the union."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from dynamokv import limits
from dynamokv.merkle import compare
from dynamokv.merkle.messages import EDGE
from dynamokv.merkle.tree import decode, leaf_of
from tests.merkle.stores import CALM, SEED, Store, Talk, Weather, digest_of, union

KEYS = st.integers(0, 60).map(lambda n: b"key %02d" % n) | st.binary(min_size=1, max_size=2)
RECORDS = st.frozensets(st.integers(0, 9), min_size=1, max_size=3).map(lambda s: bytes(sorted(s)))
CONTENTS = st.dictionaries(KEYS, RECORDS, max_size=30)
WRITES = st.lists(st.tuples(st.booleans(), KEYS, RECORDS), max_size=30)
WEATHERS = st.builds(
    Weather, st.randoms(use_true_random=False), st.floats(0, 0.6), st.sampled_from([0.0, 0.5, 1.0])
)
PAGES = st.tuples(st.integers(1, 8), st.integers(20, 200), st.integers(1, 9))
"""Keys that are listed at once, bytes of an answer, rows of a slice."""


def exchange(
    asker: Store, other: Store, pages: tuple[int, int, int] | None = None, weather: Weather = CALM
) -> Talk:
    """One exchange, until it is over."""
    return run(Talk(asker, other, weather=weather), pages)


def run(talk: Talk, pages: tuple[int, int, int] | None) -> Talk:
    with pytest.MonkeyPatch.context() as patch:
        if pages is not None:
            listed, answer_bytes, talk.slice_rows = pages
            patch.setattr(compare, "LISTED_MAX", listed)
            patch.setattr(limits, "SCAN_PAGE_BYTES", compare.HEAD_BYTES + answer_bytes)
        talk.run()
    return talk


def assert_equal(one: Store, other: Store, contents: dict[bytes, bytes]) -> None:
    assert one.records == other.records == contents
    assert one.tree == other.tree == Store(contents).tree


@given(CONTENTS, CONTENTS, CONTENTS, PAGES | st.none())
def test_both_end_with_the_union(
    shared: dict[bytes, bytes],
    ours: dict[bytes, bytes],
    theirs: dict[bytes, bytes],
    pages: tuple[int, int, int] | None,
) -> None:
    one, other = Store(shared | ours), Store(shared | theirs)
    contents = union(one.records, other.records)
    differing = {key for key in contents if one.get(key) != other.get(key)}
    talk = exchange(one, other, pages)
    assert_equal(one, other, contents)
    # Each key that differs, once in each direction, and no other: what is the same stays.
    fetched, pushed = talk.repaired
    assert (len(fetched), len(pushed)) == (len(set(fetched)), len(set(pushed)))
    assert {*fetched, *pushed} == differing


@given(CONTENTS, CONTENTS)
def test_it_does_not_matter_who_asks(ours: dict[bytes, bytes], theirs: dict[bytes, bytes]) -> None:
    one, other, third, fourth = Store(ours), Store(theirs), Store(theirs), Store(ours)
    forth, back = exchange(one, other), exchange(third, fourth)
    assert_equal(one, other, union(ours, theirs))
    assert_equal(third, fourth, union(ours, theirs))
    assert [sorted(keys) for keys in forth.repaired] == [sorted(k) for k in back.repaired[::-1]]


@given(CONTENTS, CONTENTS, CONTENTS, PAGES, WEATHERS)
def test_messages_get_lost_come_twice_and_in_any_order(
    shared: dict[bytes, bytes],
    ours: dict[bytes, bytes],
    theirs: dict[bytes, bytes],
    pages: tuple[int, int, int],
    weather: Weather,
) -> None:
    one, other = Store(shared | ours), Store(shared | theirs)
    contents = union(one.records, other.records)
    exchange(one, other, pages, weather)
    assert_equal(one, other, contents)


@given(CONTENTS, CONTENTS, WRITES, PAGES, WEATHERS)
def test_writes_go_on_meanwhile(
    ours: dict[bytes, bytes],
    theirs: dict[bytes, bytes],
    writes: list[tuple[bool, bytes, bytes]],
    pages: tuple[int, int, int],
    weather: Weather,
) -> None:
    """They may leave a difference, never lose a record; the first exchange without them ends it."""
    one, other = Store(ours), Store(theirs)
    contents = union(ours, theirs)
    waiting = writes[::-1]

    def write() -> None:
        if waiting:
            here, key, record = waiting.pop()
            (one if here else other).join(key, record)
            contents.update(union({key: contents.get(key, b"")}, {key: record}))

    ids = count(1)
    run(Talk(one, other, weather=weather, meanwhile=write, ids=ids), pages)
    while waiting:
        write()
    assert union(one.records, other.records) == contents
    run(Talk(one, other, weather=weather, ids=ids), pages)
    assert_equal(one, other, contents)


@given(CONTENTS, CONTENTS, st.integers(0, 40), PAGES)
def test_one_that_was_dropped_leaves_nothing_behind(
    ours: dict[bytes, bytes], theirs: dict[bytes, bytes], steps: int, pages: tuple[int, int, int]
) -> None:
    one, other = Store(ours), Store(theirs)
    contents = union(ours, theirs)
    left = steps

    def drop() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise TimeoutError

    try:
        run(Talk(one, other, meanwhile=drop), pages)
    except TimeoutError:
        assert union(one.records, other.records) == contents
    exchange(other, one, pages)
    assert_equal(one, other, contents)


def test_equal_stores_say_two_short_messages_and_read_nothing() -> None:
    contents = {b"%d" % n: b"x" for n in range(500)}
    one, other = Store(contents), Store(contents)
    talk = exchange(one, other)
    assert talk.repaired == ([], [])
    assert talk.messages == 2
    assert talk.bytes_sent < 40
    assert one.rows_read + other.rows_read == 0


def test_writes_under_way_make_no_store_be_read() -> None:
    """They differ in the first look, and others in the second."""
    contents = {b"%d" % n: b"x" for n in range(100)}
    one, other = Store(contents), Store(contents)
    one.join(b"1", b"y")
    steps = count(1)

    def arrive() -> None:
        # The steps: roots, 2 messages; leaves, 2 messages; then the wait.
        if next(steps) == 5:
            other.join(b"1", b"y")
            one.join(b"2", b"y")

    talk = run(Talk(one, other, meanwhile=arrive), None)
    assert leaf_of(b"1", SEED) != leaf_of(b"2", SEED)
    assert next(steps) > 6
    assert talk.messages == 6
    assert talk.repaired == ([], [])
    assert one.rows_read + other.rows_read == 0
    exchange(one, other)
    assert_equal(one, other, {**contents, b"1": b"xy", b"2": b"xy"})


@pytest.mark.parametrize("full_asks", [False, True])
def test_one_side_without_the_partition(full_asks: bool) -> None:
    """With long keys, too: no message grows, and each side reads its rows about once."""
    contents = {b"%06d" % n + b"k" * 1000: b"x" for n in range(2000)}
    full, empty = Store(contents), Store()
    asker, other = (full, empty) if full_asks else (empty, full)
    talk = run(Talk(asker, other, slice_rows=512), None)
    assert_equal(full, empty, contents)
    found = talk.repaired[full_asks]
    assert sorted(found) == sorted(contents)
    assert not talk.repaired[not full_asks]
    assert 16 * 1024 < talk.largest <= limits.SCAN_PAGE_BYTES
    # A slice may be read again where a page was cut.
    assert full.rows_read <= len(contents) + 512 * talk.lists
    assert empty.rows_read <= len(contents)


def test_many_short_keys_are_listed_in_pages() -> None:
    contents = {b"%05d" % n: b"x" for n in range(10_000)}
    one, other = Store(contents), Store(dict.fromkeys(contents, b"y"))
    talk = run(Talk(one, other, slice_rows=1000), None)
    assert_equal(one, other, dict.fromkeys(contents, b"xy"))
    assert talk.lists == 3
    assert 64 * 1024 < talk.largest <= limits.SCAN_PAGE_BYTES
    assert len(talk.repaired[0]) == len(talk.repaired[1]) == 10_000


def test_records_that_changed_places_are_found() -> None:
    contents = {b"a": b"x", b"b": b"y", b"c": b"z"}
    assert leaf_of(b"a", SEED) != leaf_of(b"b", SEED)
    one, other = Store(contents), Store({**contents, b"a": b"y", b"b": b"x"})
    talk = exchange(one, other)
    assert_equal(one, other, {b"a": b"xy", b"b": b"xy", b"c": b"z"})
    assert talk.repaired == ([b"a", b"b"], [b"a", b"b"])


def test_a_record_under_another_key_is_found() -> None:
    one, other = Store({b"a": b"x"}), Store({b"b": b"x"})
    assert exchange(one, other).repaired == ([b"b"], [b"a"])
    assert_equal(one, other, {b"a": b"x", b"b": b"x"})


def test_two_keys_with_one_hash_hide_a_difference_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under the first exchange's salt all keys have the same hash; under the next, they differ."""

    def hashed(key: bytes, seed: int) -> int:
        return 0 if seed == SEED ^ 1 else xxh3_64_intdigest(key, seed)

    monkeypatch.setattr(compare, "xxh3_64_intdigest", hashed)
    keys = (b"%d" % n for n in count())
    first = next(keys)
    second = next(key for key in keys if leaf_of(key, SEED) == leaf_of(first, SEED))
    assert first < second
    one, other = Store({second: b"x"}), Store({first: b"x", second: b"x"})
    ids = count(1)
    assert run(Talk(one, other, ids=ids), None).repaired == ([second], [])
    assert run(Talk(one, other, ids=ids), None).repaired == ([first], [])
    assert_equal(one, other, {first: b"x", second: b"x"})


class Million(Store):
    """10^6 records that take no memory, but for those that were written since."""

    size = 1_000_000

    def slice(self, start: bytes, rows: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
        first = int(start[4:]) if start else 0
        last = min(first + rows, self.size)
        self.rows_read += last - first
        found = [(key, self.get(key)) for key in map(self.key, range(first, last))]
        return found, self.key(last) if last < self.size else EDGE

    def get(self, key: bytes) -> bytes:
        return self.records.get(key, b"same")

    @staticmethod
    def key(number: int) -> bytes:
        return b"user%07d" % number


def test_one_differing_key_in_a_million_moves_less_than_64_kib() -> None:
    one, other = Million(), Million()
    digest = digest_of(b"same")
    for number in range(Million.size):
        one.tree.replace(Million.key(number), 0, digest)
    other.tree = decode(one.tree.encode(), SEED)
    key = Million.key(700_000)
    other.join(key, b"other")
    talk = run(Talk(one, other, slice_rows=4096), None)
    assert talk.repaired == ([key], [key])
    assert one.tree == other.tree
    assert one.get(key) == other.get(key) == bytes(sorted({*b"same", *b"other"}))
    # A leaf of about a thousand keys was listed, once, by one side; and each side read once.
    assert talk.lists == 1
    assert 900 * 16 < talk.bytes_sent < 64 * 1024
    assert one.rows_read == other.rows_read == Million.size
