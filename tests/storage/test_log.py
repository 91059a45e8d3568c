"""The log engine when the disk is full or fails: what is refused, and that nothing is lost."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.errors import DiskFull, StorageError, UsageError
from dynamokv.ports import Row
from dynamokv.storage import log_format
from dynamokv.storage.log import LogEngine
from dynamokv.storage.log_format import HEADER_BYTES
from tests.storage.faulty import (
    CRASHES,
    STORE,
    FakeDisk,
    NoLock,
    broken,
    fails,
    no_space,
    open_log,
    rows_of,
)


def test_a_full_disk_at_every_byte() -> None:
    batches: list[list[Row]] = [[(b"%d" % n, b"x" * n), (b"last", b"%d" % n)] for n in range(8)]
    disk = FakeDisk()
    engine = open_log(disk)
    for batch in batches:
        engine.apply(batch, sync=False)
    total = engine.stats()["storage_bytes"]
    assert isinstance(total, int)
    complete = rows_of(engine)
    refused = 0
    for capacity in range(HEADER_BYTES, total):
        disk = FakeDisk()
        disk.capacity = capacity
        engine = open_log(disk)
        for sync, batch in enumerate(batches):
            before = rows_of(engine)
            try:
                engine.apply(batch, sync=sync % 2 == 0)
            except DiskFull:
                refused += 1
                assert rows_of(engine) == before
                for crash in CRASHES:
                    after = open_log(disk.survivor(crash))
                    assert not after.forgot
                    assert batch[0][0] not in rows_of(after)
                disk.capacity = None
                engine.apply(batch, sync=True)
        assert rows_of(engine) == complete
        assert engine.stats()["failed"] == 0
        engine.close()
        engine = open_log(disk)
        assert rows_of(engine) == complete
        assert not engine.forgot
    assert refused == total - HEADER_BYTES


def test_a_full_disk_at_every_byte_of_a_rotation() -> None:
    """Snapshots come and go on a nearly full disk: writes may be refused, rows never lost."""
    outcomes = set()
    for capacity in range(HEADER_BYTES, 900):
        disk = FakeDisk()
        disk.capacity = capacity
        engine = open_log(disk, log_bytes_max=150)
        expected = {}
        for n in range(12):
            try:
                engine.apply([(b"%d" % (n % 3), b"x" * 30 + b"%d" % n)], sync=True)
            except DiskFull:
                continue
            expected[b"%d" % (n % 3)] = b"x" * 30 + b"%d" % n
        stats = engine.stats()
        outcomes.add((stats["snapshots"] > 0, stats["snapshot_failures"] > 0))
        assert stats["failed"] == 0
        assert stats["storage_bytes"] <= capacity
        assert rows_of(engine) == expected
        for crash in CRASHES:
            after = open_log(disk.survivor(crash))
            assert rows_of(after) == expected
            assert not after.forgot
        disk.capacity = None
        engine.apply([(b"more", b"")], sync=True)
        engine.close()
        assert rows_of(open_log(disk)) == expected | {b"more": b""}
    assert outcomes >= {(False, True), (True, False), (True, True)}


def test_a_disk_too_full_to_open_says_so() -> None:
    for capacity in range(HEADER_BYTES):
        disk = FakeDisk()
        disk.capacity = capacity
        with pytest.raises(DiskFull, match="/store"):
            open_log(disk)
        assert disk.listing() == {}


def test_a_failed_write_never_appears_and_stops_the_engine() -> None:
    """The port: ``StorageError`` that is not ``DiskFull`` means refused until reopened."""
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=True)
    disk.fault = fails("append", broken)
    with pytest.raises(StorageError, match=r"a write failed: .*; reopen"):
        engine.apply([(b"b", b"1")], sync=False)
    disk.fault = lambda operation, path: None
    check_it_has_stopped(engine)
    for crash in CRASHES:
        assert rows_of(open_log(disk.survivor(crash))) == {b"a": b"1"}


@pytest.mark.parametrize("operation", ["truncate", "sync"])
def test_a_failed_write_that_cannot_be_cut_off_stops_the_engine(operation: str) -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=True)
    disk.fault = lambda done, path: (
        no_space() if done == "append" else broken() if done == operation else None
    )
    with pytest.raises(StorageError, match="cutting off a failed write failed") as caught:
        engine.apply([(b"b", b"1")], sync=False)
    assert not isinstance(caught.value, DiskFull)
    disk.fault = lambda done, path: None
    check_it_has_stopped(engine)


@pytest.mark.parametrize("error", [broken, no_space])
def test_a_failed_sync_stops_the_engine(error: Callable[[], OSError]) -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=True)
    disk.fault = fails("sync", error)
    with pytest.raises(StorageError, match=r"a sync failed: .*; reopen") as caught:
        engine.apply([(b"b", b"1")], sync=True)
    assert not isinstance(caught.value, DiskFull)
    disk.fault = lambda operation, path: None
    check_it_has_stopped(engine)
    assert rows_of(open_log(disk.survivor(CRASHES[-1]))) == {b"a": b"1"}
    assert rows_of(open_log(disk.survivor(CRASHES[0]))) == {b"a": b"1", b"b": b"1"}


def check_it_has_stopped(engine: LogEngine) -> None:
    """It serves what it showed before, refuses the rest without touching the disk, and closes."""
    disk = engine._files
    assert isinstance(disk, FakeDisk)
    operations = list(disk.operations)
    assert rows_of(engine) == {b"a": b"1"}
    assert engine.get(b"a") == b"1"
    assert engine.stats()["failed"] == 1
    for sync in (True, False):
        with pytest.raises(StorageError, match="takes no writes"):
            engine.apply([(b"c", b"1")], sync=sync)
        with pytest.raises(StorageError, match="takes no writes"):
            engine.apply([], sync=sync)
    with pytest.raises(StorageError, match="takes no writes"):
        engine.flush()
    engine.close()
    engine.close()
    assert disk.operations == operations


def test_a_failed_flush_stops_the_engine() -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=False)
    disk.fault = fails("sync", broken)
    with pytest.raises(StorageError, match="a sync failed"):
        engine.flush()
    check_it_has_stopped(engine)


def test_a_failed_flush_on_close_is_told_and_lets_go() -> None:
    released: list[str] = []

    class Lock(NoLock):
        def release(self) -> None:
            released.append("released")

    disk = FakeDisk()
    engine = LogEngine(STORE, log_bytes_max=1 << 30, files=disk, lock=Lock)
    engine.apply([(b"a", b"1")], sync=False)
    disk.fault = fails("sync", broken)
    with pytest.raises(StorageError, match="a sync failed"):
        engine.close()
    assert released == ["released"]
    engine.close()
    assert released == ["released"]


def test_an_interrupted_write_stops_the_engine() -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=True)

    def interrupt(operation: str, path: Path) -> None:
        raise KeyboardInterrupt

    disk.fault = interrupt
    with pytest.raises(KeyboardInterrupt):
        engine.apply([(b"b", b"1")], sync=True)
    disk.fault = lambda operation, path: None
    check_it_has_stopped(engine)


def test_a_closed_engine_takes_no_writes() -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=False)
    engine.close()
    check_it_has_stopped(engine)


def test_flush_syncs_once() -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    engine.apply([(b"a", b"1")], sync=False)
    engine.apply([(b"a", b"2")], sync=False)
    assert engine.stats()["syncs"] == 0
    engine.flush()
    engine.flush()
    assert engine.stats()["syncs"] == 1
    assert rows_of(open_log(disk.survivor(CRASHES[-1]))) == {b"a": b"2"}


def test_one_write_and_one_sync_for_a_batch() -> None:
    disk = FakeDisk()
    engine = open_log(disk)
    disk.operations.clear()
    engine.apply([(b"%d" % n, b"x") for n in range(100)], sync=True)
    assert [operation for operation, _ in disk.operations] == ["append", "sync"]


@pytest.mark.parametrize(
    "row", [(b"k" * 65536, b""), (b"k" * 65536, None), (b"k", b"x" * 5000)], ids=repr
)
def test_what_the_format_cannot_hold_is_refused(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_format, "PAYLOAD_BYTES_MAX", 5000)
    engine = open_log(FakeDisk())
    with pytest.raises(UsageError):
        engine.apply([(b"a", b"1"), row], sync=True)
    assert rows_of(engine) == {}
    engine.apply([(b"a", b"1")], sync=True)
    assert rows_of(engine) == {b"a": b"1"}


def test_errors_of_the_disk_are_ours(caplog: pytest.LogCaptureFixture) -> None:
    disk = FakeDisk()
    read_only = OSError(errno.EROFS, "Read-only file system")
    disk.fault = lambda operation, path: read_only if operation == "make_dir" else None
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(StorageError, match="cannot open /store: Read-only file system"),
    ):
        open_log(disk)
