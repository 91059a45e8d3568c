"""RocksDB as a storage engine, through rocksdict: ``pip install dynamokv[rocksdb]``.

Knows: where RocksDB promises less than the port asks for. Must not know: its options and errors
(``rocksdb_binding``), how its iterators are read (``rocksdb_views``), what keys mean.

Invariants:

- A batch is one write of RocksDB's, so it is whole or absent, also after a crash.
- With ``sync`` a batch is visible only once it is on the disk. RocksDB would show it before, unless
  the write itself waits for the disk, and rocksdict holds the interpreter's lock during that. So
  the batch is written without, the log is synced with the lock free, and meanwhile reads see the
  moment before (``Held``).
- After a failed write or sync every later write is refused, and reads do not show that batch.
- None of RocksDB's objects outlives ``close``: each would keep the directory locked.
- An answer cut short by damage is an error, and never passes for a whole one.

Threads: the port's. A read that misses RocksDB's cache holds the interpreter's lock while it waits
for the disk; rocksdict wants it so. Nothing survives a fork: open it in the child.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dynamokv.errors import DiskFull, StorageError
from dynamokv.limits import MiB
from dynamokv.ports import Row
from dynamokv.storage import rocksdb_binding as binding
from dynamokv.storage.rocksdb_binding import CLOSED, Tune, our_error
from dynamokv.storage.rocksdb_views import Held, Pieces, merged, present

STALL_SECONDS_MAX: Final = 60.0
"""RocksDB holds writes back while its compactions catch up. After this they are taken for stuck."""

PAUSE_SECONDS_MIN: Final = 0.001
"""Between two tries of such a write. Twice as long each time, up to ``PAUSE_SECONDS_MAX``."""

PAUSE_SECONDS_MAX: Final = 0.05

PROPERTIES: Final = {
    "rows": "estimate-num-keys",
    "table_bytes": "total-sst-files-size",
    "live_bytes": "estimate-live-data-size",
    "memtable_bytes": "size-all-mem-tables",
    "block_cache_bytes": "block-cache-usage",
    "index_bytes": "estimate-table-readers-mem",
    "compaction_debt_bytes": "estimate-pending-compaction-bytes",
    "compactions_running": "num-running-compactions",
    "flushes_running": "num-running-flushes",
    "write_stopped": "is-write-stopped",
    "write_bytes_per_second_max": "actual-delayed-write-rate",
    "background_errors": "background-errors",
    "open_snapshots": "num-snapshots",
}
"""Our names of RocksDB's. A rate of 0 is no limit."""

HELD_BACK: Final = ("rocksdb.is-write-stopped", "rocksdb.actual-delayed-write-rate")
"""Not 0 while RocksDB holds writes back."""

_logger = logging.getLogger("dynamokv.storage")


class RocksDBEngine:
    """``ports.StorageEngine`` over RocksDB, in a directory of its own.

    Args:
        directory: created when absent.
        cache_bytes: blocks that were read. Indexes and filters of the tables come on top.
        memtable_bytes: rows in memory before they become a table. Two such generations exist.
        bloom_bits: bits a key in a table's filter; 0: no filter.
        tune: changes RocksDB's options, after ours.

    Attributes:
        forgot: RocksDB's log ends within a record, or is damaged. What stands there and behind it
            is gone, and whether that was synced cannot be known: after a power cut it is a tail
            that was not, of a log that the disk damaged it may be more. So either counts.
            A log that ends between two records raises no suspicion, and that is right: whatever was
            synced is in it, and a killed process loses nothing that it wrote. What a power cut took
            of rows that were not synced, or whoever deleted a log file, leaves no trace here. A
            node knows such a stop by itself: its identity row says, synced, that it runs.

    Raises:
        ConfigError: rocksdict is not installed.
        DataDirLocked: another engine, of this process or another, has the directory.
        CorruptionError: a file is damaged, missing, or of a newer format.
        DiskFull: there is no space to open it.
        StorageError: the directory cannot be used, or holds the store of another engine.
    """

    def __init__(
        self,
        directory: Path,
        *,
        cache_bytes: int = 64 * MiB,
        memtable_bytes: int = 32 * MiB,
        bloom_bits: int = 12,
        tune: Tune | None = None,
    ) -> None:
        self._directory = directory
        self._failure: str | None = None
        self._held: Held | None = None
        self._scans: weakref.WeakSet[Pieces] = weakref.WeakSet()
        self._scans_lock = threading.Lock()
        self._syncs = 0
        self._stalls = 0
        options = binding.tuned(cache_bytes, memtable_bytes, bloom_bits, tune)
        self._db, self.forgot = binding.open_store(directory, options)

    @property
    def congested(self) -> bool:
        """Whether RocksDB holds writes back, so that the next ``apply`` waits for it."""
        return self._failure is None and any(map(self._db.property_int_value, HELD_BACK))

    # Reads: any thread.

    def get(self, key: bytes) -> bytes | None:
        """The value, or ``None``.

        Raises:
            CorruptionError: the bytes fail their checksum.
            StorageError: they cannot be read, or the store was closed.
        """
        try:
            while True:
                held = self._held
                value: bytes | None = self._db.get(key) if held is None else held.get(key)
                # If not, the value may be of a batch that is not synced.
                if self._held is held:
                    return value
        except Exception as error:
            raise our_error(f"cannot read from {self._directory}", error) from error

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in key order, as of this call. Raises as ``get`` does, also
        later, for what it meets then."""
        if start >= end:
            return iter(())
        try:
            while True:
                held = self._held
                pieces = Pieces(binding.iterator(self._db, start, end), self._directory)
                before = held.rows(start, end) if held is not None else []
                if self._held is held:
                    break
            with self._scans_lock:
                if self._failure == CLOSED:
                    # It was closed meanwhile, and looked for open scans already.
                    pieces.close()
                self._scans.add(pieces)
        except Exception as error:
            raise our_error(f"cannot read from {self._directory}", error) from error
        return merged(pieces, before) if before else present(pieces)

    def stats(self) -> Mapping[str, int | float]:
        """RocksDB's properties, ``rows`` among those that are estimates; ``failed`` is 1 when
        writes are refused. ``storage_bytes`` are the tables, and the memtables in place of the log
        that backs them."""
        try:
            found = {
                name: self._db.property_int_value(f"rocksdb.{theirs}") or 0
                for name, theirs in PROPERTIES.items()
            }
        except Exception as error:
            raise our_error(f"cannot read from {self._directory}", error) from error
        return {
            **found,
            "storage_bytes": found["table_bytes"] + found["memtable_bytes"],
            "syncs": self._syncs,
            "stalls": self._stalls,
            "failed": int(self._failure is not None),
        }

    # Writes: one thread at a time.

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        """Write the batch, sync when asked, then make it visible.

        Raises:
            DiskFull: nothing was applied and none of it will ever appear. RocksDB has to be
                reopened all the same.
            StorageError: RocksDB failed, now or earlier. Writes are refused until reopened.
        """
        with self._refusing_after("a write"):
            if not sync:
                self._write(batch)
                return
            self._held = Held(self._db.snapshot(), batch)
            self._write(batch)
            self._sync()
            self._held = None

    def drop(self, start: bytes, end: bytes) -> None:
        """Delete all rows with start <= key < end, durably. Raises as ``apply`` does."""
        with self._refusing_after("a drop"):
            if start < end:
                self._db.delete_range(start, end)
                self._sync()

    def flush(self) -> None:
        """Sync what was applied without. Raises as ``apply`` does."""
        with self._refusing_after("a sync"):
            self._sync()

    def checkpoint(self, directory: Path) -> None:
        """Write a copy, which shares its tables by hard links where the file system has them.

        Raises:
            StorageError: the directory exists already, or cannot be written; or the store failed.
        """
        self._check()
        try:
            if directory.exists():
                raise StorageError(f"{directory} exists: a checkpoint needs a new directory")
            binding.checkpoint(self._db, directory)
        except Exception as error:
            raise our_error(f"cannot write a checkpoint to {directory}", error) from error

    def close(self) -> None:
        """Flush and let go of every file. Later calls, and scans under way, raise ``StorageError``.

        Raises:
            StorageError: the flush failed; the files are let go of all the same.
        """
        with self._scans_lock:
            failure, self._failure = self._failure, CLOSED
            for pieces in self._scans:
                pieces.close()
        if failure == CLOSED:
            return
        self._held = None
        try:
            try:
                if failure is None:
                    self._sync()
            finally:
                self._db.close()
        except Exception as error:
            # After a failure it says the same once more.
            if failure is None:
                raise our_error(f"cannot flush {self._directory}", error) from error

    def _write(self, batch: Sequence[Row]) -> None:
        """RocksDB would wait for its compactions with the interpreter's lock in its hands. So it is
        told not to, and the waiting is done here."""
        waited, pause = 0.0, PAUSE_SECONDS_MIN
        while True:
            try:
                binding.write(self._db, batch)
                return
            except Exception as error:
                if not binding.stalled(error) or waited > STALL_SECONDS_MAX:
                    raise
            self._stalls += 1
            time.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, PAUSE_SECONDS_MAX)

    def _sync(self) -> None:
        self._db.flush_wal(True)
        self._syncs += 1

    @contextlib.contextmanager
    def _refusing_after(self, doing: str) -> Iterator[None]:
        """When this fails, refuse all later writes."""
        self._check()
        try:
            yield
        except Exception as error:
            ours = our_error(f"{doing} failed", error)
            self._failure = str(ours)
            _logger.error("%s takes no more writes: %s", self._directory, ours)
            kind = DiskFull if isinstance(ours, DiskFull) else StorageError
            raise self._refusal(kind) from error
        except BaseException:
            # A signal, in the middle. What is on the disk, nobody knows.
            self._failure = f"{doing} was interrupted"
            raise

    def _check(self) -> None:
        if self._failure is not None:
            raise self._refusal(StorageError)

    def _refusal(self, kind: type[StorageError]) -> StorageError:
        return kind(f"{self._directory} takes no writes: {self._failure}; reopen the store")
