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
        number: of the file.
        size_bytes: of the file, up to the end of the last good record.
        written_bytes: by this writer, over all files.
        unsynced: records may be in the kernel's memory only.
        failure: why writes are refused, or ``None``.
        syncs: how many have succeeded.
    """

    def __init__(self, directory: Path, type: RecordType) -> None:
        self._directory = directory
        self._file: AppendFile | None = None
        self._seed = 0
        self.type = type
        self.sequence = 1
        self.number = 0
        self.size_bytes = 0
        self.written_bytes = 0
        self.unsynced = False
        self.failure: str | None = None
        self.syncs = 0

    def go_on_in(self, file: AppendFile, number: int, salt: bytes, size_bytes: int) -> None:
        """Append to this file from now on. The earlier one must be synced, and is closed."""
        assert not self.unsynced
        self._close_file()
        self._file = file
        self._seed = salt_seed(salt)
        self.number = number
        self.size_bytes = size_bytes

    def append(self, payload: bytes) -> None:
        """Add a record: all of it, or nothing that can ever be seen.

        Raises:
            DiskFull: it was not added; later calls may succeed.
            StorageError: as ``failure`` says.
        """
        file = self._file
        if file is None or self.failure is not None:
            raise self._refusal()
        record = encode_record(self._seed, self.type, self.sequence, payload)
        try:
            file.append(record)
            size_bytes = len(record)
            self.size_bytes += size_bytes
            self.written_bytes += size_bytes
            self.sequence += 1
            self.unsynced = True
        except OSError as error:
            self._cut_back(file, error)
            if error.errno in FULL:
                raise storage_error(f"cannot write to {self._directory}", error) from error
            raise self.fail("a write", error) from error
        except BaseException:
            # A signal, in the middle. Whether the record is whole, nobody knows.
            self.failure = "a write was interrupted"
            raise

    def _cut_back(self, file: AppendFile, cause: OSError) -> None:
        try:
            file.truncate(self.size_bytes)
            # Or a power cut could bring back a record that was whole.
            file.sync()
        except OSError as error:
            raise self.fail("cutting off a failed write", error) from cause
        except BaseException:
            self.failure = "cutting off a failed write was interrupted"
            raise

    def sync(self) -> None:
        """On return, every record is on the disk.

        Raises:
            StorageError: as ``failure`` says. Unsynced records may be on the disk or not.
        """
        self.check()
        if not self.unsynced or self._file is None:
            return
        try:
            self._file.sync()
            self.unsynced = False
            self.syncs += 1
        except OSError as error:
            raise self.fail("a sync", error) from error
        except BaseException:
            self.failure = "a sync was interrupted"
            raise

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
        self._close_file()

    def _refusal(self) -> StorageError:
        return StorageError(f"{self._directory} takes no writes: {self.failure}; reopen the store")

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Whatever had to be on the disk was synced, so that a failing close can lose nothing.
            with suppress(OSError):
                file.close()
