"""Which tables to merge next. Pure.

Knows: a tree, the options, which tables are being worked on. Must not know: files, time, who does
the work.

Leveled after LevelDB: a level above its size gives tables to the level below it, and of its tables
the one that costs least there (RocksDB's ``kMinOverlappingRatio``). Size-tiered after Bigtable:
neighbours in age and of like size become one table of the same age.

Invariants:

- Whatever stays behind is newer than what leaves its level, wherever the two share keys. So what
  leaves level 0 is its oldest part, and a merge within level 0 has no gap in age.
- A deletion is only left out where no older table can hold the row that it deletes.
- No table of ``busy`` is part of a result, and none may have to wait for one: the key range of a
  result never overlaps what a merge that is under way will put into the same level.
- Every result brings rows to a lower level or makes the tables fewer. So picking comes to an end.
- Either style works on whatever tree the other one left.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile
from typing import Final, NamedTuple, TypeAlias

from dynamokv.storage.lsm.jobs import Merge
from dynamokv.storage.lsm.options import Compaction, LSMOptions
from dynamokv.storage.lsm.tree import LEVELS, Edit, TableMeta, Tree, key_range, overlapping

LIKE_SIZE: Final = 2
"""Tables are of like size when the largest is at most this many times the smallest."""

Tables: TypeAlias = tuple[TableMeta, ...]


def pick(
    tree: Tree, options: LSMOptions, busy: frozenset[int] = frozenset()
) -> Merge | Edit | None:
    """What to do next: a merge, or a move that needs no work; ``None`` where all is well.

    ``busy``: numbers of tables that something else is being done with.
    """
    if options.compaction is Compaction.SIZE_TIERED:
        return _pick_tiered(tree, options, busy)
    for level in _full_levels(tree, options, busy):
        found = (
            _leave_level_0(tree, options, busy)
            if level == 0
            else _leave_level(tree, level, options, busy)
        )
        if found is not None:
            return found
    return None


# Leveled.


def _full_levels(tree: Tree, options: LSMOptions, busy: frozenset[int]) -> list[int]:
    """Levels that hold too much, the worst first. What is busy is on its way out already. The last
    level takes everything."""
    scores = [len(_oldest(tree, options, busy)) / options.merge_tables]
    allowed = options.level_bytes
    for level in tree.levels[1 : LEVELS - 1]:
        scores.append(_size(t for t in level if t.number not in busy) / allowed)
        allowed *= options.level_ratio
    full = [level for level, score in enumerate(scores) if score >= 1]
    return sorted(full, key=lambda level: -scores[level])


def _oldest(tree: Tree, options: LSMOptions, busy: frozenset[int]) -> Tables:
    """Of level 0, what may leave it: oldest first, up to one that must stay."""
    free = takewhile(lambda table: table.number not in busy, reversed(tree.levels[0]))
    return tuple(free)[: options.stop_tables]


def _leave_level_0(tree: Tree, options: LSMOptions, busy: frozenset[int]) -> Merge | Edit | None:
    leaving = _oldest(tree, options, busy)
    alone = [
        table
        for table in leaving
        if len(overlapping(tree.levels[0], table.first_key, table.last_key)) == 1
        and _moves_freely(tree, 0, table)
    ]
    if alone:
        return _move(1, alone)
    below = _overlapping_sorted(tree.levels[1], *key_range(leaving))
    if any(table.number in busy for table in below):
        return None
    runs = [(table,) for table in reversed(leaving)]
    return _merge(tree, [*runs, below], 1, options.table_bytes)


def _leave_level(
    tree: Tree, level: int, options: LSMOptions, busy: frozenset[int]
) -> Merge | Edit | None:
    best: tuple[float, TableMeta, Tables] | None = None
    for table in tree.levels[level]:
        below = _overlapping_sorted(tree.levels[level + 1], table.first_key, table.last_key)
        if table.number in busy or any(other.number in busy for other in below):
            continue
        ratio = _size(below) / max(table.size_bytes, 1)
        if best is None or ratio < best[0]:
            best = ratio, table, below
    if best is None:
        return None
    _, table, below = best
    if _moves_freely(tree, level, table):
        return _move(level + 1, [table])
    return _merge(tree, [(table,), below], level + 1, options.table_bytes)


def _moves_freely(tree: Tree, level: int, table: TableMeta) -> bool:
    """Nothing in the next level is in its way, and nothing much is gained by writing it again: it
    is not made of deletions that have nothing left to delete."""
    first, last = table.first_key, table.last_key
    if _overlapping_sorted(tree.levels[level + 1], first, last):
        return False
    mostly_deletions = table.deletions * 2 > table.rows
    return not mostly_deletions or any(
        _overlapping_sorted(deeper, first, last) for deeper in tree.levels[level + 2 :]
    )


def _move(level: int, tables: Sequence[TableMeta]) -> Edit:
    return Edit(
        removed=tuple(table.number for table in tables),
        added=tuple((level, table) for table in tables),
    )


# Size-tiered.


class _Run(NamedTuple):
    """Tables of one age: one of level 0, or all of a lower level, which an earlier life with the
    other style left behind."""

    level: int
    tables: Tables
    size_bytes: int
    free: bool


def _pick_tiered(tree: Tree, options: LSMOptions, busy: frozenset[int]) -> Merge | None:
    runs = _runs(tree, busy)
    chosen = list(_of_like_size(runs, options))
    if not chosen and len(runs) > options.slow_tables:
        # Sizes are mixed so badly that nothing fits. Reads and writers must not pay for it.
        starts = range(len(runs) - options.merge_tables + 1)
        windows = (runs[start : start + options.merge_tables] for start in starts)
        chosen = [window for window in windows if all(run.free for run in window)]
    if not chosen:
        return None
    cheapest = min(chosen, key=lambda window: sum(run.size_bytes for run in window) / len(window))
    level = cheapest[-1].level
    table_bytes = options.table_bytes if level else 0
    return _merge(tree, [run.tables for run in cheapest], level, table_bytes)


def _runs(tree: Tree, busy: frozenset[int]) -> list[_Run]:
    """All of them, newest first."""
    ages = [(0, (table,)) for table in tree.levels[0]]
    lower = [(level, tables) for level, tables in enumerate(tree.levels) if level and tables]
    return [
        _Run(level, tables, _size(tables), all(t.number not in busy for t in tables))
        for level, tables in chain(ages, lower)
    ]


def _of_like_size(runs: list[_Run], options: LSMOptions) -> Iterator[list[_Run]]:
    """From each run on, as many of its neighbours as are of like size, where that is enough."""
    for start in range(len(runs)):
        smallest = largest = runs[start].size_bytes
        end = start
        for run in runs[start : start + options.stop_tables]:
            smallest, largest = min(smallest, run.size_bytes), max(largest, run.size_bytes)
            if not run.free or largest > LIKE_SIZE * smallest:
                break
            end += 1
        if end - start >= options.merge_tables:
            yield runs[start:end]


# Both.


def _merge(tree: Tree, runs: Sequence[Tables], level: int, table_bytes: int) -> Merge:
    runs = tuple(run for run in runs if run)
    inputs = {table.number for run in runs for table in run}
    older = [table for table in _older(tree, inputs) if table.number not in inputs]
    first, last = key_range(tuple(chain(*runs)))
    return Merge(
        runs=runs,
        level=level,
        keep_deletions=bool(overlapping(older, first, last)),
        table_bytes=table_bytes,
    )


def _older(tree: Tree, inputs: set[int]) -> Iterator[TableMeta]:
    """Tables with rows that may be older than the newest of the inputs: neighbours within a level
    from 1 on share no keys, so they do not count."""
    level, place = next(
        (level, place)
        for level, tables in enumerate(tree.levels)
        for place, table in enumerate(tables)
        if table.number in inputs
    )
    if level == 0:
        yield from tree.levels[0][place:]
    yield from chain(*tree.levels[level + 1 :])


def _overlapping_sorted(tables: Tables, first: bytes, last: bytes) -> Tables:
    """``overlapping``, for a level from 1 on: such a level may have thousands of tables."""
    start = bisect_left(tables, first, key=lambda table: table.last_key)
    end = bisect_right(tables, last, key=lambda table: table.first_key)
    return tables[start:end]


def _size(tables: Iterable[TableMeta]) -> int:
    return sum(table.size_bytes for table in tables)
