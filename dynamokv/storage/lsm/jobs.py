"""Work that reads and writes whole files, as data: it can be done here or in another process.

Knows: what each job needs and what comes of it. Must not know: who does it, what becomes of the
result. ``pick`` makes merges, ``chores`` and ``opening`` the others, ``work`` does them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dynamokv.storage.lsm.options import Compression, LSMOptions
from dynamokv.storage.lsm.tree import Lost, TableMeta


@dataclass(frozen=True, slots=True)
class Format:
    """How new tables are to look."""

    block_bytes: int
    compression: Compression
    bloom_bits: int


@dataclass(frozen=True, slots=True)
class LogPart:
    """A log, up to the end of its last record."""

    number: int
    size_bytes: int
    first_sequence: int
    end_sequence: int
    """One past the last."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Make one table of a memtable, from the logs that hold the same rows."""

    logs: tuple[LogPart, ...]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Make sorted tables of some, for one level."""

    runs: tuple[tuple[TableMeta, ...], ...]
    """Newest first; the tables of a run are ordered and do not overlap."""
    level: int
    """Where the result belongs."""
    keep_deletions: bool
    """An older table may hold rows that they delete."""
    table_bytes: int
    """Begin another table at this size; 0: never."""


@dataclass(frozen=True, slots=True)
class Scrub:
    """Read and verify a table. Makes nothing."""

    table: TableMeta


@dataclass(frozen=True, slots=True)
class Salvage:
    """Make a table of what is readable in a damaged one: the same rows, less those lost."""

    table: TableMeta


Job: TypeAlias = Flush | Merge | Scrub | Salvage


def format_for(job: Job, options: LSMOptions) -> Format:
    """How the tables of a job are to look. Those of a memtable are merged soon, and writers may be
    waiting for them: they are not compressed."""
    compression = Compression.NONE if isinstance(job, Flush) else options.compression
    return Format(options.block_bytes, compression, options.bloom_bits)


def job_bytes(job: Job) -> int:
    """What a job has to read."""
    match job:
        case Flush(logs):
            return sum(log.size_bytes for log in logs)
        case Merge(runs):
            return sum(table.size_bytes for run in runs for table in run)
        case Scrub(table) | Salvage(table):
            return table.size_bytes


@dataclass(frozen=True, slots=True)
class Task:
    """A job with what it needs besides."""

    job: Job
    tag: str
    """Distinguishes the temporary files of this attempt from those of all others."""
    format: Format
    bytes_per_second: int
    """Read and written; 0: no limit."""


@dataclass(frozen=True, slots=True)
class Built:
    """Outcome: finished, synced tables under temporary names (``names.build_name(tag, i)``), in key
    order, their ``number`` still 0. None, where nothing was left to write."""

    tables: tuple[TableMeta, ...]
    read_bytes: int
    written_bytes: int
    lost: tuple[Lost, ...] = ()
    """Of a salvage."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """Outcome: a file that the job needs is damaged. Nothing was left behind."""

    file: str
    """Its name in the directory."""
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Outcome: it did not work out now, and may later. Nothing was left behind."""

    reason: str
    full: bool
    """For want of space on the disk."""
    sync: bool = False
    """A sync failed: nothing on this disk is to be believed any more."""


Outcome: TypeAlias = Built | Damaged | Failed
