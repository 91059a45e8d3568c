"""Which tables hold the store, in which order: the state that the manifest keeps. Pure.

Knows: tables by their description. Must not know: files, bytes, when anything is merged.

Invariants of a ``Tree``:

- Level 0 is ordered from new to old: every row of a table is newer than any row of the same key in
  the tables behind it. Its tables may overlap.
- The tables of a level from 1 on are ordered by key and do not overlap.
- A row in level n is newer than any row of the same key in level n + 1.
- ``sequence`` is that of the first batch that is in no table: it is in the logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Final, Protocol, TypeAlias

from dynamokv.ports import Row

Range: TypeAlias = tuple[bytes, bytes]
"""Keys with start <= key < end."""

LEVELS: Final = 7
"""Level 0 and six below: at a ratio of 10, more than any disk holds."""

LOST_MAX: Final = 1000
"""Ranges that are kept apart. With more, a known key stays with the range around it until that is
healed."""


class OrderedRows(Protocol):
    """As much of a memtable as is needed here."""

    def between(self, start: bytes, end: bytes) -> Sequence[Row]:
        """Rows with start <= key < end, in order."""
        ...


@dataclass(frozen=True, slots=True)
class TableMeta:
    """What the manifest says about a table, enough to plan without opening it."""

    number: int
    """Names the file; 0 for a table that has none yet."""
    size_bytes: int
    digest: bytes
    """xxh3-128 of the whole file."""
    rows: int
    """Deletions included."""
    deletions: int
    first_key: bytes
    last_key: bytes
    """Inclusive."""
    first_sequence: int
    last_sequence: int
    """Of the oldest and newest batch that a row of it can be from."""
    dropped: tuple[Range, ...] = ()
    """Keys in here are in the file, but no longer in the store."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Keys whose rows were in a damaged piece of a file."""

    file: str
    start: bytes
    end: bytes
    reason: str
    mixed: bool = False
    """Some of these keys are known after all, too many to be kept apart (``LOST_MAX``)."""


Levels: TypeAlias = tuple[tuple[TableMeta, ...], ...]
EMPTY_LEVELS: Final[Levels] = ((),) * LEVELS


@dataclass(frozen=True, slots=True)
class Edit:
    """One step from tree to tree: what one record of the manifest holds. ``None`` and empty fields
    change nothing. A whole tree is an edit of the empty one (``Tree.as_edit``).
    """

    removed: tuple[int, ...] = ()
    """Numbers of tables; before ``added``, so that a table can move."""
    added: tuple[tuple[int, TableMeta], ...] = ()
    """Levels and tables."""
    log_number: int | None = None
    """Logs below this are no longer needed."""
    sequence: int | None = None
    next_number: int | None = None
    lost: tuple[Lost, ...] = ()
    healed: tuple[Range, ...] = ()
    forgot: bool | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """All of it at one moment."""

    levels: Levels = EMPTY_LEVELS
    log_number: int = 1
    sequence: int = 1
    next_number: int = 1
    lost: tuple[Lost, ...] = ()
    forgot: bool = False
    """An opening found less than there was, and nobody has taken that in yet."""

    def apply(self, edit: Edit) -> Tree:
        """The tree after an edit.

        Raises:
            ValueError: the edit does not fit this tree.
        """
        removed = set(edit.removed)
        known = {table.number for level in self.levels for table in level}
        if not removed <= known:
            raise ValueError(f"tables {sorted(removed - known)} are removed and were not there")
        levels = [[t for t in level if t.number not in removed] for level in self.levels]
        known -= removed
        for level, table in edit.added:
            if table.number in known or not 0 <= level < LEVELS:
                raise ValueError(f"table {table.number} cannot be added to level {level}")
            known.add(table.number)
            levels[level].append(table)
        for level, tables in enumerate(levels):
            tables.sort(key=_age if level == 0 else _first_key)
            if level and any(b.first_key <= a.last_key for a, b in pairwise(tables)):
                raise ValueError(f"tables of level {level} overlap")
        return Tree(
            levels=tuple(map(tuple, levels)),
            log_number=self.log_number if edit.log_number is None else edit.log_number,
            sequence=self.sequence if edit.sequence is None else edit.sequence,
            next_number=self.next_number if edit.next_number is None else edit.next_number,
            lost=tuple(x for x in self.lost if (x.start, x.end) not in edit.healed) + edit.lost,
            forgot=self.forgot if edit.forgot is None else edit.forgot,
        )

    def as_edit(self) -> Edit:
        """The edit that makes this tree of an empty one."""
        return Edit(
            added=tuple((n, table) for n, level in enumerate(self.levels) for table in level),
            log_number=self.log_number,
            sequence=self.sequence,
            next_number=self.next_number,
            lost=self.lost,
            forgot=self.forgot or None,
        )

    def tables(self) -> list[TableMeta]:
        """All of them, in the order in which a key is looked for."""
        return [table for level in self.levels for table in level]


def heal_written(tree: Tree, memtable: OrderedRows) -> Edit:
    """What a memtable that becomes a table mends: a key that was written since is lost no longer,
    whatever older tables have of it. The ranges around it remain."""
    healed: list[Range] = []
    lost: list[Lost] = []
    for whole in sorted(tree.lost, key=lambda lost: lost.start):
        keys = [key for key, _ in memtable.between(whole.start, whole.end)]
        if keys:
            healed.append((whole.start, whole.end))
            lost += around(whole, keys, LOST_MAX - len(tree.lost) - len(lost))
    return Edit(healed=tuple(healed), lost=tuple(lost))


def around(whole: Lost, known: Sequence[bytes], room: int) -> list[Lost]:
    """What is left of a lost range beside these keys of it, in order. Where it would be more than
    there is room for, the first keys come out of it: records stand before the rows of the node
    itself. The last piece then holds known keys, too."""
    keys = known[: max(0, room)]
    starts = [whole.start, *(key + b"\0" for key in keys)]
    pieces = [
        replace(whole, start=a, end=b)
        for a, b in zip(starts, [*keys, whole.end], strict=True)
        if a < b
    ]
    if len(keys) < len(known):
        pieces[-1] = replace(pieces[-1], mixed=True)
    return pieces


def without(lost: Iterable[Lost], ranges: Iterable[Range]) -> list[Lost]:
    """The lost ranges, less what is in these: that was dropped, and is missed by nobody."""
    pieces = list(lost)
    for start, end in ranges:
        pieces = [
            replace(piece, start=a, end=b)
            for piece in pieces
            for a, b in (
                (piece.start, min(piece.end, max(piece.start, start))),
                (max(piece.start, min(piece.end, end)), piece.end),
            )
            if a < b
        ]
    return pieces


def within(lost: Iterable[Lost], ranges: Iterable[Range]) -> list[Lost]:
    """What of the lost ranges is in these, which may overlap, and come in any order."""
    apart: list[Range] = []
    for start, end in sorted(ranges):
        if apart and start <= apart[-1][1]:
            start, last = apart.pop()
            end = max(end, last)
        apart.append((start, end))
    return [
        replace(piece, start=max(piece.start, start), end=min(piece.end, end))
        for piece in lost
        for start, end in apart
        if piece.start < end and start < piece.end
    ]


def heal(tree: Tree, back: Sequence[Lost]) -> Edit:
    """These pieces are lost no longer. What has been lost since stays, even of the same keys: it
    was lost with another file, because one that is found damaged leaves the tree at once."""
    left = {
        whole: without([whole], [(x.start, x.end) for x in back if _is_of(x, whole)])
        for whole in tree.lost
    }
    healed = {(whole.start, whole.end) for whole, pieces in left.items() if pieces != [whole]}
    # An edit names ranges only, and another file may have lost the same one.
    changed = [left[whole] for whole in left if (whole.start, whole.end) in healed]
    return Edit(healed=tuple(sorted(healed)), lost=tuple(chain.from_iterable(changed)))


def newer_than(tree: Tree, number: int) -> list[TableMeta]:
    """The tables in which a key is looked for before it is in this one."""
    tables = tree.tables()
    return tables[: [table.number for table in tables].index(number)]


def overlapping(tables: Iterable[TableMeta], first: bytes, last: bytes) -> tuple[TableMeta, ...]:
    """Those that may hold a key from ``first`` to ``last``, both included."""
    return tuple(t for t in tables if t.first_key <= last and t.last_key >= first)


def key_range(tables: Sequence[TableMeta]) -> tuple[bytes, bytes]:
    """The first and the last key of some tables."""
    return min(t.first_key for t in tables), max(t.last_key for t in tables)


def _is_of(piece: Lost, whole: Lost) -> bool:
    return piece.file == whole.file and piece.start < whole.end and whole.start < piece.end


def _age(table: TableMeta) -> tuple[int, int]:
    # Tables of one memtable or one merge share their sequences and no keys.
    return -table.last_sequence, table.number


def _first_key(table: TableMeta) -> bytes:
    return table.first_key
