"""Does the jobs: logs into a table, tables into others, a look at every byte, what is left of a
damaged table.

Knows: files of the store that a job names. Must not know: trees and manifests, processes, clocks.

Invariants:

- A job changes nothing that was there. It leaves finished, synced and verified tables under
  temporary names, or nothing.
- Memory is bounded by a slice of the rows, whatever the size of the tables; for a flush, by the
  memtable that it is of.
- A job that meets damage says which file it is in, and makes nothing of the rest: whether half a
  table is better than none is not decided here. Only ``Salvage`` is asked for just that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

from dynamokv.errors import CorruptionError
from dynamokv.ports import FileSystem, Row
from dynamokv.storage.lsm.faults import damage_of
from dynamokv.storage.lsm.framing import SALT_BYTES
from dynamokv.storage.lsm.jobs import (
    Built,
    Damaged,
    Failed,
    Flush,
    Format,
    LogPart,
    Merge,
    Outcome,
    Salvage,
    Scrub,
    Task,
)
from dynamokv.storage.lsm.merge import merge
from dynamokv.storage.lsm.metered import MeteredFiles
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.new_tables import NewTables
from dynamokv.storage.lsm.record_writer import FULL
from dynamokv.storage.lsm.replay import replay
from dynamokv.storage.lsm.table import Table, TableDamaged
from dynamokv.storage.lsm.throttle import UNLIMITED, Stopped, Throttle
from dynamokv.storage.lsm.tree import Lost, TableMeta

REASONS_MAX: Final = 3
"""Pieces of a damaged table that are named."""

LARGE_ROWS: Final = 8
"""Where a block of a memtable's table would hold fewer, it is larger, up to twice its size: writers
may be waiting for it, and at 1 KiB a row that takes a fifth off. A read pays a microsecond."""

ROWS_AT_ONCE: Final = 4096
"""Of a memtable, on their way into its table."""

SAMPLED_ROWS: Final = 100
"""That tell how large the others are."""


def random_salt() -> bytes:
    """Salt of a new file."""
    return os.urandom(SALT_BYTES)


def run(
    task: Task,
    files: FileSystem,
    directory: Path,
    salt: Callable[[], bytes] = random_salt,
    throttle: Throttle = UNLIMITED,
) -> Outcome:
    """Do a job. What goes wrong with files is the outcome, not an exception."""
    work = _Work(task, files, directory, salt, throttle)
    return work.outcome(work.run)


def write_memtable(
    task: Task,
    files: FileSystem,
    directory: Path,
    rows: dict[bytes, bytes | None],
    first_sequence: int,
    end_sequence: int,
    salt: Callable[[], bytes] = random_salt,
) -> Outcome:
    """Make of a memtable what its ``Flush`` would have made of the logs."""
    work = _Work(task, files, directory, salt, UNLIMITED)
    return work.outcome(lambda: work.write(rows, first_sequence, end_sequence - 1))


class _LogDamaged(CorruptionError):
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


class _Work:
    """One task, once."""

    def __init__(
        self,
        task: Task,
        files: FileSystem,
        directory: Path,
        salt: Callable[[], bytes],
        throttle: Throttle,
    ) -> None:
        self._task = task
        self._files = MeteredFiles(files, throttle)
        self._directory = directory
        self._salt = salt
        self._new: NewTables | None = None
        self._lost: list[Lost] = []

    def outcome(self, do: Callable[[], None]) -> Outcome:
        """What came of doing it."""
        files = self._files
        try:
            do()
            tables = self._new.finish() if self._new is not None else ()
            return Built(tables, files.read_bytes, files.written_bytes, tuple(self._lost))
        except TableDamaged as error:
            found: Outcome = Damaged(error.file, error.number, error.reason)
        except _LogDamaged as error:
            found = Damaged(file_name(Kind.WAL, error.number), error.number, str(error))
        except OSError as error:
            found = Failed(str(error), full=error.errno in FULL, sync=files.sync_failed)
        except (CorruptionError, Stopped) as error:
            # Of a newer version, or a new table that cannot be read back.
            found = Failed(str(error), full=False)
        except BaseException:
            self._abandon()
            raise
        self._abandon()
        return found

    def run(self) -> None:
        """The job."""
        match self._task.job:
            case Flush(logs):
                self._flush(logs)
            case Merge() as job:
                self._merge(job)
            case Scrub(table):
                self._scrub(table)
            case Salvage(table):
                self._salvage(table)

    def write(
        self, rows: dict[bytes, bytes | None], first_sequence: int, last_sequence: int
    ) -> None:
        """One table of all these rows."""
        if rows:
            keys = sorted(rows)
            self._task = replace(self._task, format=_with_blocks_for(rows, self._task.format))
            new = self._begin((), (first_sequence, last_sequence))
            # A part at a time: pairs of all rows would be a fifth of what a flush holds.
            for start in range(0, len(keys), ROWS_AT_ONCE):
                part = keys[start : start + ROWS_AT_ONCE]
                new.add(list(zip(part, map(rows.__getitem__, part), strict=True)))

    def _flush(self, logs: Sequence[LogPart]) -> None:
        rows: dict[bytes, bytes | None] = {}
        expected = logs[0].first_sequence
        for log in logs:
            assert log.first_sequence == expected, "the logs of a memtable follow each other"
            self._replay(log, rows)
            expected = log.end_sequence
        self.write(rows, logs[0].first_sequence, expected - 1)

    def _replay(self, log: LogPart, rows: dict[bytes, bytes | None]) -> None:
        """Add every batch of a log: all of them, or an error."""
        path = self._directory / file_name(Kind.WAL, log.number)
        try:
            with closing(self._files.open_read(path)) as file:
                if file.size() < log.size_bytes:
                    raise CorruptionError(f"{file.size()} bytes are left of {log.size_bytes}")
                end = replay(file, log.size_bytes, log.first_sequence, rows)
            if end != log.end_sequence:
                raise CorruptionError(f"it ends before batch {end}")
        except CorruptionError as error:
            raise _LogDamaged(log.number, str(error)) from error
        except OSError as error:
            raise _LogDamaged(log.number, damage_of(error)) from error

    def _merge(self, job: Merge) -> None:
        tables = list(chain(*job.runs))
        oldest = min(table.first_sequence for table in tables)
        newest = max(table.last_sequence for table in tables)
        new = self._begin(tables, (oldest, newest), job.table_bytes)
        runs = [self._rows(run) for run in job.runs]
        for rows in merge(runs, self._task.format.block_bytes):
            new.add(rows if job.keep_deletions else [x for x in rows if x[1] is not None])

    def _rows(self, run: Iterable[TableMeta]) -> Iterator[list[Row]]:
        for meta in run:
            with closing(self._open(meta)) as table:
                yield from table.rows(b"", None)

    def _scrub(self, meta: TableMeta) -> None:
        with closing(self._open(meta, damaged_ok=True)) as table:
            bad = table.verify()
        if bad:
            reasons = [piece.reason for piece in bad[:REASONS_MAX]]
            if len(bad) > REASONS_MAX:
                reasons.append(f"and {len(bad) - REASONS_MAX} more")
            raise TableDamaged(
                meta.number,
                file_name(Kind.TABLE, meta.number),
                (bad[0].start, bad[-1].end),
                "; ".join(reasons),
            )

    def _salvage(self, meta: TableMeta) -> None:
        new = self._begin([meta], (meta.first_sequence, meta.last_sequence))
        try:
            with closing(self._open(meta, damaged_ok=True)) as table:
                for found in table.salvage_rows():
                    if isinstance(found, Lost):
                        self._lose(meta, found)
                    else:
                        new.add(found)
        except TableDamaged as error:
            # Not even a beginning can be read.
            self._lose(meta, Lost(error.file, error.start, error.end, error.reason))

    def _lose(self, meta: TableMeta, lost: Lost) -> None:
        """Note it, as one with its neighbour; what was dropped is no loss."""
        if any(start <= lost.start and lost.end <= end for start, end in meta.dropped):
            return
        last = self._lost[-1] if self._lost else None
        if last is not None and last.end >= lost.start:
            lost = Lost(last.file, last.start, max(last.end, lost.end), last.reason)
            self._lost.pop()
        self._lost.append(lost)

    def _open(self, meta: TableMeta, *, damaged_ok: bool = False) -> Table:
        path = self._directory / file_name(Kind.TABLE, meta.number)
        return Table(self._files, path, meta, damaged_ok=damaged_ok)

    def _begin(
        self, inputs: Sequence[TableMeta], sequences: tuple[int, int], table_bytes: int = 0
    ) -> NewTables:
        self._new = NewTables(
            self._files, self._directory, self._task, self._salt, inputs, sequences, table_bytes
        )
        return self._new

    def _abandon(self) -> None:
        if self._new is not None:
            self._new.abandon()


def _with_blocks_for(rows: dict[bytes, bytes | None], format: Format) -> Format:
    sample = list(islice(rows.items(), SAMPLED_ROWS))
    row_bytes = sum(len(key) + len(value or b"") for key, value in sample) // len(sample)
    size = min(max(format.block_bytes, LARGE_ROWS * row_bytes), 2 * format.block_bytes)
    return replace(format, block_bytes=size)
