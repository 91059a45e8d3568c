"""What the store promises its caller: when rows are visible and durable, what is refused, and what
closing lets go of. ``test_failing_disks`` is about the disk."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.errors import DataDirLocked, StorageError, UsageError
from dynamokv.ports import Row
from dynamokv.storage.files import LOCK_NAME
from dynamokv.storage.lsm import batch as batch_module
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedAppendFile, SimulatedDisk
from dynamokv.testing.disk_faults import Call, Fault, Operation
from tests.storage.lsm.failing import NOTHING, broken, one_row
from tests.storage.lsm.stores import (
    TIERED,
    TINY,
    NoLock,
    check_clean,
    copy_of,
    open_store,
    replay,
    rows_of,
)
from tests.storage.lsm.workload import STORE, Rows

# Visible, durable.


def test_with_sync_a_row_is_on_the_disk_before_it_is_visible() -> None:
    disk, engine = one_row()
    seen: list[tuple[Operation, bytes | None]] = []
    disk.on_call = lambda call: seen.append((call.operation, engine.get(b"a")))
    engine.apply([(b"a", b"2")], sync=True)
    assert seen == [(Operation.APPEND, b"1"), (Operation.SYNC, b"1")]
    assert engine.get(b"a") == b"2"
    assert rows_of(open_store(disk.survivor(NOTHING))) == {b"a": b"2"}


def test_a_batch_is_one_write_and_one_sync() -> None:
    disk, engine = one_row()
    disk.trace.clear()
    engine.apply([(b"%d" % n, b"x") for n in range(100)], sync=True)
    assert [call.operation for call in disk.trace] == [Operation.APPEND, Operation.SYNC]


def test_flush_syncs_once() -> None:
    disk, engine = one_row()
    syncs = engine.log.syncs
    engine.apply([(b"a", b"2")], sync=False)
    engine.apply([(b"a", b"3")], sync=False)
    assert engine.log.syncs == syncs
    assert rows_of(open_store(disk.survivor(NOTHING))) == {b"a": b"1"}
    engine.flush()
    engine.flush()
    assert engine.log.syncs == syncs + 1
    assert rows_of(open_store(disk.survivor(NOTHING))) == {b"a": b"3"}


@pytest.mark.parametrize("options", [TINY, TIERED], ids=["tiny", "tiered"])
def test_rows_move_through_the_files_unseen(options: LSMOptions) -> None:
    """Whatever is flushed and merged at whatever call, a reader sees the rows as they are."""
    disk = SimulatedDisk()
    engine = open_store(disk, options)
    rows: Rows = {}
    wrong: list[Call] = []
    written: set[bytes] = set()

    def look(call: Call) -> None:
        if call.operation not in (Operation.READ_AT, Operation.READ):
            with_reads = {key: engine.get(key) for key in sorted(rows.keys() - written)[::5]}
            if any(rows[key] != value for key, value in with_reads.items()):
                wrong.append(call)

    disk.on_call = look
    for step in range(120):
        batch: list[Row] = [(b"%02d" % (step * n % 40), b"%d" % step) for n in range(1, 5)]
        written = {key for key, _ in batch}
        engine.apply(batch, sync=step % 3 == 0)
        rows |= replay([batch])
    disk.on_call = lambda call: None
    assert not wrong
    assert engine.chores.counters["merges"] > 5
    assert rows_of(engine) == rows
    engine.close()
    check_clean(disk, rows, options)


# Limits, closing, the lock.


@pytest.mark.parametrize(
    "row", [(b"k" * 65536, b""), (b"k" * 65536, None), (b"k", b"x" * 5000)], ids=range(3)
)
def test_what_the_format_cannot_hold_is_refused(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "PAYLOAD_BYTES_MAX", 5000)
    disk, engine = one_row()
    before = len(disk.trace)
    with pytest.raises(UsageError):
        engine.apply([(b"b", b"1"), row], sync=True)
    assert len(disk.trace) == before
    assert rows_of(engine) == {b"a": b"1"}
    engine.apply([(b"b", b"1")], sync=True)
    assert rows_of(engine) == {b"a": b"1", b"b": b"1"}


def test_a_closed_store_takes_no_writes_and_closes_twice() -> None:
    disk, engine = one_row()
    engine.apply([(b"b", b"1")], sync=False)
    engine.close()
    engine.close()
    with pytest.raises(StorageError, match="it was closed"):
        engine.apply([(b"c", b"1")], sync=False)
    with pytest.raises(StorageError, match="it was closed"):
        engine.flush()
    assert not [file for file in disk.open_files if not file.closed]
    assert rows_of(open_store(disk.survivor(NOTHING))) == {b"a": b"1", b"b": b"1"}


class CountingLock(NoLock):
    released = 0

    def release(self) -> None:
        CountingLock.released += 1


@pytest.fixture
def released() -> Callable[[], int]:
    CountingLock.released = 0
    return lambda: CountingLock.released


def test_a_failed_flush_on_close_is_told_and_lets_go(released: Callable[[], int]) -> None:
    disk = SimulatedDisk()
    engine = LSMEngine(STORE, files=disk, lock=CountingLock, background=False)
    engine.apply([(b"a", b"1")], sync=False)
    disk.faults = [broken(Operation.SYNC)]
    with pytest.raises(StorageError, match="a sync failed"):
        engine.close()
    assert released() == 1
    engine.close()
    assert released() == 1


def test_an_opening_that_fails_lets_go(released: Callable[[], int]) -> None:
    disk, engine = one_row()
    engine.close()
    refused = 0
    for skip in range(40):
        found = copy_of(disk)
        found.faults = [
            Fault(operations=frozenset(Operation), skip=skip, count=1, error=errno.EACCES)
        ]
        CountingLock.released = 0
        try:
            LSMEngine(STORE, files=found, lock=CountingLock, background=False).close()
        except StorageError:
            assert released() == 1
            writing = [x for x in found.open_files if isinstance(x, SimulatedAppendFile)]
            assert not [file for file in writing if not file.closed]
            refused += 1
    assert refused > 5


def test_the_lock_is_taken_before_anything_is_read(tmp_path: Path) -> None:
    engine = LSMEngine(tmp_path)
    assert (tmp_path / LOCK_NAME).exists()
    with pytest.raises(DataDirLocked):
        LSMEngine(tmp_path)
    engine.apply([(b"a", b"1")], sync=True)
    engine.close()
    engine = LSMEngine(tmp_path)
    assert rows_of(engine) == {b"a": b"1"}
    engine.close()
