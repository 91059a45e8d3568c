"""The growing end of a file of records: appending, syncing, and what happens when either fails.

Knows: one open file and whether it can still be trusted. Must not know: what the records say, which
other files there are.

Invariants:

- Nothing is ever appended behind a failed write: it is cut off first, and the cut is synced.
- Where that is not certain, and after any failed sync, ``failure`` is set for good and every later
  write is refused. A failed sync is not tried again: the kernel may have dropped the pages, and
  would say yes.
"""

from __future__ import annotations

import errno
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from dynamokv.errors import DiskFull, StorageError
from dynamokv.ports import AppendFile
from dynamokv.storage.lsm.framing import RecordType, encode_record, salt_seed

CLOSED: Final = "it was closed"

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the kernel says when there is no room."""

_logger = logging.getLogger("dynamokv.storage")


def storage_error(doing: str, error: OSError) -> StorageError:
    """The same in our own errors: ``DiskFull`` when that is what it is."""
    kind = DiskFull if error.errno in FULL else StorageError
    return kind(f"{doing}: {error.strerror or error}")


class RecordWriter:
    """The end of a log or a manifest, in whichever file it is at the moment.

    Attributes:
        type: of the records.
        sequence: of the next record.
        seed: of its checksum.
        number: of the file.
        size_bytes: of the file, up to the end of the last good record.
        failure: why writes are refused, or ``None``.
        syncs: how many have succeeded, but for those ahead.
    """

    def __init__(self, directory: Path, type: RecordType) -> None:
        self._directory = directory
        self._file: AppendFile | None = None
        self.seed = 0
        self.type = type
        self.sequence = 1
        self.number = 0
        self.size_bytes = 0
        self.failure: str | None = None
        self.syncs = 0
        self._synced_bytes = 0
        self._synced_sequence = 1
        self._begun_at = 0
        self._written_before = 0
        self._sync_lock = threading.Lock()

    @property
    def unsynced(self) -> bool:
        """Records may be in the kernel's memory only."""
        return self.sequence != self._synced_sequence

    @property
    def written_bytes(self) -> int:
        """By this writer, over all files."""
        return self._written_before + self.size_bytes - self._begun_at

    def go_on_in(
        self, file: AppendFile, number: int, salt: bytes, size_bytes: int, sequence: int
    ) -> None:
        """Append to this file from now on, beginning with this sequence. The earlier one must be
        synced, and is closed."""
        assert self._file is None or not self.unsynced
        with self._sync_lock:
            self._close_file()
            self._written_before = self.written_bytes
            self._file = file
            self.seed = salt_seed(salt)
            self.number = number
            self.sequence = self._synced_sequence = sequence
            self.size_bytes = self._synced_bytes = self._begun_at = size_bytes

    def append(self, payload: bytes) -> None:
        """Add a record: all of it, or nothing that can ever be seen.

        Raises:
            DiskFull: it was not added; later calls may succeed.
            StorageError: as ``failure`` says.
        """
        self.write(encode_record(self.seed, self.type, self.sequence, payload))

    def write(self, record: bytes) -> None:
        """The same for a record that was encoded for here and now. Raises as above."""
        file = self._file
        if file is None or self.failure is not None:
            raise self._refusal()
        try:
            file.append(record)
            self.size_bytes += len(record)
            self.sequence += 1
        except OSError as error:
            self._cut_back(file, error)
            if error.errno in FULL:
                raise storage_error(f"cannot write to {self._directory}", error) from error
            raise self.fail("a write", error) from error
        except BaseException:
            # A signal, in the middle. Whether the record is whole, nobody knows.
            self.failure = "a write was interrupted"
            raise

    def cut(self) -> None:
        """Cut off, durably, what was found behind the last good record. Raises ``StorageError`` as
        ``failure`` says."""
        file = self._file
        if file is None or self.failure is not None:
            raise self._refusal()
        self._cut_back(file)

    def _cut_back(self, file: AppendFile, cause: OSError | None = None) -> None:
        with self._sync_lock:
            try:
                file.truncate(self.size_bytes)
                # Or a power cut could bring back a record that was whole.
                file.sync()
            except OSError as error:
                raise self.fail("cutting off a failed write", error) from cause or error
            except BaseException:
                self.failure = "cutting off a failed write was interrupted"
                raise
        # A sync in the background may have failed meanwhile, and taken the error with it.
        self.check()

    def sync(self) -> None:
        """On return, every record is on the disk.

        Raises:
            StorageError: as ``failure`` says. Unsynced records may be on the disk or not.
        """
        # An error is reported once for each open file: two syncs at once would share it.
        with self._sync_lock:
            self.check()
            if not self.unsynced or self._file is None:
                return
            try:
                self._file.sync()
                self._synced_bytes, self._synced_sequence = self.size_bytes, self.sequence
                self.syncs += 1
            except OSError as error:
                raise self.fail("a sync", error) from error
            except BaseException:
                self.failure = "a sync was interrupted"
                raise

    def sync_ahead(self, size_bytes: int) -> None:
        """Sync what there is by now, if it is so much. Any thread; nobody waits for it, but the
        next ``sync`` then finds little to do. What fails stops the writer, as ``sync`` does."""
        with self._sync_lock:
            file, reached = self._file, self.size_bytes
            if file is None or self.failure is not None:
                return
            if reached - self._synced_bytes < size_bytes:
                return
            try:
                file.sync()
                self._synced_bytes = reached
            except OSError as error:
                self.fail("a sync", error)

    def fail(self, doing: str, error: OSError) -> StorageError:
        """Refuse writes from now on; the error to raise for it."""
        return self.stop(f"{doing} failed: {error.strerror or error}")

    def stop(self, reason: str) -> StorageError:
        """The same, in words."""
        if self.failure is None:
            self.failure = reason
            _logger.error("%s takes no more writes: %s", self._directory, reason)
        return self._refusal()

    def check(self) -> None:
        """Raise what every write would raise now, if it would."""
        if self.failure is not None or self._file is None:
            raise self._refusal()

    def close(self) -> None:
        """Let go of the file without syncing, and refuse writes."""
        self.failure = self.failure or CLOSED
        with self._sync_lock:
            self._close_file()

    def _refusal(self) -> StorageError:
        return StorageError(f"{self._directory} takes no writes: {self.failure}; reopen the store")

    def _close_file(self) -> None:
        """With the lock held: nobody syncs what is being closed."""
        file, self._file = self._file, None
        if file is not None:
            # Whatever had to be on the disk was synced, so that a failing close can lose nothing.
            with suppress(OSError):
                file.close()
