"""A dict as a storage engine: what durable engines are compared with.

Knows: rows of bytes. Must not know: files, threads beyond the one promise below.

Threads: ``get``, ``scan`` and ``stats`` may run during an ``apply``. They rely on single dict
operations being atomic under the GIL: reading or setting one key, and ``dict.copy``. Iterating the
live dict is not, nor is ``list(d.items())`` for certain (its allocations can start a garbage
collection, and with it other code), so a scan works on a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dynamokv.errors import StorageError
from dynamokv.ports import Row, Stat


class MemoryEngine:
    """Rows in a dict, gone with the process. ``forgot`` is False: it never promised to remember.

    Attributes:
        rows: the table. For reading; only ``apply`` changes it.
        size_bytes: keys and values together.
    """

    congested = False

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self.forgot = False
        self.rows: dict[bytes, bytes] = {} if rows is None else rows
        self.size_bytes = sum(len(key) + len(value) for key, value in self.rows.items())

    def get(self, key: bytes) -> bytes | None:
        """The value, or ``None``."""
        return self.rows.get(key)

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        """Make the rows visible in order: the last row of a key wins. ``sync`` changes nothing."""
        rows = self.rows
        for key, value in batch:
            old = rows.get(key)
            if old is not None:
                self.size_bytes -= len(key) + len(old)
            if value is not None:
                rows[key] = value
                self.size_bytes += len(key) + len(value)
            elif old is not None:
                del rows[key]

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in key order, as of this call. Reads the whole table."""
        rows = self.rows.copy()
        keys = sorted([key for key in rows if start <= key < end])
        return iter([(key, rows[key]) for key in keys])

    def drop(self, start: bytes, end: bytes) -> None:
        """Delete all rows with start <= key < end."""
        self.apply([(key, None) for key in self.rows if start <= key < end], sync=False)

    def flush(self) -> None:
        """Nothing to do."""

    def checkpoint(self, directory: Path) -> None:
        """Refuses: there is nothing on disk to copy.

        Raises:
            StorageError: always.
        """
        raise StorageError(
            f"no checkpoint in {directory}: this store is in memory only and has nothing on disk"
        )

    def stats(self) -> Mapping[str, Stat]:
        """``rows``, and keys and values in bytes as ``storage_bytes``."""
        return {"rows": len(self.rows), "storage_bytes": self.size_bytes}

    def close(self) -> None:
        """Nothing to let go of."""
