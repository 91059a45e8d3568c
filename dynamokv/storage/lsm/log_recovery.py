"""The rows of the logs that are in no table yet.

Knows: logs, their order, and how to tell a torn tail from damage. Must not know: tables. Nothing
here changes a file, so an opening that refuses has touched nothing.

The rules, which ``docs/formats/wal.md`` explains:

- Rows are those of every log, in order, on top of the tables. Sequences are dense across all of
  them, and that is what proves that nothing is missing in between.
- At the end of a log, bytes that are no record are the write that a crash interrupted: a torn tail,
  to be left behind. Not where the next log begins with a later record than the one that they would
  be: then that one is missing. (An opening that was interrupted itself leaves a next log, whose
  header says only what was in tables: what it read of the logs may never have been on the disk.)
- Everything else is damage. Every valid row around it counts, and the file is kept for inspection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dynamokv.errors import CorruptionError
from dynamokv.ports import FileSystem, Row
from dynamokv.storage.lsm.batch import decode_batch
from dynamokv.storage.lsm.faults import Fault, read_or_fault
from dynamokv.storage.lsm.framing import (
    Damage,
    FileKind,
    Header,
    Record,
    RecordType,
    decode_header,
    scan,
)
from dynamokv.storage.lsm.jobs import LogPart
from dynamokv.storage.lsm.names import Kind, file_name


@dataclass(slots=True)
class FoundLogs:
    """The outcome. The store begins a new log; only on a full disk, and without ``faults``, it goes
    on in the last of these."""

    rows: dict[bytes, bytes | None] = field(default_factory=dict)
    sequence: int = 0
    """Of the next record."""
    logs: list[LogPart] = field(default_factory=list)
    last_salt: bytes = b""
    cut_bytes: int = 0
    """At the ends of logs."""
    faults: list[Fault] = field(default_factory=list)


def recover_logs(
    files: FileSystem, directory: Path, numbers: Sequence[int], sequence: int
) -> FoundLogs:
    """Read these logs, oldest first. ``sequence``: of the first record that no table has.

    Raises:
        CorruptionError: a log is of a newer format version.
        OSError: a log that may be fine cannot be read now.
    """
    recovery = _Recovery(files, directory, sequence)
    for number in numbers:
        recovery.replay(number, last=number == numbers[-1])
    return recovery.found


class _Recovery:
    """One pass over the logs, adding to ``found``."""

    def __init__(self, files: FileSystem, directory: Path, sequence: int) -> None:
        self._files = files
        self._directory = directory
        self._tail: Damage | None = None
        self._tail_of = ""
        self.found = FoundLogs(sequence=sequence)

    def replay(self, number: int, *, last: bool) -> None:
        found = self.found
        name = file_name(Kind.WAL, number)
        data, fault = read_or_fault(self._files, self._directory, name)
        header = self._header(name, data)
        if fault is None and header.fault is not None:
            # Also of a last log that is not even a header: that was durable before its name.
            fault = Fault(name, 0, header.fault)
        self._judge_tail(missed=fault is not None or header.sequence > found.sequence)
        if fault is not None:
            found.faults.append(fault)
        elif header.sequence > found.sequence:
            self._fault(name, 0, f"it begins with {header.sequence}, not {found.sequence}")
            found.sequence = header.sequence
        first = found.sequence
        end = len(data)
        for item in scan(data, header.salt, found.sequence):
            if isinstance(item, Record):
                self._replay_record(name, item)
            elif item.end == len(data) and not item.gave_up:
                end = item.offset
                found.cut_bytes += item.end - item.offset
                self._tail, self._tail_of = item, name
            else:
                self._fault(name, item.offset, f"{item.end - item.offset} bytes are no record")
        if last:
            found.last_salt = header.salt
        found.logs.append(LogPart(number, end, first, found.sequence))

    def _judge_tail(self, *, missed: bool) -> None:
        """What seemed to be the torn tail of the log before was a record, if one is missed now."""
        tail, self._tail = self._tail, None
        if tail is not None and missed:
            size = tail.end - tail.offset
            self.found.cut_bytes -= size
            self._fault(self._tail_of, tail.offset, f"{size} bytes are no record")

    def _replay_record(self, name: str, record: Record) -> None:
        found = self.found
        if record.sequence != found.sequence:
            reason = f"record {record.sequence} stands where {found.sequence} belongs"
            self._fault(name, record.offset, reason)
            if record.sequence < found.sequence:
                return
        found.sequence = record.sequence + 1
        if record.type != RecordType.BATCH:
            self._fault(name, record.offset, f"a record of type {record.type} in a log")
            return
        try:
            rows: list[Row] = decode_batch(record.payload)
        except CorruptionError as error:
            self._fault(name, record.offset, str(error))
            return
        found.rows.update(rows)

    def _header(self, name: str, data: bytes) -> Header:
        try:
            return decode_header(data, FileKind.WAL)
        except CorruptionError as error:
            raise CorruptionError(f"{self._directory / name}: {error}") from error

    def _fault(self, name: str, offset: int, reason: str) -> None:
        self.found.faults.append(Fault(name, offset, reason))
