"""The log that takes the writes, and how one log follows another.

Knows: the log in use and its place in the order of logs. Must not know: rows, when a log is full.

Invariants:

- A log is begun only after the earlier one is synced, so that what a power cut takes is always the
  end, never a piece out of the middle.
- A log has its name, durably, before its first record.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.framing import FileKind, RecordType, encode_header
from dynamokv.storage.lsm.jobs import LogPart
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.record_writer import RecordWriter
from dynamokv.storage.lsm.whole_files import create_file


class Journal:
    """The log of one store.

    Attributes:
        writer: its growing end.
        torn: the tail of a log that an opening found is still there, and shows that something is
            missing. Nothing may be appended before that is told elsewhere, and ``cut``.
    """

    def __init__(self, files: FileSystem, directory: Path, salt: Callable[[], bytes]) -> None:
        self._files = files
        self._directory = directory
        self._salt = salt
        self._first_sequence = 1
        self.torn = False
        self.writer = RecordWriter(directory, RecordType.BATCH)

    def begin(self, number: int, proven: int | None = None) -> None:
        """Go on in a new log of this number. The caller has synced the present one, if there is.
        Where it cannot know that all records before this log are on the disk, its header says that
        those below ``proven`` are.

        Raises:
            OSError: there is no new log; the present one goes on.
            StorageError: the directory could not be synced, and the store takes no more writes.
        """
        writer = self.writer
        salt = self._salt()
        sequence = writer.sequence if proven is None else proven
        header = encode_header(FileKind.WAL, salt, sequence)
        path = self._directory / file_name(Kind.WAL, number)
        file = create_file(self._files, path, [header])
        try:
            self._files.sync_dir(self._directory)
        except OSError as error:
            file.close()
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # The directory could not even be opened: nothing was lost.
                raise
            raise writer.fail("a sync of the directory", error) from error
        writer.go_on_in(file, number, salt, len(header), writer.sequence)
        self._first_sequence = writer.sequence

    def go_on(self, last: LogPart, salt: bytes, *, torn: bool) -> None:
        """Append to a log that an opening found, behind its last good record; where it or one
        before it is torn, from ``cut`` on.

        Raises:
            OSError: as the disk says.
        """
        file = self._files.open_append(self._directory / file_name(Kind.WAL, last.number))
        self.writer.go_on_in(file, last.number, salt, last.size_bytes, last.end_sequence)
        # A killed process may have left rows and names in the kernel's memory only, and from here
        # on they are read and built on.
        file.sync()
        self._files.sync_dir(self._directory)
        self._first_sequence = last.first_sequence
        self.torn = torn

    def cut(self) -> None:
        """What the tail shows is told elsewhere, durably: cut it off, and append.

        Raises:
            StorageError: the store takes no more writes.
        """
        self.writer.cut()
        self.torn = False

    def part(self) -> LogPart:
        """What the log in use holds by now."""
        writer = self.writer
        return LogPart(writer.number, writer.size_bytes, self._first_sequence, writer.sequence)
