"""Sorted runs of rows into one.

Knows: rows. Must not know: files, tables, what becomes of deletions.

No heap and no comparison per row in Python: the runs are cut at the same key into slices that fit
into memory, a dict says which row of a key is the newest, and ``sort`` finds the order that is
nearly there. All of it is a few calls in C for thousands of rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final

from dynamokv.limits import MiB
from dynamokv.ports import Row

SLICE_BYTES: Final = 4 * MiB
"""Of memory for rows that were read and not handed on yet, over all runs. Larger is not faster.
"""

ROW_MEMORY_BYTES: Final = 128
"""What Python takes for a row besides its bytes."""

_key_of = itemgetter(0)


def merge(
    runs: Sequence[Iterator[list[Row]]], block_bytes: int, slice_bytes: int = SLICE_BYTES
) -> Iterator[list[Row]]:
    """Rows of all runs in order, for each key only the newest; deletions are rows.

    ``runs``: newest first, each as lists of rows in order, none of them empty. ``block_bytes``:
    what such a list has at most, less its last value.
    """
    sources = [_Source(run, block_bytes, slice_bytes // len(runs)) for run in runs]
    while True:
        for source in sources:
            source.fill()
        ends = [source.last_key for source in sources]
        known = [key for key in ends if key is not None]
        if not known:
            return
        # Up to here every run is known: what is still to be read of it is behind what was read.
        last = min(known)
        yield _newest([source.take(last) for source in sources])


def _newest(parts: Sequence[list[Row]]) -> list[Row]:
    """Of each key the row that comes first in the parts, in order."""
    filled = [part for part in parts if part]
    if len(filled) == 1:
        return filled[0]
    rows: dict[bytes, bytes | None] = {}
    for part in reversed(filled):
        rows.update(part)
    return in_order(rows)


def in_order(rows: dict[bytes, bytes | None]) -> list[Row]:
    """Rows of a dict, sorted by key."""
    # Sorting keys alone takes two thirds of sorting pairs by their keys.
    keys = sorted(rows)
    return list(zip(keys, map(rows.__getitem__, keys), strict=True))


class _Source:
    """What was read of one run and is not merged yet."""

    def __init__(self, blocks: Iterator[list[Row]], block_bytes: int, quota: int) -> None:
        self._unread = blocks
        self._block_bytes = block_bytes
        self._quota = quota
        self._blocks: deque[list[Row]] = deque()
        self._size_bytes = 0
        self._has_more = True

    @property
    def last_key(self) -> bytes | None:
        """The end of what was read; ``None`` where nothing is left."""
        return self._blocks[-1][-1][0] if self._blocks else None

    def fill(self) -> None:
        """Read up to the quota, and at least something."""
        while self._has_more and (self._size_bytes < self._quota or not self._blocks):
            block = next(self._unread, None)
            if block is None:
                self._has_more = False
            else:
                self._blocks.append(block)
                self._size_bytes += self._weight(block)

    def take(self, last: bytes) -> list[Row]:
        """Rows up to this key."""
        blocks = self._blocks
        rows: list[Row] = []
        while blocks and blocks[0][-1][0] <= last:
            self._size_bytes -= self._weight(blocks[0])
            rows += blocks.popleft()
        if blocks and (end := bisect_right(blocks[0], last, key=_key_of)):
            self._size_bytes -= end * ROW_MEMORY_BYTES
            rows += blocks[0][:end]
            del blocks[0][:end]
        return rows

    def _weight(self, block: list[Row]) -> int:
        # A block ends with the row that filled it, so only that one can be large.
        return len(block) * ROW_MEMORY_BYTES + self._block_bytes + len(block[-1][1] or b"")
