"""What reads of RocksDB see: the present, or what it was before a batch that is not synced yet.

Knows: rocksdict's iterators and snapshots, and what is wrong with them. Must not know: how anything
is written.

- rocksdict's ``items()`` ends at a damaged block as if the rows did. ``iter()`` can be asked why.
- Snapshots of rocksdict 0.3.29 iterate over the present. They get single keys as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dynamokv.errors import StorageError
from dynamokv.limits import KiB
from dynamokv.ports import Row
from dynamokv.storage.rocksdb_binding import CLOSED, our_error

if TYPE_CHECKING:
    import rocksdict

PIECE_BYTES: Final = 64 * KiB
"""What a scan reads ahead: enough that few calls are made, little enough to throw away."""

_ABSENT = "key not found"


class Held:
    """What reads see while a batch is on its way to the disk: the moment before it."""

    def __init__(self, before: rocksdict.Snapshot, batch: Sequence[Row]) -> None:
        self._before = before
        self._batch = batch

    def get(self, key: bytes) -> bytes | None:
        """The value as it was."""
        try:
            value: bytes = self._before[key]
        except Exception as error:
            if str(error) != _ABSENT:
                raise
            return None
        return value

    def rows(self, start: bytes, end: bytes) -> list[Row]:
        """The batch's keys in this range, as they were, in order."""
        keys = sorted({key for key, _ in self._batch if start <= key < end})
        return [(key, self.get(key)) for key in keys]


class Pieces:
    """The rows of an iterator, some at a time. RocksDB's is let go of at the end, or by
    ``close``."""

    def __init__(self, rows: rocksdict.RdictIter, directory: Path) -> None:
        self._rows: rocksdict.RdictIter | None = rows
        self._directory = directory

    def take(self) -> list[tuple[bytes, bytes]]:
        """The next rows; none at the end, and only there."""
        rows = self._rows
        if rows is None:
            raise StorageError(f"cannot read on in {self._directory}: {CLOSED}")
        taken: list[tuple[bytes, bytes]] = []
        size_bytes = 0
        key_here, value_here, advance = rows.key, rows.value, rows.next
        while size_bytes < PIECE_BYTES and (key := key_here()) is not None:
            value = value_here()
            taken.append((key, value))
            size_bytes += len(key) + len(value)
            advance()
        if not taken:
            try:
                rows.status()
            except Exception as error:
                raise our_error(f"cannot read from {self._directory}", error) from error
            self.close()
        return taken

    def close(self) -> None:
        """Let go. A read beyond this fails."""
        self._rows = None


def present(pieces: Pieces) -> Iterator[tuple[bytes, bytes]]:
    """All rows."""
    while piece := pieces.take():
        yield from piece


def merged(pieces: Pieces, before: Sequence[Row]) -> Iterator[tuple[bytes, bytes]]:
    """All rows, but these keys as they were before."""
    at = 0
    for row in present(pieces):
        while at < len(before) and before[at][0] <= row[0]:
            yield from _existing(before[at])
            at += 1
        if at == 0 or before[at - 1][0] != row[0]:
            yield row
    for old in before[at:]:
        yield from _existing(old)


def _existing(row: Row) -> Iterator[tuple[bytes, bytes]]:
    key, value = row
    if value is not None:
        yield key, value
