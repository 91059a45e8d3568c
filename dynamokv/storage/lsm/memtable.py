"""Rows that are in no table yet: one generation of them, and the logs that hold the same.

Knows: rows in memory and what they weigh. Must not know: how they got durable, when they become a
table.

A dict, because a ring reads single keys: order is made for the few who want it (scans, flushes).
One thread writes, any may read: every operation on the dict is a single step of the interpreter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from dynamokv.ports import Row
from dynamokv.storage.lsm.jobs import LogPart

ROW_OVERHEAD_BYTES: Final = 200
"""Bytes of memory for a row beyond its own: two bytes objects, its place in the dict, and what the
dict keeps free to grow. Measured; on the safe side."""


class Memtable:
    """One generation.

    Attributes:
        rows: newest value of each key; ``None`` for a deleted one, which hides older tables.
        size_bytes: of memory.
        logs: parts that hold the same rows, and are complete. The log that still grows is not
            among them.
    """

    __slots__ = ("_sorted", "logs", "rows", "size_bytes")

    def __init__(self, rows: dict[bytes, bytes | None] | None = None) -> None:
        self.rows: dict[bytes, bytes | None] = {} if rows is None else rows
        self.size_bytes = sum(
            len(key) + len(value or b"") + ROW_OVERHEAD_BYTES for key, value in self.rows.items()
        )
        self.logs: list[LogPart] = []
        self._sorted: list[bytes] = []

    def apply(self, batch: Sequence[Row]) -> None:
        """Make the rows of a batch visible, each at once."""
        rows = self.rows
        added = 0
        for key, value in batch:
            # A key that is there keeps its weight, and the difference of its values counts.
            if key in rows:
                added -= len(rows[key] or b"")
            else:
                added += ROW_OVERHEAD_BYTES + len(key)
            if value is not None:
                added += len(value)
            rows[key] = value
        self.size_bytes += added

    def between(self, start: bytes, end: bytes) -> list[Row]:
        """Rows with start <= key < end, in order, deleted ones too, as of this call."""
        rows = self.rows
        keys = self._keys()
        return [(key, rows[key]) for key in keys[bisect_left(keys, start) : bisect_left(keys, end)]]

    def _keys(self) -> list[bytes]:
        keys = self._sorted
        if len(keys) != len(self.rows):
            # One call makes the list, so that no other thread can add a key meanwhile.
            # Keys never go, and new ones come last: what is behind the known ones is new. Sorting a
            # sorted list with a short tail is one pass.
            keys = keys + list(self.rows)[len(keys) :]
            keys.sort()
            self._sorted = keys
        return keys
