"""Logs and tables for jobs to work on, and what is in the tables they made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dynamokv.ports import FileSystem, Row
from dynamokv.storage.lsm.batch import encode_batch
from dynamokv.storage.lsm.framing import (
    FileKind,
    RecordType,
    encode_header,
    encode_record,
    salt_seed,
)
from dynamokv.storage.lsm.jobs import (
    Built,
    Flush,
    Format,
    Job,
    LogPart,
    Merge,
    Outcome,
    Task,
)
from dynamokv.storage.lsm.names import Kind, build_name, file_name
from dynamokv.storage.lsm.options import BLOCK_BYTES_MAX, Compression
from dynamokv.storage.lsm.table import Table
from dynamokv.storage.lsm.tree import TableMeta
from dynamokv.storage.lsm.work import run, write_memtable
from tests.storage.lsm.stores import salts

SALT: Final = bytes(range(8))
FORMAT: Final = Format(block_bytes=128, compression=Compression.NONE, bloom_bits=12)
TAG: Final = "test"
SLOW_BYTES_PER_SECOND: Final = 200_000


def task(job: Job, tag: str = TAG, bytes_per_second: int = 0) -> Task:
    return Task(job, tag, FORMAT, bytes_per_second)


def slow_task(job: Merge, tag: str = TAG) -> Task:
    """One that goes on for long, and soon has something to show for it: the larger a block is said
    to be, the smaller are the slices of a merge."""
    return Task(job, tag, replace(FORMAT, block_bytes=BLOCK_BYTES_MAX), SLOW_BYTES_PER_SECOND)


def large_table(files: FileSystem, directory: Path, number: int) -> TableMeta:
    """Enough for a merge to take ten seconds, if it is slow."""
    return write_table(
        files, directory, number, [(b"%06d" % at, b"x" * 30) for at in range(20_000)]
    )


def perform(job: Job, files: FileSystem, directory: Path) -> Outcome:
    return run(task(job), files, directory, salts())


def built(outcome: Outcome) -> Built:
    assert isinstance(outcome, Built), outcome
    return outcome


def write_file(files: FileSystem, path: Path, data: bytes) -> None:
    file = files.open_append(path)
    file.append(data)
    file.sync()
    file.close()


def write_log(
    files: FileSystem, directory: Path, number: int, first: int, batches: Sequence[Sequence[Row]]
) -> LogPart:
    """A log of these batches, and a part of it that is all of it."""
    data = encode_header(FileKind.WAL, SALT, first)
    for sequence, batch in enumerate(batches, first):
        payload = encode_batch(batch)
        data += encode_record(salt_seed(SALT), RecordType.BATCH, sequence, payload)
    write_file(files, directory / file_name(Kind.WAL, number), data)
    return LogPart(number, len(data), first, first + len(batches))


def write_table(
    files: FileSystem,
    directory: Path,
    number: int,
    rows: Iterable[Row],
    sequences: tuple[int, int] = (1, 1),
) -> TableMeta:
    """A table of these rows, under its own name."""
    first, last = sequences
    making = task(Flush(()), tag=f"making-{number}")
    outcome = write_memtable(making, files, directory, dict(rows), first, last + 1, salts())
    [meta] = built(outcome).tables
    path = directory / file_name(Kind.TABLE, number)
    files.replace(directory / build_name(making.tag, 0), path)
    return replace(meta, number=number)


def tables_of(
    files: FileSystem, directory: Path, *contents: dict[bytes, bytes | None]
) -> list[TableMeta]:
    """Newest first, as the contents are."""
    ages = range(len(contents), 0, -1)
    return [
        write_table(files, directory, age, rows.items(), (10 * age, 10 * age + 9))
        for age, rows in zip(ages, contents, strict=True)
    ]


def rows_of(files: FileSystem, directory: Path, outcome: Outcome) -> list[list[Row]]:
    """The rows of each new table."""
    return [
        table_rows(files, directory / build_name(TAG, at), meta)
        for at, meta in enumerate(built(outcome).tables)
    ]


def table_rows(files: FileSystem, path: Path, meta: TableMeta) -> list[Row]:
    table = Table(files, path, meta)
    try:
        assert table.verify() == []
        return [row for rows in table.rows(b"", None) for row in rows]
    finally:
        table.close()


def unfinished(files: FileSystem, directory: Path) -> list[str]:
    return [name for name in files.list_dir(directory) if name.endswith(".tmp")]
