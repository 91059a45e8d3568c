"""Stores of a few batches, whole and as files, to be damaged."""

from __future__ import annotations

from dynamokv.ports import Row
from dynamokv.storage.log_format import (
    Record,
    scan,
)
from tests.storage.conformance import apply_to_dict
from tests.storage.faulty import (
    STORE,
    FakeDisk,
    Inode,
    no_space,
    open_log,
    rows_of,
)

Rows = dict[bytes, bytes]

BATCHES: list[list[Row]] = [
    [(b"a", b"1"), (b"b", b"1")],
    [(b"b", None), (b"c", b"3")],
    [(b"a", b"4")],
    [(b"d", b"5"), (b"e", b"")],
    [(b"c", b"6"), (b"d", None)],
]


def replay(batches: list[list[Row]]) -> Rows:
    rows: Rows = {}
    for batch in batches:
        apply_to_dict(rows, batch)
    return rows


def one_log() -> dict[str, bytes]:
    disk = FakeDisk()
    engine = open_log(disk)
    for batch in BATCHES:
        engine.apply(batch, sync=True)
    engine.close()
    return disk.listing()


def several_files(*, keep_first: bool) -> dict[str, bytes]:
    """Two batches in ``log-1``, or in the snapshot that took its place, and three in ``log-2``."""
    disk = FakeDisk()
    engine = open_log(disk)
    for batch in BATCHES[:2]:
        engine.apply(batch, sync=True)
    engine.close()
    if keep_first:
        disk.fault = lambda operation, path: no_space() if "snapshot" in path.name else None
    engine = open_log(disk, log_bytes_max=1)
    engine.apply(BATCHES[2], sync=True)
    engine.close()
    disk.fault = lambda operation, path: None
    engine = open_log(disk)
    for batch in BATCHES[3:]:
        engine.apply(batch, sync=True)
    engine.close()
    return disk.listing()


def disk_with(listing: dict[str, bytes]) -> FakeDisk:
    disk = FakeDisk()
    disk.names = {STORE / name: Inode(bytearray(data), data) for name, data in listing.items()}
    disk.synced_names = dict(disk.names)
    return disk


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def salt_of(data: bytes) -> bytes:
    return data[12:20]


def records(data: bytes) -> list[Record]:
    found = list(scan(data, salt_of(data), 0))
    assert all(isinstance(item, Record) for item in found)
    return [item for item in found if isinstance(item, Record)]


def check_it_is_clean_now(disk: FakeDisk, rows: Rows) -> None:
    engine = open_log(disk)
    assert not engine.forgot
    assert rows_of(engine) == rows
    engine.apply([(b"new", b"1")], sync=True)
    engine.close()
    engine = open_log(disk)
    assert not engine.forgot
    assert rows_of(engine) == rows | {b"new": b"1"}
    engine.close()


def check_explainable(rows: Rows) -> None:
    """A header or a snapshot was hit: rows may be missing or as of earlier, but none is made up."""
    written = [row for batch in BATCHES for row in batch]
    assert set(rows.items()) <= set(written)
