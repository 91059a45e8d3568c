"""A finished table: rows by key, rows in order, and whether all of it is still good.

Knows: one immutable file and what its manifest entry says. Must not know: other tables, levels.

Invariants:

- A damaged byte is an error, never a wrong value and never "not here". The one thing that is
  mended is the filter, because the blocks have all that it says.
- Keys in ``meta.dropped`` are not here, whatever the file holds.
- Any thread may read at any moment. Index and filter are read by ``warm`` or when first needed;
  two threads that need them at once both read them, and both are right.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from sys import getsizeof
from typing import Final

from dynamokv.ports import FileSystem, Row
from dynamokv.storage.lsm import bloom
from dynamokv.storage.lsm.block import MISSING, Found, decode_block, find
from dynamokv.storage.lsm.cache import BlockCache, block_id
from dynamokv.storage.lsm.salvage import salvage
from dynamokv.storage.lsm.table_file import TableDamaged, TableFile
from dynamokv.storage.lsm.table_format import Index
from dynamokv.storage.lsm.tree import Lost, Range, TableMeta
from dynamokv.storage.lsm.verify import BadPiece, verify

__all__ = ["MISSING", "BadPiece", "Found", "Table", "TableDamaged"]

REBUILT_BITS: Final = 12
"""Bits a key of a filter that is made again. It is in memory only, so it need not be like the old
one."""

_key_of = itemgetter(0)


class Table:
    """One open table.

    Attributes:
        meta: what the manifest says of it. Where ranges are dropped, ``Store`` opens it again.
        words: of the filter, once it is read. ``View.find`` looks into them before it calls
            ``get``, which most keys on most levels then never get to.
        memory_bytes: of index and filter, once they are read.
        filter_negatives: keys that the filter kept out.
        filter_passes: keys that it let through.
        filter_false: of these, keys that were not there after all.
        filter_rebuilt: whether the filter on the disk was no good.

    With ``damaged_ok``, a file with a bad header, footer or length can be opened too, to be
    verified or salvaged; whatever else is asked of it raises ``TableDamaged``.

    Raises, on every call that reads:
        TableDamaged: bytes that are needed are damaged.
        CorruptionError: on opening: the file is of a newer version.
        OSError: the disk failed in a way that may pass.
    """

    __slots__ = (
        "_blocks",
        "_file",
        "_index",
        "_masks",
        "filter_false",
        "filter_negatives",
        "filter_passes",
        "filter_rebuilt",
        "memory_bytes",
        "meta",
        "words",
    )

    def __init__(
        self,
        files: FileSystem,
        path: Path,
        meta: TableMeta,
        *,
        blocks: BlockCache | None = None,
        damaged_ok: bool = False,
    ) -> None:
        self.meta = meta
        self.memory_bytes = 0
        self.filter_negatives = 0
        self.filter_passes = 0
        self.filter_false = 0
        self.filter_rebuilt = False
        self._blocks = blocks
        self._index: Index | None = None
        self.words: array[int] | None = None
        self._masks = bloom.masks()
        self._file = TableFile(files, path, meta)
        if self._file.fault and not damaged_ok:
            self._file.close()
            raise self._file.damaged(self._file.fault)

    @property
    def filter_checks(self) -> int:
        """Keys that the filter was asked for."""
        return self.filter_negatives + self.filter_passes

    def get(self, key: bytes, hash: int) -> Found:
        """The value; ``None`` if the key is deleted here, ``MISSING`` if it is not here. ``hash``:
        ``bloom.key_hash(key)``."""
        meta = self.meta
        if key < meta.first_key or key > meta.last_key:
            return MISSING
        words = self.words or self._read_filter()
        if words[hash % len(words)] & self._masks[hash >> bloom.MASK_SHIFT]:
            self.filter_negatives += 1
            return MISSING
        self.filter_passes += 1
        if meta.dropped and _is_dropped(key, meta.dropped):
            return MISSING
        index = self._index or self._read_index()
        found = find(self._block(index, bisect_left(index.last_keys, key)), key, hash & 0xFF)
        if found is MISSING:
            self.filter_false += 1
        return found

    def warm(self) -> None:
        """Read index and filter now, so that the first reader does not wait for them."""
        if self.words is None:
            self._read_filter()

    def rows(self, start: bytes, end: bytes | None) -> Iterator[list[Row]]:
        """Rows with start <= key < end (``None``: to the last), deletions included; one list a
        block, none of them empty."""
        index = self._index or self._read_index()
        dropped = self.meta.dropped
        last_keys = index.last_keys
        for block in range(bisect_left(last_keys, start), len(last_keys)):
            low, high = self._file.block_keys(index, block)
            if end is not None and low >= end:
                return
            if dropped and any(a <= low and high <= b for a, b in dropped):
                continue
            rows = decode_block(self._file.read_block(index, block))
            if low < start:
                del rows[: bisect_left(rows, start, key=_key_of)]
            if end is not None and high > end:
                del rows[bisect_left(rows, end, key=_key_of) :]
            if dropped and any(a < high and low < b for a, b in dropped):
                rows = [row for row in rows if not _is_dropped(row[0], dropped)]
            if rows:
                yield rows

    def last_keys(self) -> Sequence[bytes]:
        """The last key of each block."""
        return (self._index or self._read_index()).last_keys

    def verify(self) -> list[BadPiece]:
        """Read and check every byte, and what the pieces say of each other. Nothing: it is good."""
        return verify(self._file, self.meta)

    def salvage_rows(self) -> Iterator[list[Row] | Lost]:
        """The rows of all good blocks and the ranges of the bad ones, in order. What was dropped is
        in neither."""
        dropped = self.meta.dropped
        for found in salvage(self._file):
            if isinstance(found, Lost):
                yield found
            elif rows := [row for row in found if not _is_dropped(row[0], dropped)]:
                yield rows

    def close(self) -> None:
        """Let go of the file, when nobody reads any more; to let go of the last reference does the
        same. A second call does nothing."""
        self._file.close()

    def _block(self, index: Index, number: int) -> bytes:
        blocks = self._blocks
        if blocks is None:
            return self._file.read_block(index, number)
        id = block_id(self.meta.number, number)
        block = blocks.get(id)
        if block is None:
            block = self._file.read_block(index, number)
            blocks.put(id, block)
        return block

    def _read_index(self) -> Index:
        self._index = index = self._file.read_index()
        self._count_memory()
        return index

    def _read_filter(self) -> array[int]:
        # Only the index shows that this is the file that the manifest means.
        index = self._index or self._read_index()
        try:
            words = self._file.read_filter()
        except TableDamaged:
            self.filter_rebuilt = True
            words = self._rebuild_filter(index)
        self.words = words
        self._count_memory()
        return words

    def _rebuild_filter(self, index: Index) -> array[int]:
        hashes: list[int] = []
        try:
            for block in range(len(index.last_keys)):
                rows = decode_block(self._file.read_block(index, block))
                hashes += map(bloom.key_hash, map(_key_of, rows))
        except TableDamaged:
            # Nobody knows the keys of that block, so none may be called absent.
            return bloom.OPEN
        return bloom.build(hashes, len(hashes), REBUILT_BITS)

    def _count_memory(self) -> None:
        size = getsizeof(self.words) if self.words is not None else 0
        if self._index is not None:
            size += getsizeof(self._index.last_keys) + getsizeof(self._index.offsets)
            size += sum(map(getsizeof, self._index.last_keys))
            # Offsets are numbers of their own, of 32 bytes each.
            size += 32 * len(self._index.offsets)
        self.memory_bytes = size


def _is_dropped(key: bytes, dropped: Sequence[Range]) -> bool:
    return any(start <= key < end for start, end in dropped)
