"""The store on disks that are full or fail: nothing that it refused appears, nothing that it took
is lost, and it says which of the two it was."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.names import RESERVE
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Call, Fault, Operation
from dynamokv.testing.disk_loss import Kill
from tests.storage.lsm.failing import (
    LOSSES,
    NOTHING,
    broken,
    check_it_has_stopped,
    no_space,
    one_row,
)
from tests.storage.lsm.stores import (
    check_clean,
    closed_store,
    copy_of,
    names_of,
    open_store,
    replay,
    rows_of,
)
from tests.storage.lsm.workload import STORE, Rows

# A full disk.


def fill(engine: LSMEngine, rows: Rows, batches: int) -> None:
    """``rows``: what was taken."""
    for n in range(batches):
        engine.apply([(b"%d" % n, b"x" * 300)], sync=True)
        rows[b"%d" % n] = b"x" * 300


def test_a_full_disk_at_every_byte() -> None:
    batches: list[list[Row]] = [[(b"%d" % n, b"x" * n), (b"last", b"%d" % n)] for n in range(5)]
    store, engine = one_row()
    engine.close()
    store.lose(STORE / RESERVE)
    used = store.used_bytes()
    refused = 0
    for room in range(0, 250, 3):
        disk = copy_of(store)
        disk.capacity_bytes = used + room
        engine = open_store(disk)
        for number, batch in enumerate(batches):
            before = rows_of(engine)
            try:
                engine.apply(batch, sync=number % 2 == 0)
            except DiskFull:
                refused += 1
                assert rows_of(engine) == before
                for loss in LOSSES:
                    after = open_store(disk.survivor(loss))
                    assert not after.forgot
                    assert after.get(batch[0][0]) is None
                # By itself, as soon as there is space.
                disk.capacity_bytes = None
                engine.apply(batch, sync=True)
        rows = {b"a": b"1"} | replay(batches)
        assert rows_of(engine) == rows
        assert engine.stats()["failed"] == 0
        engine.close()
        disk.capacity_bytes = None
        check_clean(disk, rows)
    assert refused > 60


def test_a_disk_too_full_to_begin_says_so() -> None:
    for capacity in range(0, 100, 7):
        disk = SimulatedDisk()
        disk.capacity_bytes = capacity
        with pytest.raises(DiskFull, match="/store"):
            open_store(disk)
        disk.capacity_bytes = None
        engine = open_store(disk)
        assert not engine.forgot
        engine.close()


@pytest.mark.parametrize("batches", [[], [[(b"a", b"1")]]], ids=["no rows", "rows"])
def test_a_full_disk_can_be_opened(batches: list[list[Row]]) -> None:
    """The small files that it takes have the space of the reserve."""
    disk = closed_store(batches)
    for _ in range(3):
        disk.capacity_bytes = disk.used_bytes()
        engine = open_store(disk)
        assert not engine.forgot
        assert rows_of(engine) == replay(batches)
        engine.close()
        disk.capacity_bytes = None
        check_clean(disk, replay(batches))


def test_without_room_for_a_table_writes_wait_and_then_are_refused() -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, LSMOptions(memtable_bytes=1000))
    disk.faults = [no_space(Operation.APPEND, name="build")]
    rows: Rows = {}
    with pytest.raises(DiskFull, match="No space"):
        fill(engine, rows, 100)
    # Three memtables at most, and never a half of a batch.
    assert 3 <= len(rows) <= 9
    assert rows_of(engine) == rows
    for loss in LOSSES:
        assert rows_of(open_store(disk.survivor(loss))) == rows
    disk.faults = []
    engine.apply([(b"more", b"1")], sync=True)
    assert rows_of(engine) == rows | {b"more": b"1"}
    assert engine.chores.counters["flushes"] >= 1
    engine.close()
    check_clean(disk, rows | {b"more": b"1"})


def test_without_room_for_another_log_the_present_one_goes_on_for_a_while() -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, LSMOptions(memtable_bytes=1000))
    disk.faults = [no_space(Operation.OPEN_APPEND, name="wal")]
    rows: Rows = {}
    with pytest.raises(DiskFull, match="cannot begin a log"):
        fill(engine, rows, 100)
    assert 3 < len(rows) < 15
    assert rows_of(engine) == rows
    disk.faults = []
    engine.apply([(b"more", b"1")], sync=True)
    engine.close()
    check_clean(disk, rows | {b"more": b"1"})


# A disk that fails.


def test_a_failed_write_never_appears_and_stops_the_store() -> None:
    for done in (0.0, 0.5, 1.0):
        disk, engine = one_row()
        disk.faults = [Fault(operations=[Operation.APPEND], done=done)]
        with pytest.raises(StorageError, match=r"a write failed: .*; reopen"):
            engine.apply([(b"b", b"1")], sync=False)
        check_it_has_stopped(disk, engine)
        for loss in LOSSES:
            assert rows_of(open_store(disk.survivor(loss))) == {b"a": b"1"}


@pytest.mark.parametrize("operation", [Operation.TRUNCATE, Operation.SYNC])
def test_a_failed_write_that_cannot_be_cut_off_stops_the_store(operation: Operation) -> None:
    disk, engine = one_row()
    disk.faults = [no_space(Operation.APPEND), broken(operation)]
    with pytest.raises(StorageError, match="cutting off a failed write failed") as caught:
        engine.apply([(b"b", b"1")], sync=False)
    assert not isinstance(caught.value, DiskFull)
    check_it_has_stopped(disk, engine)


def test_a_refused_write_is_cut_off_for_good() -> None:
    """Without the sync, a power cut could bring back a record that was whole."""
    disk, engine = one_row()
    disk.faults = [Fault(operations=[Operation.APPEND], error=errno.ENOSPC, done=1.0)]
    with pytest.raises(DiskFull):
        engine.apply([(b"b", b"1")], sync=True)
    for loss in LOSSES:
        assert rows_of(open_store(disk.survivor(loss))) == {b"a": b"1"}
    disk.faults = []
    engine.apply([(b"c", b"1")], sync=True)
    assert rows_of(open_store(disk.survivor(NOTHING))) == {b"a": b"1", b"c": b"1"}


@pytest.mark.parametrize("fault", [broken, no_space])
def test_a_failed_sync_stops_the_store(fault: Callable[[Operation], Fault]) -> None:
    disk, engine = one_row()
    disk.faults = [fault(Operation.SYNC)]
    with pytest.raises(StorageError, match=r"a sync failed: .*; reopen") as caught:
        engine.apply([(b"b", b"1")], sync=True)
    assert not isinstance(caught.value, DiskFull)
    check_it_has_stopped(disk, engine)
    assert rows_of(open_store(disk.survivor(NOTHING))) == {b"a": b"1"}
    found = open_store(disk.survivor(Kill()))
    assert rows_of(found) in ({b"a": b"1"}, {b"a": b"1", b"b": b"1"})


def test_a_failed_flush_stops_the_store() -> None:
    disk, engine = one_row()
    engine.apply([(b"a", b"1")], sync=False)
    disk.faults = [broken(Operation.SYNC)]
    with pytest.raises(StorageError, match="a sync failed"):
        engine.flush()
    check_it_has_stopped(disk, engine)


@pytest.mark.parametrize("at", [Operation.APPEND, Operation.SYNC, Operation.TRUNCATE])
def test_an_interrupted_write_stops_the_store(at: Operation) -> None:
    disk, engine = one_row()

    def interrupt(call: Call) -> None:
        if call.operation is at:
            raise KeyboardInterrupt

    disk.on_call = interrupt
    if at is Operation.TRUNCATE:
        disk.faults = [no_space(Operation.APPEND)]
    with pytest.raises(KeyboardInterrupt):
        engine.apply([(b"b", b"1")], sync=True)
    disk.on_call = lambda call: None
    check_it_has_stopped(disk, engine)


def test_a_directory_that_cannot_be_synced_stops_the_store() -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, LSMOptions(memtable_bytes=10))
    engine.apply([(b"a", b"1")], sync=False)
    disk.faults = [broken(Operation.SYNC_DIR)]
    with pytest.raises(StorageError, match="a sync of the directory failed"):
        engine.apply([(b"b", b"1")], sync=False)
    check_it_has_stopped(disk, engine)
    for loss in LOSSES:
        assert rows_of(open_store(disk.survivor(loss))) == {b"a": b"1"}


def test_a_manifest_that_fails_stops_the_store() -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, LSMOptions(memtable_bytes=10))
    engine.apply([(b"a", b"1")], sync=False)
    disk.faults = [broken(Operation.SYNC, name="manifest")]
    with pytest.raises(StorageError, match="the manifest failed: a sync failed"):
        engine.apply([(b"b", b"1")], sync=True)
    check_it_has_stopped(disk, engine)
    for loss in LOSSES:
        assert rows_of(open_store(disk.survivor(loss))) == {b"a": b"1"}


def test_a_sync_of_a_table_that_fails_stops_the_store() -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, LSMOptions(memtable_bytes=10))
    engine.apply([(b"a", b"1")], sync=False)
    disk.faults = [broken(Operation.SYNC, name="build")]
    with pytest.raises(StorageError, match="a sync failed in a flush"):
        engine.apply([(b"b", b"1")], sync=True)
    check_it_has_stopped(disk, engine)


def test_a_file_that_cannot_be_deleted_is_deleted_later() -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, LSMOptions(memtable_bytes=1000))
    disk.faults = [broken(Operation.REMOVE, name="wal")]
    rows: Rows = {}
    fill(engine, rows, 20)
    failures = engine.stats()["removal_failures"]
    assert isinstance(failures, int)
    assert failures > 3
    assert engine.stats()["failed"] == 0
    engine.close()
    assert len(names_of(disk, "wal")) > 4
    disk.faults = []
    check_clean(disk, rows)
    assert len(names_of(disk, "wal")) == 1


def test_errors_of_the_disk_are_ours() -> None:
    disk = SimulatedDisk()
    disk.faults = [Fault(operations=[Operation.MAKE_DIR], error=errno.EROFS)]
    with pytest.raises(StorageError, match="cannot open /store: Read-only file system"):
        open_store(disk)
