"""Sorted rows in, a finished table out.

Knows: one new file. Must not know: where the rows are from, what the file will be called.

Invariants:

- Keys ascend strictly over all calls.
- ``finish`` returns only when the file is on the disk and was read back with the digest of what was
  meant to be in it. A file that failed in between is worth nothing: ``abandon`` it.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, islice
from operator import itemgetter, lt
from pathlib import Path
from typing import Final

from xxhash import xxh3_64_digest, xxh3_128

from dynamokv.errors import CorruptionError
from dynamokv.limits import MiB
from dynamokv.ports import FileSystem, Row
from dynamokv.storage.lsm import bloom
from dynamokv.storage.lsm.block import ROW_BYTES, encode_block
from dynamokv.storage.lsm.framing import FileKind, encode_header, salt_seed
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.table_format import (
    Footer,
    Index,
    PieceKind,
    Properties,
    encode_footer,
    encode_index,
    encode_piece,
    encode_properties,
)
from dynamokv.storage.lsm.tree import TableMeta

WRITE_BYTES: Final = 1 * MiB
"""Handed to the file system at once, and read back at once."""

_key_of = itemgetter(0)
_value_of = itemgetter(1)


class TableBuilder:
    """Makes one table.

    Raises, on every call but ``abandon``:
        OSError: the disk failed; nothing but ``abandon`` is of use then.
    """

    def __init__(
        self,
        files: FileSystem,
        path: Path,
        format: Format,
        *,
        salt: bytes,
        inputs: Sequence[int],
        first_sequence: int,
        last_sequence: int,
    ) -> None:
        self._files = files
        self._path = path
        self._format = format
        self._salt = salt
        self._seed = salt_seed(salt)
        self._inputs = tuple(inputs)
        self._sequences = (first_sequence, last_sequence)
        # Rows that are in no block yet, and how many bytes they have with all those before them.
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []
        self._ends: list[int] = []
        self._cut = 0
        self._first_key = b""
        self._last_keys: list[bytes] = []
        self._offsets: list[int] = []
        self._hashes: list[bytes] = []
        self._rows = 0
        self._deletions = 0
        self._raw_bytes = 0
        self._digest = xxh3_128()
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._offset = 0
        self._closed = False
        self._file = files.open_append(path)
        try:
            if self._file.size():
                # What another attempt left behind.
                self._file.truncate(0)
        except BaseException:
            self.abandon()
            raise
        self._append(encode_header(FileKind.TABLE, salt, 0))

    @property
    def size_bytes(self) -> int:
        """Of the file so far, with rows that are not written yet at their full size."""
        return self._offset + (self._ends[-1] - self._cut if self._ends else 0)

    def add(self, rows: Sequence[Row]) -> None:
        """The next rows, in order. Faster per row for long lists."""
        if not rows:
            return
        keys = list(map(_key_of, rows))
        values = list(map(_value_of, rows))
        self._check_order(keys)
        sizes = [len(k) + ROW_BYTES if v is None else len(k) + len(v) + ROW_BYTES for k, v in rows]
        start = self._ends[-1] if self._ends else self._cut
        self._keys += keys
        self._values += values
        self._ends += islice(accumulate(sizes, initial=start), 1, None)
        if self._ends[-1] - self._cut >= self._format.block_bytes:
            self._add_blocks()

    def finish(self) -> TableMeta:
        """Complete the file, sync it, read it back. The meta's ``number`` is 0.

        Raises:
            CorruptionError: what was read is not what was written.
        """
        if self._keys:
            self._add_block(len(self._keys))
        assert self._rows, "a table has at least one row"
        properties = Properties(
            rows=self._rows,
            deletions=self._deletions,
            first_key=self._first_key,
            last_key=self._last_keys[-1],
            first_sequence=self._sequences[0],
            last_sequence=self._sequences[1],
            blocks=len(self._last_keys),
            raw_bytes=self._raw_bytes,
            bloom_bits=self._format.bloom_bits,
            inputs=self._inputs,
        )
        index = encode_index(Index(self._last_keys, [*self._offsets, self._offset]))
        index_offset = self._append_piece(PieceKind.INDEX, index, self._format.compression)
        # A good filter has no pattern that would compress.
        filter_offset = self._append_piece(
            PieceKind.FILTER, bloom.encode(self._filter()), Compression.NONE
        )
        properties_offset = self._append_piece(
            PieceKind.PROPERTIES, encode_properties(properties), Compression.NONE
        )
        footer = Footer(index_offset, filter_offset, properties_offset, self._salt)
        self._append(encode_footer(footer, self._offset))
        self._write()
        self._file.sync()
        self._close()
        self._read_back()
        return TableMeta(
            number=0,
            size_bytes=self._offset,
            digest=self._digest.digest(),
            rows=self._rows,
            deletions=self._deletions,
            first_key=self._first_key,
            last_key=self._last_keys[-1],
            first_sequence=self._sequences[0],
            last_sequence=self._sequences[1],
        )

    def abandon(self) -> None:
        """Delete the file, whatever state it is in. Whoever opens the store next deletes what
        cannot be deleted now."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._files.remove(self._path)

    def _close(self) -> None:
        # Once only: the kernel may have given the number of a closed file to another one.
        if not self._closed:
            self._closed = True
            self._file.close()

    def _check_order(self, keys: list[bytes]) -> None:
        last = self._keys[-1:] or self._last_keys[-1:]
        assert not last or last[0] < keys[0], "keys must ascend between calls"
        assert all(map(lt, keys, islice(keys, 1, None))), "keys must ascend"

    def _add_blocks(self) -> None:
        """Cut as many blocks as the waiting rows fill."""
        ends = self._ends
        size = self._format.block_bytes
        done = 0
        while ends[-1] - self._cut >= size:
            end = bisect_left(ends, self._cut + size, done) + 1
            if end - done > 1 and ends[end - 1] - ends[end - 2] >= size:
                # A row that fills a block has one for itself: its neighbours stay cheap to read.
                end -= 1
            self._add_block(end, done)
            done = end
            if done == len(ends):
                break
        del self._keys[:done], self._values[:done], ends[:done]

    def _add_block(self, end: int, start: int = 0) -> None:
        keys = self._keys[start:end]
        values = self._values[start:end]
        hashes = b"".join(map(xxh3_64_digest, keys))
        if not self._rows:
            self._first_key = keys[0]
        self._rows += len(keys)
        self._deletions += values.count(None)
        # A digest is a big-endian number: its last byte is the lowest.
        raw = encode_block(keys, values, hashes[7::8])
        self._raw_bytes += len(raw)
        self._hashes.append(hashes)
        self._last_keys.append(keys[-1])
        self._offsets.append(self._append_piece(PieceKind.BLOCK, raw, self._format.compression))
        self._cut = self._ends[end - 1]

    def _filter(self) -> array[int]:
        hashes = bloom.decode(b"".join(self._hashes))
        return bloom.build(hashes, self._rows, self._format.bloom_bits)

    def _append_piece(self, kind: PieceKind, payload: bytes, compression: Compression) -> int:
        offset = self._offset
        self._append(encode_piece(self._seed, offset, kind, payload, compression))
        return offset

    def _append(self, data: bytes) -> None:
        self._unwritten.append(data)
        self._unwritten_bytes += len(data)
        self._offset += len(data)
        if self._unwritten_bytes >= WRITE_BYTES:
            self._write()

    def _write(self) -> None:
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        self._unwritten_bytes = 0
        self._digest.update(data)
        self._file.append(data)

    def _read_back(self) -> None:
        """What the kernel gives back now is what every reader will get."""
        digest = xxh3_128()
        file = self._files.open_read(self._path)
        try:
            for offset in range(0, self._offset + 1, WRITE_BYTES):
                digest.update(file.read_at(offset, WRITE_BYTES))
        finally:
            file.close()
        if digest.digest() != self._digest.digest():
            raise CorruptionError(f"{self._path.name}: what was written is not what is read back")
