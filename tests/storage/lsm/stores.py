"""Small stores on a simulated disk, whole, for tests to damage and to open again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from xxhash import xxh3_64_digest

from dynamokv.ports import Row
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    FileKind,
    Record,
    RecordType,
    encode_header,
    encode_record,
    salt_seed,
    scan,
)
from dynamokv.storage.lsm.options import Compaction, LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_loss import Kill
from tests.storage.conformance import apply_to_dict
from tests.storage.lsm.workload import STORE, Rows, salts_of

WAL: Final = "wal-00000001"
"""The log of a store that was never opened twice and never full."""

TINY: Final = LSMOptions(
    block_bytes=64, memtable_bytes=2000, merge_tables=2, table_bytes=500, level_bytes=2000
)
"""A few batches fill a memtable, two memtables make a merge."""
TIERED: Final = LSMOptions(
    block_bytes=64, memtable_bytes=1000, merge_tables=2, compaction=Compaction.SIZE_TIERED
)

BATCHES: Final[list[list[Row]]] = [
    [(b"a", b"1"), (b"b", b"1")],
    [(b"b", None), (b"c", b"3")],
    [(b"a", b"4")],
    [(b"d", b"5"), (b"e", b"")],
    [(b"c", b"6"), (b"d", None)],
]


class NoLock:
    """For stores that no other process can see."""

    def __init__(self, directory: Path) -> None:
        pass

    def release(self) -> None:
        pass


def salts() -> Callable[[], bytes]:
    """Salt that is the same in every run and different in every file."""
    numbers = itertools.count(1)
    return lambda: next(numbers).to_bytes(8, "big")


def open_store(
    disk: SimulatedDisk, options: LSMOptions | None = None, directory: Path = STORE
) -> LSMEngine:
    """Without threads: the chores are done within ``apply``."""
    return LSMEngine(
        directory,
        options,
        files=disk,
        salt=salts_of(disk),
        lock=NoLock,
        background=False,
        clock=lambda: 0.0,
    )


def rows_of(engine: LSMEngine) -> Rows:
    return dict(engine.scan(b"", b"\xff" * 8))


def replay(batches: Iterable[Sequence[Row]]) -> Rows:
    rows: Rows = {}
    for batch in batches:
        apply_to_dict(rows, list(batch))
    return rows


def closed_store(
    batches: Iterable[Sequence[Row]] = BATCHES, options: LSMOptions | None = None
) -> SimulatedDisk:
    """A store of these batches, closed."""
    disk = SimulatedDisk()
    engine = open_store(disk, options)
    for batch in batches:
        engine.apply(batch, sync=True)
    engine.close()
    return disk


def copy_of(disk: SimulatedDisk) -> SimulatedDisk:
    """The same again, without the faults."""
    return disk.survivor(Kill())


def listing(disk: SimulatedDisk, directory: Path = STORE) -> dict[str, bytes]:
    return {path.name: data for path, data in disk.contents().items() if path.parent == directory}


def names_of(disk: SimulatedDisk, begin: str = "") -> list[str]:
    return [name for name in listing(disk) if name.startswith(begin)]


def salt_of(data: bytes) -> bytes:
    return data[12:20]


def records(data: bytes) -> list[Record]:
    """All records of a good log or manifest."""
    found = list(scan(data, salt_of(data), 0))
    assert all(isinstance(item, Record) for item in found)
    return [item for item in found if isinstance(item, Record)]


def record(
    data: bytes, sequence: int, payload: bytes, type: RecordType = RecordType.BATCH
) -> bytes:
    """One more record for this file."""
    return encode_record(salt_seed(salt_of(data)), type, sequence, payload)


def newer(data: bytes, kind: FileKind) -> bytes:
    """The same file as a library of the next format version would have begun it."""
    header = bytearray(encode_header(kind, salt_of(data), int.from_bytes(data[20:28], "big")))
    header[8:10] = (int.from_bytes(header[8:10], "big") + 1).to_bytes(2, "big")
    return checked(bytes(header[:28])) + data[HEADER_BYTES:]


def checked(fields: bytes) -> bytes:
    """A header with its checksum."""
    return fields + xxh3_64_digest(fields)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def check_clean(disk: SimulatedDisk, rows: Rows, options: LSMOptions | None = None) -> None:
    """The next opening finds these rows and nothing to complain about, and so does the one after a
    write."""
    for more in ({}, {b"new": b"1"}):
        engine = open_store(disk, options)
        assert not engine.forgot
        assert rows_of(engine) == rows | more
        if not more:
            engine.apply([(b"new", b"1")], sync=True)
        engine.close()
    # As it was, for the caller.
    engine = open_store(disk, options)
    engine.apply([(b"new", None)], sync=True)
    engine.close()
