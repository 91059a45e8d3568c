"""What the files of a log engine add up to, whatever state a crash or a bad disk left them in.

Knows: the order of files and records, and how to tell a torn tail from damage. Must not know: how
to write. Nothing here changes a file, so an opening that refuses has touched nothing.

The rules, which ``docs/formats/log.md`` explains:

- Rows are those of the newest complete snapshot, then of every log after it, in order. Sequences
  are dense across all of them, and that is what proves that nothing is missing in between.
- In the last log, bytes that are no record, with no record after them, are the write that a crash
  interrupted: a torn tail, to be cut off.
- Everything else is damage. Every valid row around it counts, and the file is kept for inspection.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dynamokv.errors import CorruptionError
from dynamokv.ports import FileSystem
from dynamokv.storage.log_files import DAMAGED, TEMPORARY, StoredFile, stored_files
from dynamokv.storage.log_format import (
    HEADER_BYTES,
    Damage,
    FileKind,
    Header,
    Record,
    RecordType,
    decode_batch,
    decode_end,
    decode_header,
    scan,
)

FIRST_SEQUENCE: Final = 1
"""Of the first record of a new store, so that a lost first file shows as a gap."""

_UNREADABLE = frozenset({errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)})
"""What a disk or file system says about bytes that it lost. Anything else (permissions, no memory)
may pass, so it must not set a good file aside."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where and how a file is damaged."""

    file: StoredFile
    offset: int
    reason: str


@dataclass(slots=True)
class Recovered:
    """The outcome. Without ``faults``, the store goes on in ``log``, cut to ``log_bytes``."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    sequence: int = FIRST_SEQUENCE
    """Of the next record."""
    snapshot_number: int = -1
    """Of the snapshot that ``rows`` started from: files up to it say nothing new."""
    number: int = 0
    """The highest in use; a new log takes the next one."""
    log: StoredFile | None = None
    log_bytes: int = 0
    log_salt: bytes = b""
    cut_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of every file that was read."""


def recover(files: FileSystem, directory: Path) -> Recovered:
    """Read the whole directory.

    Raises:
        CorruptionError: a file is of a newer format version.
        OSError: a file that may be fine cannot be read now.
    """
    return _Recovery(files, directory).run()


class _Recovery:
    """One pass over the files, oldest first, adding to ``found``."""

    def __init__(self, files: FileSystem, directory: Path) -> None:
        self._files = files
        self._directory = directory
        self._found = Recovered()

    def run(self) -> Recovered:
        found = self._found
        names = self._files.list_dir(self._directory)
        stored = [file for file in stored_files(names) if file.suffix != TEMPORARY]
        self._start_from_newest_snapshot(stored)
        later = [file for file in stored if file.number > found.snapshot_number]
        logs = [file for file in later if file.kind is FileKind.LOG]
        for file in later:
            found.number = file.number
            if file.kind is FileKind.LOG:
                self._replay_log(file, last=file is logs[-1])
            else:
                self._overlay_damaged_snapshot(file)
        if stored and not logs:
            # A snapshot is only begun once the log after it exists.
            missing = StoredFile(found.number + 1, FileKind.LOG)
            self._fault(missing, 0, "the log after the newest snapshot is missing")
        return found

    def _start_from_newest_snapshot(self, stored: list[StoredFile]) -> None:
        found = self._found
        for file in reversed(stored):
            if file.kind is FileKind.SNAPSHOT and file.suffix != DAMAGED:
                header, rows, fault = self._read_snapshot(file)
                if fault is None:
                    found.rows = rows
                    found.sequence = header.sequence
                    found.number = found.snapshot_number = file.number
                    return

    def _read_snapshot(self, file: StoredFile) -> tuple[Header, dict[bytes, bytes], Fault | None]:
        """Its rows, or as many as are valid and the first thing that is wrong with it."""
        data, header, fault = self._open(file)
        rows: dict[bytes, bytes] = {}
        number = 0
        ended = False
        for item in scan(data, header.salt, 0):
            if isinstance(item, Damage):
                problem: str | None = f"{item.end - item.offset} bytes are no record"
            else:
                problem = _apply(rows, item)
                if item.sequence != number or ended:
                    problem = f"record {item.sequence} is not in its place"
                elif item.type == RecordType.END:
                    ended = True
                    if decode_end(item.payload) != len(rows):
                        problem = f"its {len(rows)} rows are not as many as it ends with"
                number = item.sequence + 1
            if problem is not None and fault is None:
                fault = Fault(file, item.offset, problem)
        if not ended and fault is None:
            fault = Fault(file, len(data), "its end is missing")
        return header, rows, fault

    def _overlay_damaged_snapshot(self, file: StoredFile) -> None:
        """What is valid in it holds as of its place in the order."""
        header, rows, fault = self._read_snapshot(file)
        if fault is None:
            fault = Fault(file, 0, "it was set aside by an earlier opening")
        self._found.faults.append(fault)
        self._found.rows.update(rows)
        if header.fault is None:
            self._found.sequence = max(self._found.sequence, header.sequence)

    def _replay_log(self, file: StoredFile, *, last: bool) -> None:
        found = self._found
        last = last and file.suffix != DAMAGED
        data, header, fault = self._open(file)
        if fault is not None:
            if last and len(data) <= HEADER_BYTES and fault.reason == header.fault:
                # Nothing can have been in it: its header is durable before its first record. The
                # next log takes its place.
                found.cut_bytes = len(data)
                found.number = file.number - 1
                return
            found.faults.append(fault)
        elif file.suffix == DAMAGED:
            self._fault(file, 0, "it was set aside by an earlier opening")
        if header.fault is None and header.sequence != found.sequence:
            self._fault(file, 0, f"it begins with record {header.sequence}, not {found.sequence}")
            found.sequence = max(found.sequence, header.sequence)
        end = len(data)
        for item in scan(data, header.salt, found.sequence):
            if isinstance(item, Record):
                self._replay_record(file, item)
            elif last and item.end == len(data) and not item.gave_up:
                end = item.offset
                found.cut_bytes = item.end - item.offset
            else:
                self._fault(file, item.offset, f"{item.end - item.offset} bytes are no record")
        if last:
            found.log = file
            found.log_bytes = end
            found.log_salt = header.salt

    def _replay_record(self, file: StoredFile, record: Record) -> None:
        found = self._found
        if record.sequence != found.sequence:
            reason = f"record {record.sequence} stands where {found.sequence} belongs"
            self._fault(file, record.offset, reason)
            if record.sequence < found.sequence:
                return
        found.sequence = record.sequence + 1
        problem = f"a record of type {record.type} in a log"
        if record.type == RecordType.BATCH:
            problem = _apply(found.rows, record) or ""
        if problem:
            self._fault(file, record.offset, problem)

    def _open(self, file: StoredFile) -> tuple[bytes, Header, Fault | None]:
        data, unreadable = b"", None
        try:
            data = self._files.read(self._directory / file.name)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            unreadable = f"it cannot be read: {error.strerror}"
        self._found.sizes[file.name] = len(data)
        try:
            header = decode_header(data, file.kind)
        except CorruptionError as error:
            raise CorruptionError(f"{self._directory / file.name}: {error}") from error
        reason = unreadable or header.fault
        return data, header, None if reason is None else Fault(file, 0, reason)

    def _fault(self, file: StoredFile, offset: int, reason: str) -> None:
        self._found.faults.append(Fault(file, offset, reason))


def _apply(rows: dict[bytes, bytes], record: Record) -> str | None:
    """Add a BATCH record's rows, or say why its payload is none. Other types have no rows."""
    if record.type != RecordType.BATCH:
        return None
    try:
        batch = decode_batch(record.payload)
    except CorruptionError as error:
        return str(error)
    for key, value in batch:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return None
