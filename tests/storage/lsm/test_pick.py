from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamokv.storage.lsm.jobs import Merge
from dynamokv.storage.lsm.options import Compaction, LSMOptions
from dynamokv.storage.lsm.pick import pick
from dynamokv.storage.lsm.tree import Edit, Range, TableMeta, Tree, overlapping

OPTIONS = LSMOptions(
    memtable_bytes=400,
    table_bytes=400,
    level_bytes=1200,
    level_ratio=3,
    merge_tables=3,
    slow_tables=6,
    stop_tables=9,
)
TIERED = replace(OPTIONS, compaction=Compaction.SIZE_TIERED)
ROW_BYTES = 100

Rows = dict[bytes, bytes | None]


def key(number: int) -> bytes:
    return b"%04d" % number


def is_dropped(key: bytes, dropped: Sequence[Range]) -> bool:
    return any(start <= key < end for start, end in dropped)


@dataclass
class Store:
    """A tree whose tables are dicts: what merges mean, with nothing in between."""

    tree: Tree = field(default_factory=Tree)
    contents: dict[int, Rows] = field(default_factory=dict)
    written_bytes: int = 0

    def meta(self, rows: Rows, first: int, last: int, dropped: tuple[Range, ...] = ()) -> TableMeta:
        number = max(self.contents, default=0) + 1
        self.contents[number] = rows
        size_bytes = ROW_BYTES * len(rows)
        self.written_bytes += size_bytes
        return TableMeta(
            number=number,
            size_bytes=size_bytes,
            digest=bytes(16),
            rows=len(rows),
            deletions=list(rows.values()).count(None),
            first_key=min(rows),
            last_key=max(rows),
            first_sequence=first,
            last_sequence=last,
            dropped=dropped,
        )

    def flush(self, rows: Rows, dropped: tuple[Range, ...] = ()) -> None:
        first = self.tree.sequence
        meta = self.meta(rows, first, first + 4, dropped)
        self.tree = self.tree.apply(Edit(added=((0, meta),), sequence=first + 5))

    def answer(self) -> dict[bytes, bytes]:
        """Every row, as a reader finds them: the first table that has a key."""
        found: Rows = {}
        for table in reversed(self.tree.tables()):
            found.update(self.rows(table))
        return {key: value for key, value in found.items() if value is not None}

    def rows(self, table: TableMeta) -> Rows:
        rows = self.contents[table.number]
        return {k: v for k, v in rows.items() if not is_dropped(k, table.dropped)}

    def result(self, merge: Merge) -> Edit:
        """What a merge comes to."""
        inputs = [table for run in merge.runs for table in run]
        merged: Rows = {}
        for run in reversed(merge.runs):
            for table in run:
                merged.update(self.rows(table))
        if not merge.keep_deletions:
            merged = {key: value for key, value in merged.items() if value is not None}
        keys = sorted(merged)
        size = merge.table_bytes // ROW_BYTES if merge.table_bytes else max(len(keys), 1)
        first = min(table.first_sequence for table in inputs)
        last = max(table.last_sequence for table in inputs)
        made = [
            self.meta({key: merged[key] for key in keys[at : at + size]}, first, last)
            for at in range(0, len(keys), size)
        ]
        return Edit(
            removed=tuple(table.number for table in inputs),
            added=tuple((merge.level, table) for table in made),
        )

    def check(self) -> None:
        """The invariants of ``Tree``."""
        newest = self.tree.levels[0]
        for new, old in pairwise(newest):
            assert new.first_sequence > old.last_sequence
        for level in self.tree.levels[1:]:
            for one, other in pairwise(level):
                assert one.last_key < other.first_key

    def settle(self, options: LSMOptions) -> int:
        """Do everything that is picked; how much it was."""
        done = 0
        answer = self.answer()
        while (found := pick(self.tree, options)) is not None:
            done += 1
            assert done < 1000, "it goes in circles"
            self.tree = self.tree.apply(self.result(found) if isinstance(found, Merge) else found)
            self.check()
            assert self.answer() == answer
        return done


def store_of(*levels: Sequence[tuple[int, int]]) -> Store:
    """Tables from one key to another; level 0 is given from new to old."""
    store = Store()
    sequence = 1
    for number, spans in reversed(list(enumerate(levels))):
        for first, last in reversed(spans):
            meta = store.meta({key(at): b"x" for at in range(first, last + 1)}, sequence, sequence)
            store.tree = store.tree.apply(Edit(added=((number, meta),)))
            sequence += 1
    store.tree = store.tree.apply(Edit(sequence=sequence))
    return store


def spans(tables: Sequence[TableMeta]) -> list[tuple[int, int]]:
    return [(int(table.first_key), int(table.last_key)) for table in tables]


def merged(
    store: Store, options: LSMOptions = OPTIONS, busy: frozenset[int] = frozenset()
) -> Merge:
    found = pick(store.tree, options, busy)
    assert isinstance(found, Merge)
    return found


def moved(store: Store) -> list[tuple[int, tuple[int, int]]]:
    found = pick(store.tree, OPTIONS)
    assert isinstance(found, Edit)
    assert found.removed == tuple(table.number for _, table in found.added)
    return [(level, spans([table])[0]) for level, table in found.added]


# Leveled.


def test_nothing_is_picked_from_a_tree_that_is_well() -> None:
    assert pick(Tree(), OPTIONS) is None
    assert pick(store_of([(0, 9), (0, 9)], [(0, 3), (4, 7)]).tree, OPTIONS) is None


def test_all_of_level_0_goes_down_with_what_it_overlaps() -> None:
    merge = merged(store_of([(0, 1), (3, 6), (0, 3)], [(0, 1), (5, 7), (8, 9)]))
    assert [spans(run) for run in merge.runs] == [[(0, 1)], [(3, 6)], [(0, 3)], [(0, 1), (5, 7)]]
    assert (merge.level, merge.table_bytes, merge.keep_deletions) == (1, 400, False)


def test_tables_between_those_of_level_0_are_part_of_it() -> None:
    """The result may be one table over all of the range."""
    merge = merged(store_of([(0, 1), (0, 1), (8, 9), (8, 9)], [(4, 5)]))
    assert spans(merge.runs[-1]) == [(4, 5)]


def test_of_very_many_only_the_oldest_leave_level_0() -> None:
    merge = merged(store_of([(at, 20) for at in range(12)]))
    assert [spans(run) for run in merge.runs] == [[(at, 20)] for at in range(3, 12)]


def test_what_is_newer_than_a_busy_table_stays_in_level_0() -> None:
    store = store_of([(at, 20) for at in range(8)])
    numbers = [table.number for table in store.tree.levels[0]]
    merge = merged(store, busy=frozenset({numbers[4]}))
    assert [spans(run) for run in merge.runs] == [[(5, 20)], [(6, 20)], [(7, 20)]]
    assert pick(store.tree, OPTIONS, frozenset({numbers[5]})) is None


def test_tables_that_meet_nobody_move() -> None:
    assert moved(store_of([(40, 50), (10, 20), (0, 9)], [(30, 35)])) == [
        (1, (0, 9)),
        (1, (10, 20)),
        (1, (40, 50)),
    ]
    assert moved(store_of([(15, 16), (15, 20), (0, 9)], [(30, 35)])) == [(1, (0, 9))]
    assert moved(store_of([], [(0, 9), (10, 19)], [(3, 5)])) == [(2, (10, 19))]


def test_deletions_that_delete_nothing_are_merged_away_instead() -> None:
    store = store_of([], [(20, 29)])
    gone: Rows = {key(at): None for at in range(9)}
    store.tree = store.tree.apply(Edit(added=((1, store.meta(gone, 9, 9)),)))
    merge = merged(store)
    assert [spans(run) for run in merge.runs] == [[(0, 8)]]
    assert (merge.level, merge.keep_deletions) == (2, False)
    below = store.meta({key(4): b"x"}, 8, 8)
    store.tree = store.tree.apply(Edit(added=((3, below),)))
    assert moved(store) == [(2, (0, 8))]


def test_the_cheapest_table_leaves_a_level() -> None:
    merge = merged(store_of([], [(0, 5), (10, 19), (20, 25)], [(0, 9), (12, 14), (20, 30)]))
    assert [spans(run) for run in merge.runs] == [[(10, 19)], [(12, 14)]]
    assert merge.level == 2


def test_the_fullest_level_comes_first() -> None:
    store = store_of([(0, 5)] * 3, [(0, 50)], [(0, 20)])
    assert merged(store).level == 2
    store = store_of([(0, 5)] * 9, [(0, 20)], [(0, 20)])
    assert merged(store).level == 1


def test_a_level_takes_its_next_choice_where_something_is_busy() -> None:
    store = store_of([], [(0, 5), (10, 19), (20, 28)], [(0, 9), (12, 14), (20, 30)])
    cheapest, below = (merged(store).runs[at][0].number for at in (0, 1))
    for busy in (cheapest, below):
        merge = merged(store, busy=frozenset({busy}))
        assert spans(merge.runs[0]) == [(20, 28)]


def test_deletions_are_kept_while_an_older_table_may_have_the_row() -> None:
    level_1 = [(0, 19)]
    assert merged(store_of([], level_1, [(5, 6)], [(20, 30)])).keep_deletions is False
    assert merged(store_of([], level_1, [(5, 6)], [(19, 30)])).keep_deletions is True
    assert merged(store_of([], level_1, [(15, 26)], [(25, 30)])).keep_deletions is True
    # A newer table that overlaps, or a neighbour, hides nothing.
    assert merged(store_of([(0, 9)], [(0, 9), (20, 30)], [(5, 25)])).keep_deletions is False


# Size-tiered.


def test_neighbours_of_like_size_become_one_table() -> None:
    store = store_of([(0, 49), (0, 9), (0, 19), (3, 17), (0, 99)])
    merge = merged(store, TIERED)
    assert [spans(run) for run in merge.runs] == [[(0, 9)], [(0, 19)], [(3, 17)]]
    assert (merge.level, merge.table_bytes, merge.keep_deletions) == (0, 0, True)
    before = [spans([table]) for table in store.tree.levels[0]]
    store.tree = store.tree.apply(store.result(merge))
    after = [spans([table]) for table in store.tree.levels[0]]
    assert after == [before[0], [(0, 19)], before[4]]


def test_a_busy_table_parts_its_neighbours() -> None:
    store = store_of([(0, 9)] * 5)
    numbers = [table.number for table in store.tree.levels[0]]
    assert pick(store.tree, TIERED, frozenset({numbers[2]})) is None
    merge = merged(store, TIERED, frozenset({numbers[1]}))
    assert [run[0].number for run in merge.runs] == numbers[2:]


def test_tables_of_unlike_size_are_merged_when_they_are_too_many() -> None:
    sizes = [0, 9, 0, 9, 0, 9, 99, 2, 99]
    assert pick(store_of([(0, size) for size in sizes[:6]]).tree, TIERED) is None
    merge = merged(store_of([(0, size) for size in sizes]), TIERED)
    assert [spans(run)[0][1] for run in merge.runs] == [0, 9, 0]


def test_a_level_that_leveling_left_is_one_old_run() -> None:
    merge = merged(store_of([(0, 9), (0, 9)], [(0, 4), (5, 9)], [(0, 99)]), TIERED)
    assert [spans(run) for run in merge.runs] == [[(0, 9)], [(0, 9)], [(0, 4), (5, 9)]]
    assert (merge.level, merge.table_bytes, merge.keep_deletions) == (1, 400, True)


# Both, on whatever tree.

numbers = st.integers(0, 60)
flushes = st.lists(
    st.tuples(
        st.dictionaries(numbers, st.one_of(st.none(), st.binary(max_size=2)), min_size=1),
        st.lists(st.tuples(numbers, numbers), max_size=2),
        st.sampled_from([None, OPTIONS, TIERED]),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(flushes)
def test_no_merge_changes_an_answer_in_either_style(
    steps: list[tuple[dict[int, bytes | None], list[tuple[int, int]], LSMOptions | None]],
) -> None:
    store = Store()
    for rows, ranges, options in steps:
        dropped = tuple((key(start), key(end)) for start, end in ranges if start < end)
        store.flush({key(number): value for number, value in rows.items()}, dropped)
        if options is not None:
            store.settle(options)
    for options in (OPTIONS, TIERED, OPTIONS):
        store.settle(options)


@settings(max_examples=200)
@given(flushes, st.sampled_from([OPTIONS, TIERED]), st.randoms(use_true_random=False))
def test_merges_that_run_at_the_same_time_do_not_meet(
    steps: list[tuple[dict[int, bytes | None], list[tuple[int, int]], LSMOptions | None]],
    options: LSMOptions,
    rng: random.Random,
) -> None:
    """Two or more are under way, and end in any order; flushes come in between."""
    store = Store()
    running: list[Merge] = []
    for rows, ranges, earlier in steps:
        dropped = tuple((key(start), key(end)) for start, end in ranges if start < end)
        store.flush({key(number): value for number, value in rows.items()}, dropped)
        if earlier is not None and not running:
            store.settle(earlier)
        while rng.random() < 0.6:
            answer = store.answer()
            busy = frozenset(t.number for merge in running for run in merge.runs for t in run)
            found = pick(store.tree, options, busy)
            if isinstance(found, Edit):
                assert not busy & set(found.removed)
                store.tree = store.tree.apply(found)
            elif found is not None:
                assert not busy & {t.number for run in found.runs for t in run}
                running.append(found)
            if running and (found is None or rng.random() < 0.4):
                done = running.pop(rng.randrange(len(running)))
                store.tree = store.tree.apply(store.result(done))
            store.check()
            assert store.answer() == answer


def test_old_deletions_go_in_the_end() -> None:
    store = Store()
    rng = random.Random(3)
    for _ in range(60):
        store.flush({key(rng.randrange(200)): b"x" for _ in range(4)})
        store.settle(OPTIONS)
    for _ in range(400):
        store.flush({key(at): None for at in rng.sample(range(200), 4)})
        store.settle(OPTIONS)
    rows = sum(table.rows for table in store.tree.tables())
    assert len(store.answer()) < 2
    assert rows < 150


def overwrite(options: LSMOptions, keys: int, times: int) -> tuple[float, float, int]:
    """Overwrite all keys some times at random: bytes written for a byte flushed, bytes held for a
    byte of the data, and the most tables in level 0."""
    store = Store()
    rng = random.Random(4)
    rows = options.memtable_bytes // ROW_BYTES
    flushed = tables = 0
    for _ in range(times * keys // rows):
        store.flush({key(rng.randrange(keys)): b"x" for _ in range(rows)})
        flushed += rows
        while (found := pick(store.tree, options)) is not None:
            store.tree = store.tree.apply(
                store.result(found) if isinstance(found, Merge) else found
            )
        tables = max(tables, len(store.tree.levels[0]))
    held = sum(table.rows for table in store.tree.tables())
    return store.written_bytes / ROW_BYTES / flushed, held / len(store.answer()), tables


SCALED = LSMOptions(memtable_bytes=3200, table_bytes=3200, level_bytes=25_600)
"""The defaults, one in 10,000."""


@pytest.mark.parametrize(
    ("compaction", "written_most", "held_most"),
    [(Compaction.LEVELED, 10.0, 1.6), (Compaction.SIZE_TIERED, 6.0, 4.0)],
)
def test_what_a_byte_costs(compaction: Compaction, written_most: float, held_most: float) -> None:
    written, held, tables = overwrite(replace(SCALED, compaction=compaction), 2000, 5)
    assert written <= written_most
    assert held <= held_most
    assert tables < SCALED.slow_tables


def test_the_helper_finds_what_overlaps_at_its_ends() -> None:
    store = store_of([(0, 4), (4, 8), (9, 9)])
    assert spans(overlapping(store.tree.levels[0], key(4), key(8))) == [(0, 4), (4, 8)]
