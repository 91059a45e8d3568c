"""What a store holds at one moment, to be read without a lock.

Knows: memtables and open tables in the order in which a key is looked for. Must not know: how they
change; whoever changes them makes another view.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.storage.lsm.bloom import MASK_SHIFT, OPEN, masks
from dynamokv.storage.lsm.memtable import Memtable
from dynamokv.storage.lsm.table import MISSING, Found, Table
from dynamokv.storage.lsm.tree import Tree

_MASKS: Final = masks()

Tables: TypeAlias = Mapping[int, Table]
"""Open tables by number."""


class View:
    """Immutable, but for the rows of ``active``.

    Attributes:
        active: takes the writes.
        frozen: waiting to become tables, newest first.
        tree: which tables there are.
        tables: the same, open.
        level0_tables: how many of them are in level 0.
    """

    __slots__ = (
        "_level0",
        "_levels",
        "active",
        "frozen",
        "level0_tables",
        "lost",
        "rows",
        "tables",
        "tree",
    )

    def __init__(
        self, active: Memtable, frozen: tuple[Memtable, ...], tree: Tree, tables: Tables
    ) -> None:
        self.active = active
        self.rows = active.rows
        self.frozen = frozen
        self.tree = tree
        self.tables = tables
        self.lost = tree.lost
        self.level0_tables = len(tree.levels[0])
        self._level0 = tuple(tables[meta.number] for meta in tree.levels[0])
        self._levels = [
            ([meta.last_key for meta in level], [tables[meta.number] for meta in level])
            for level in tree.levels[1:]
            if level
        ]

    def find(self, key: bytes, hash: int) -> Found:
        """The value in the tables; ``None`` when deleted.

        Raises:
            TableDamaged: where it would be can not be read.
        """
        mask = _MASKS[hash >> MASK_SHIFT]
        for table in self._level0:
            words = table.words or OPEN
            if words[hash % len(words)] & mask:
                table.filter_negatives += 1
                continue
            value = table.get(key, hash)
            if value is not MISSING:
                return value
        for last_keys, tables in self._levels:
            at = bisect_left(last_keys, key)
            if at < len(tables):
                table = tables[at]
                words = table.words or OPEN
                if words[hash % len(words)] & mask:
                    table.filter_negatives += 1
                    continue
                value = table.get(key, hash)
                if value is not MISSING:
                    return value
        return MISSING

    def check_lost(self, start: bytes, end: bytes) -> None:
        """Raise ``CorruptionError`` when rows of this range were in a damaged piece of a file."""
        for lost in self.lost:
            if lost.start < end and lost.end > start:
                raise CorruptionError(
                    f"rows from {lost.start!r} to {lost.end!r} were in a damaged piece of "
                    f"{lost.file} ({lost.reason}): they have to come back from other members"
                )

    def runs(self, start: bytes, end: bytes) -> list[list[Table]]:
        """Tables that may hold keys of a range, newest run first; those of a run do not overlap."""
        runs = [[table] for table in self._level0 if _overlaps(table, start, end)]
        for _, tables in self._levels:
            run = [table for table in tables if _overlaps(table, start, end)]
            if run:
                runs.append(run)
        return runs

    def memory_rows(self, start: bytes, end: bytes) -> list[Row]:
        """Rows of the memtables in a range, newest of each key, in order, deleted ones too."""
        if not self.frozen:
            return self.active.between(start, end)
        merged: dict[bytes, bytes | None] = {}
        for memtable in (*reversed(self.frozen), self.active):
            merged.update(memtable.between(start, end))
        return sorted(merged.items())

    def memtables(self) -> Iterator[Memtable]:
        """All of them, newest first."""
        yield self.active
        yield from self.frozen


def _overlaps(table: Table, start: bytes, end: bytes) -> bool:
    return table.meta.first_key < end and table.meta.last_key >= start
