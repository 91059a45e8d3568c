"""A durable engine: a write-ahead log over a dict that holds every row.

Knows: which files there are, when rows are shown, when a snapshot takes the place of the log. Must
not know: how bytes look (``log_format``), how an append can fail (``log_writer``), what files add
up to after a crash (``log_recovery``), what keys mean.

For stores that fit in memory: every row is held there, and opening reads all of it.

Invariants:

- A row is visible only after its record is in the log, and with ``sync`` on the disk.
- ``log-N+1`` is durable before ``snapshot-N`` is begun, and ``snapshot-N`` is durable before
  anything up to ``log-N`` is deleted. When a snapshot fails, the older files say the same.
- A damaged file is renamed, never deleted, and goes on to be read until a snapshot covers it.

Threads: the port's. The snapshot's own thread touches files of its own, and counters that no other
thread writes while it lives.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from dynamokv.errors import StorageError
from dynamokv.limits import BATCH_ITEMS_MAX
from dynamokv.ports import FileSystem, Row, Stat
from dynamokv.storage.files import DirectoryLock, RealFiles
from dynamokv.storage.log_files import (
    DAMAGED,
    StoredFile,
    create_log,
    create_snapshot,
    replaced_files,
)
from dynamokv.storage.log_format import HEADER_BYTES, SALT_BYTES, encode_batch
from dynamokv.storage.log_recovery import Recovered, recover
from dynamokv.storage.log_writer import LogWriter, storage_error
from dynamokv.storage.memory import MemoryEngine

FAULTS_LOGGED_MAX: Final = 20
"""Faults of one opening that get a line each: a file can hold millions, and the first ones tell."""

_logger = logging.getLogger("dynamokv.storage")


class Lock(Protocol):
    """What keeps other processes out of a directory."""

    def release(self) -> None:
        """Let them in."""


def random_salt() -> bytes:
    """Salt of a new file."""
    return os.urandom(SALT_BYTES)


class LogEngine:
    """``ports.StorageEngine`` over files in a directory, where other files may lie beside them.

    Args:
        directory: created when absent.
        files: the file system.
        log_bytes_max: a log above this, and above the size of the rows, is replaced by a snapshot.
        salt: makes the 8 random bytes of each new file.
        background: write snapshots in a thread; False writes them within ``apply``, for tests.
        lock: takes the directory.

    Attributes:
        forgot: opening cut off bytes or met damage, so acknowledged writes may be missing.

    Raises:
        DataDirLocked: another engine has the directory.
        CorruptionError: a file is of a newer format version; nothing was changed.
        StorageError: the directory cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        *,
        log_bytes_max: int,
        files: FileSystem | None = None,
        salt: Callable[[], bytes] = random_salt,
        background: bool = True,
        lock: Callable[[Path], Lock] = DirectoryLock,
    ) -> None:
        self._directory = directory
        self._files: FileSystem = RealFiles() if files is None else files
        self._salt = salt
        self._background = background
        self._log_bytes_max = log_bytes_max
        self._rotate_above = log_bytes_max
        self._snapshot_thread: threading.Thread | None = None
        self._snapshots = 0
        self._snapshot_failures = 0
        self._removal_failures = 0
        self._lock: Lock | None = None
        self._log = LogWriter(directory, 0)
        try:
            self._files.make_dir(directory)
            self._lock = lock(directory)
            found = recover(self._files, directory)
            self.forgot = bool(found.faults or found.cut_bytes)
            self._bytes_cut = found.cut_bytes
            self._records_damaged = len(found.faults)
            self._memory = MemoryEngine(found.rows)
            self._rows = found.rows
            self._number = found.number
            self._sizes = found.sizes
            self._log.sequence = found.sequence
            self._open(found)
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError):
                raise storage_error(f"cannot open {directory}", error) from error
            raise

    def _open(self, found: Recovered) -> None:
        """Bring the files into order, so that the next opening finds nothing to report."""
        if found.cut_bytes:
            name = found.log.name if found.log else "a log that was being made"
            _logger.warning(
                "%s: cut a tail of %d bytes off %s", self._directory, found.cut_bytes, name
            )
        if found.faults:
            self._set_aside(found)
            self._start_log()
            self._write_snapshot(self._number - 1, found.sequence, found.rows, self._salt())
            return
        if found.log is None:
            self._start_log()
        else:
            self._continue_log(found.log, found)
        self._remove_replaced(found.snapshot_number)

    def _set_aside(self, found: Recovered) -> None:
        for fault in found.faults[:FAULTS_LOGGED_MAX]:
            path = self._directory / fault.file.name
            _logger.warning("%s is damaged at offset %d: %s", path, fault.offset, fault.reason)
        if len(found.faults) > FAULTS_LOGGED_MAX:
            _logger.warning("%s: %d faults in all", self._directory, len(found.faults))
        for name in dict.fromkeys(fault.file.name for fault in found.faults):
            # A missing file has no size; one with the suffix is what an unfinished opening left.
            if name in self._sizes and not name.endswith(DAMAGED):
                self._files.replace(self._directory / name, self._directory / (name + DAMAGED))
                self._sizes[name + DAMAGED] = self._sizes.pop(name)

    def _continue_log(self, file: StoredFile, found: Recovered) -> None:
        log = self._files.open_append(self._directory / file.name)
        self._sizes.pop(file.name)
        self._log.go_on_in(log, file.name, found.log_salt, found.log_bytes)
        if found.cut_bytes:
            log.truncate(found.log_bytes)
        # Also without a cut: a killed process may have left rows and names in the kernel's memory
        # only, and from here on they are read, built on, and older files deleted for them.
        log.sync()
        self._files.sync_dir(self._directory)

    # Reads: any thread.

    def get(self, key: bytes) -> bytes | None:
        """The value, or ``None``."""
        return self._rows.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in key order, as of this call. Reads the whole table."""
        return self._memory.scan(start, end)

    def stats(self) -> Mapping[str, Stat]:
        """Counts since opening, and sizes in bytes; ``failed`` is 1 when writes are refused."""
        return {
            "rows": len(self._rows),
            "storage_bytes": sum(self._sizes.copy().values()) + self._log.size_bytes,
            "live_bytes": self._memory.size_bytes,
            "log_bytes": self._log.size_bytes,
            "syncs": self._log.syncs,
            "snapshots": self._snapshots,
            "snapshot_failures": self._snapshot_failures,
            "removal_failures": self._removal_failures,
            "records_cut": int(self._bytes_cut > 0),
            "bytes_cut": self._bytes_cut,
            "records_damaged": self._records_damaged,
            "failed": int(self._log.failure is not None),
        }

    # Writes: one thread at a time.

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        """Write the batch as one record, sync when asked, then make it visible.

        Raises:
            UsageError: the batch is too large for the format. Nothing was applied.
            DiskFull: nothing was applied and none of it will ever appear.
            StorageError: the log failed, now or earlier. Writes are refused until reopened.
        """
        log = self._log
        log.check()
        payload = encode_batch(batch)
        if log.size_bytes > self._rotate_above and log.size_bytes > self._memory.size_bytes:
            # Before the batch, so that when this fails nothing of the batch was written.
            self._rotate()
        if batch:
            log.append(payload)
        if sync:
            log.sync()
        self._memory.apply(batch, sync=sync)

    def drop(self, start: bytes, end: bytes) -> None:
        """Delete all rows with start <= key < end, a batch at a time. Raises as ``apply`` does."""
        keys = [key for key in self._rows if start <= key < end]
        for at in range(0, len(keys), BATCH_ITEMS_MAX):
            self.apply([(key, None) for key in keys[at : at + BATCH_ITEMS_MAX]], sync=False)
        self._log.sync()

    def flush(self) -> None:
        """Sync what was applied without.

        Raises:
            StorageError: the log failed, now or earlier. Writes are refused until reopened.
        """
        self._log.sync()

    def checkpoint(self, directory: Path) -> None:
        """Write the visible rows as a new store. After an error, ``directory`` is not to be used.

        Raises:
            StorageError: the directory exists already, or cannot be written.
        """
        try:
            if self._exists(directory):
                raise StorageError(f"{directory} exists: a checkpoint needs a new directory")
            self._files.make_dir(directory)
            sequence = self._log.sequence
            # The log first: without its snapshot it shows a gap, so half a checkpoint is no store.
            log, _ = create_log(self._files, directory, 1, self._salt(), sequence)
            log.close()
            create_snapshot(self._files, directory, 0, self._salt(), sequence, self._rows)
        except OSError as error:
            raise storage_error(f"cannot write a checkpoint to {directory}", error) from error

    def close(self) -> None:
        """Wait for a snapshot under way, flush, let go of the files. Later writes are refused.

        Raises:
            StorageError: the flush failed; the files are let go of all the same.
        """
        try:
            if self._snapshot_thread is not None:
                self._snapshot_thread.join()
            if self._log.failure is None:
                self._log.sync()
        finally:
            self._let_go()

    # Files: logs, snapshots, and what they replace.

    def _start_log(self) -> None:
        """Go on in the next log. On ``OSError`` the old one goes on."""
        salt, sequence = self._salt(), self._log.sequence
        log, name = create_log(self._files, self._directory, self._number + 1, salt, sequence)
        if self._log.name:
            self._sizes[self._log.name] = self._log.size_bytes
        # There is one to take back when a crash interrupted the making of a log of this name.
        self._sizes.pop(name, None)
        self._number += 1
        self._rotate_above = self._log_bytes_max
        self._log.go_on_in(log, name, salt, HEADER_BYTES)
        try:
            self._files.sync_dir(self._directory)
        except OSError as error:
            raise self._log.fail("a sync of the directory", error) from error

    def _rotate(self) -> None:
        """Go on in a new log, and let a snapshot take the place of all before it."""
        if self._snapshot_thread is not None and self._snapshot_thread.is_alive():
            return
        self._log.sync()
        sequence = self._log.sequence
        try:
            self._start_log()
        except OSError as error:
            # A full disk, most likely. To be tried again when the old log has grown as much again.
            self._snapshot_failed(error)
            self._rotate_above = self._log.size_bytes + self._log_bytes_max
            return
        # A copy, because this thread goes on changing the rows while the other one writes them.
        arguments = (self._number - 1, sequence, self._rows.copy(), self._salt())
        if not self._background:
            self._write_snapshot(*arguments)
            return
        thread = threading.Thread(
            target=self._write_snapshot, args=arguments, name="dynamokv-snapshot", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            self._snapshot_failed(error)
        else:
            self._snapshot_thread = thread

    def _write_snapshot(
        self, number: int, sequence: int, rows: Mapping[bytes, bytes], salt: bytes
    ) -> None:
        """Write a snapshot, then delete what it replaces. A failure leaves the older files."""
        try:
            name, size_bytes = create_snapshot(
                self._files, self._directory, number, salt, sequence, rows
            )
        except OSError as error:
            self._snapshot_failed(error)
            return
        self._sizes[name] = size_bytes
        self._snapshots += 1
        self._remove_replaced(number)

    def _snapshot_failed(self, error: Exception) -> None:
        self._snapshot_failures += 1
        _logger.warning("%s: no snapshot, the log goes on: %s", self._directory, error)

    def _remove_replaced(self, snapshot_number: int) -> None:
        """A file that stays costs space only, and the next snapshot or opening tries again."""
        try:
            for name in replaced_files(self._files.list_dir(self._directory), snapshot_number):
                self._files.remove(self._directory / name)
                self._sizes.pop(name, None)
        except OSError as error:
            self._removal_failures += 1
            _logger.warning("%s: cannot delete replaced files: %s", self._directory, error)

    def _exists(self, directory: Path) -> bool:
        try:
            self._files.list_dir(directory)
        except FileNotFoundError:
            return False
        return True

    def _let_go(self) -> None:
        try:
            self._log.close()
        finally:
            if self._lock is not None:
                self._lock.release()
            self._lock = None
