"""When a snapshot takes the place of the log, when that fails, and checkpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.storage import log_format
from dynamokv.storage.files import RealAppendFile, RealFiles
from dynamokv.storage.log import LogEngine
from tests.storage.faulty import (
    CRASHES,
    FakeDisk,
    NoLock,
    broken,
    fails,
    no_space,
    open_log,
    rows_of,
)
from tests.storage.test_log import check_it_has_stopped


def fill(engine: LogEngine, rounds: int) -> dict[bytes, bytes]:
    for n in range(rounds):
        engine.apply([(b"%d" % (n % 5), b"x" * 40)], sync=False)
    return {b"%d" % n: b"x" * 40 for n in range(min(rounds, 5))}


def test_a_snapshot_takes_the_place_of_a_long_log() -> None:
    disk = FakeDisk()
    engine = open_log(disk, log_bytes_max=1000)
    rows = fill(engine, 100)
    stats = engine.stats()
    assert stats["snapshots"] == 7
    assert stats["snapshot_failures"] == stats["removal_failures"] == 0
    assert list(disk.listing()) == ["log-00000008", "snapshot-00000007"]
    assert stats["storage_bytes"] == sum(map(len, disk.listing().values()))
    assert stats["log_bytes"] == len(disk.listing()["log-00000008"]) <= 1100
    assert rows_of(engine) == rows
    engine.close()
    engine = open_log(disk)
    assert rows_of(engine) == rows
    assert engine.stats()["storage_bytes"] == stats["storage_bytes"]


def test_a_large_store_is_not_rewritten_for_ever() -> None:
    """The log may grow to the size of the rows, so what snapshots write is bounded by it."""
    disk = FakeDisk()
    engine = open_log(disk, log_bytes_max=100)
    engine.apply([(b"%d" % n, b"x" * 100) for n in range(1000)], sync=False)
    for _ in range(300):
        engine.apply([(b"1", b"x" * 100)], sync=False)
    assert engine.stats()["snapshots"] == 1
    assert engine.stats()["live_bytes"] == 1000 * 100 + 2890


@pytest.mark.parametrize("error", [broken, no_space])
@pytest.mark.parametrize("operation", ["open_append", "append", "truncate", "sync", "replace"])
@pytest.mark.parametrize("name", ["log-00000002", "snapshot-00000001"])
def test_a_failed_rotation_loses_nothing_and_is_tried_again(
    name: str, operation: str, error: Callable[[], OSError], caplog: pytest.LogCaptureFixture
) -> None:
    disk = FakeDisk()
    engine = open_log(disk, log_bytes_max=500)
    disk.fault = fails(operation, error, name)
    rows = fill(engine, 10)
    assert engine.stats()["snapshot_failures"] == 1
    assert "no snapshot, the log goes on" in caplog.text
    assert engine.stats()["failed"] == 0
    assert rows_of(engine) == rows
    assert rows_of(open_log(disk.survivor(CRASHES[0]))) == rows
    disk.fault = lambda done, path: None
    rows = fill(engine, 30)
    assert engine.stats()["snapshot_failures"] == 1
    assert engine.stats()["snapshots"] >= 1
    assert rows_of(engine) == rows
    engine.close()
    assert len(disk.listing()) == 2


def test_a_directory_that_cannot_be_synced_stops_the_engine() -> None:
    disk = FakeDisk()
    engine = open_log(disk, log_bytes_max=10)
    engine.apply([(b"a", b"1")], sync=False)
    disk.fault = fails("sync_dir", broken)
    with pytest.raises(StorageError, match="a sync of the directory failed"):
        engine.apply([(b"b", b"1")], sync=False)
    disk.fault = lambda operation, path: None
    check_it_has_stopped(engine)
    for crash in CRASHES:
        assert rows_of(open_log(disk.survivor(crash))) == {b"a": b"1"}


def test_a_file_that_cannot_be_deleted_is_deleted_later() -> None:
    disk = FakeDisk()
    engine = open_log(disk, log_bytes_max=500)
    disk.fault = fails("remove", broken)
    fill(engine, 10)
    assert engine.stats()["removal_failures"] == 1
    assert engine.stats()["storage_bytes"] == sum(map(len, disk.listing().values()))
    disk.fault = lambda operation, path: None
    rows = fill(engine, 20)
    assert len(disk.listing()) == 2
    assert rows_of(engine) == rows


def test_writes_go_on_while_a_snapshot_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_format, "SNAPSHOT_RECORD_BYTES", 1)
    entered, leave = threading.Event(), threading.Event()

    class SlowFile(RealAppendFile):
        def append(self, data: bytes) -> None:
            super().append(data)
            if self.size() > 200:
                entered.set()
                assert leave.wait(30)

    class SlowFiles(RealFiles):
        def open_append(self, path: Path) -> RealAppendFile:
            return SlowFile(path) if path.name.startswith("snap") else RealAppendFile(path)

    engine = LogEngine(tmp_path, log_bytes_max=1000, files=SlowFiles())
    rows = fill(engine, 20)
    assert entered.wait(30)
    for n in range(100):
        engine.apply([(b"during", b"%d" % n), (b"during-%d" % n, b"")], sync=True)
        rows[b"during-%d" % n] = b""
    assert engine.stats()["snapshots"] == 0
    leave.set()
    engine.close()
    assert engine.stats()["snapshots"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "LOCK",
        "log-00000002",
        "snapshot-00000001",
    ]
    engine = LogEngine(tmp_path, log_bytes_max=1000)
    assert rows_of(engine) == rows | {b"during": b"99"}
    assert not engine.forgot
    engine.close()


def test_no_thread_to_be_had_is_a_failed_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = LogEngine(tmp_path, log_bytes_max=100)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    rows = fill(engine, 20)
    monkeypatch.undo()
    assert engine.stats()["snapshot_failures"] > 0
    engine.close()
    engine = LogEngine(tmp_path, log_bytes_max=100)
    assert rows_of(engine) == rows
    engine.close()


@pytest.mark.parametrize("operation", ["append", "sync", "replace", "sync_dir"])
def test_half_a_checkpoint_is_told_and_never_passes_for_a_store(operation: str) -> None:
    copy = Path("/copy")
    whole = 0
    for skip in range(4):
        disk = FakeDisk()
        engine = open_log(disk)
        rows = fill(engine, 10)
        left = skip

        def fault(done: str, path: Path) -> OSError | None:
            nonlocal left
            left -= done == operation
            return no_space() if done == operation and left < 0 else None

        disk.fault = fault
        try:
            engine.checkpoint(copy)
        except DiskFull:
            assert left < 0
        else:
            whole += 1
            continue
        disk.fault = lambda operation, path: None
        assert rows_of(engine) == rows
        engine.apply([(b"more", b"1")], sync=True)
        left_behind = [path.name for path in disk.names if path.parent == copy]
        if left_behind:
            other = LogEngine(copy, log_bytes_max=1, files=disk, lock=NoLock)
            assert other.forgot or rows_of(other) == rows
    assert whole < 4
