"""RocksDB behind the port: the suite, and what the engine adds to RocksDB."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import dynamokv
from dynamokv.config import NodeConfig
from dynamokv.errors import StorageError
from dynamokv.ports import Row
from dynamokv.storage import rocksdb_binding as binding
from dynamokv.storage.rocksdb import RocksDBEngine
from tests.storage.conformance import END, DurableConformance, OpenEngine, all_rows

pytest.importorskip("rocksdict")

if TYPE_CHECKING:
    import rocksdict

KiB: Final = 1024


def small(directory: Path) -> RocksDBEngine:
    """Tables and compactions after some hundred rows, and writes that wait for them."""

    def tune(options: rocksdict.Options) -> None:
        options.set_level_zero_slowdown_writes_trigger(2)
        options.set_level_zero_stop_writes_trigger(4)

    return RocksDBEngine(directory, cache_bytes=64 * KiB, memtable_bytes=64 * KiB, tune=tune)


class TestRocksDB(DurableConformance):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return RocksDBEngine


class TestSmallRocksDB(DurableConformance):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return small


# --- what is visible ------------------------------------------------------------------------------

BEFORE: Final[list[Row]] = [(b"a", b"1"), (b"c", b"1"), (b"d", b"1"), (b"f", b"1")]
BATCH: Final[list[Row]] = [(b"b", b"2"), (b"c", None), (b"d", b"2"), (b"d", b"3"), (b"g", b"2")]
AFTER: Final = {b"a": b"1", b"b": b"2", b"d": b"3", b"f": b"1", b"g": b"2"}


def seen_by(engine: RocksDBEngine) -> list[object]:
    keys = [bytes([byte]) for byte in range(ord("a"), ord("i"))]
    parts = [list(engine.scan(start, end)) for start in keys for end in keys]
    return [[(key, engine.get(key)) for key in keys], all_rows(engine), parts]


def test_a_batch_is_shown_once_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = RocksDBEngine(tmp_path)
    engine.apply(BEFORE, sync=False)
    before = seen_by(engine)
    during: list[object] = []
    begun = []

    def sync(self: RocksDBEngine) -> None:
        reader = threading.Thread(target=lambda: during.append(seen_by(self)))
        reader.start()
        reader.join()
        begun.append(self.scan(b"", END))

    with monkeypatch.context() as patched:
        patched.setattr(RocksDBEngine, "_sync", sync)
        engine.apply(BATCH, sync=True)
    assert during == [before]
    assert all_rows(engine) == AFTER
    assert [dict(scan) for scan in begun] == [dict(BEFORE)]
    engine.close()


def test_after_a_failed_sync_writes_are_refused_and_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = RocksDBEngine(tmp_path)
    engine.apply(BEFORE, sync=False)
    before = seen_by(engine)

    def sync(self: RocksDBEngine) -> None:
        raise OSError("IO error: While fdatasync: Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(RocksDBEngine, "_sync", sync)
        with pytest.raises(StorageError, match=r"takes no writes: .*Input/output error; reopen"):
            engine.apply(BATCH, sync=True)
    writes: list[Callable[[], None]] = [
        lambda: engine.apply(BATCH, sync=False),
        lambda: engine.apply([], sync=True),
        lambda: engine.drop(b"a", b"b"),
        lambda: engine.checkpoint(tmp_path / "copy"),
        engine.flush,
    ]
    for write in writes:
        with pytest.raises(StorageError, match="takes no writes"):
            write()
    assert seen_by(engine) == before
    assert engine.stats()["failed"] == 1
    engine.close()
    again = RocksDBEngine(tmp_path)
    assert again.stats()["failed"] == 0
    again.apply(BATCH, sync=True)
    assert all_rows(again) == AFTER
    again.close()


def test_an_interrupted_write_passes_the_interrupt_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(self: RocksDBEngine) -> None:
        raise KeyboardInterrupt

    engine = RocksDBEngine(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(RocksDBEngine, "_sync", sync)
        with pytest.raises(KeyboardInterrupt):
            engine.apply(BATCH, sync=True)
    with pytest.raises(StorageError, match="interrupted"):
        engine.apply(BATCH, sync=True)
    engine.close()


def test_writes_wait_while_rocksdb_holds_them_back(tmp_path: Path) -> None:
    def slow_disk(options: rocksdict.Options) -> None:
        options.set_ratelimiter(128 * KiB, 100_000, 10)

    engine = RocksDBEngine(tmp_path, memtable_bytes=64 * KiB, tune=slow_disk)
    assert engine.congested is False
    rows = [(b"%05d" % n, random.Random(n).randbytes(500)) for n in range(2000)]
    written = []
    with pytest.raises(Exception, match="stall") as refused:  # noqa: PT012
        for row in rows:
            binding.write(engine._db, [row])
            written.append(row)
    assert binding.stalled(refused.value)
    assert engine.congested is True
    assert engine.stats()["stalls"] == 0
    engine.apply([rows[-1]], sync=False)
    assert engine.stats()["stalls"] != 0
    assert list(engine.scan(b"", END)) == [*written, rows[-1]]
    engine.close()


# --- closing --------------------------------------------------------------------------------------


def test_a_scan_that_is_left_open_does_not_keep_the_store(tmp_path: Path) -> None:
    engine = RocksDBEngine(tmp_path)
    engine.apply([(b"%d" % n, b"." * 1000) for n in range(1000)], sync=False)
    begun, fresh = engine.scan(b"", END), engine.scan(b"", END)
    assert next(begun)[0] == b"0"
    engine.close()
    RocksDBEngine(tmp_path).close()
    for scan in (begun, fresh):
        with pytest.raises(StorageError, match="closed"):
            list(scan)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    engine = RocksDBEngine(tmp_path)
    engine.close()
    calls: list[Callable[[], object]] = [
        lambda: engine.get(b"a"),
        lambda: engine.scan(b"a", b"b"),
        lambda: engine.apply(BATCH, sync=False),
        engine.stats,
        engine.flush,
    ]
    for call in calls:
        with pytest.raises(StorageError, match="closed"):
            call()
    assert engine.congested is False


# --- in a node ------------------------------------------------------------------------------------


def test_a_node_keeps_its_data_in_it(tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path, engine=RocksDBEngine)
    for expected in (None, "value"):
        with dynamokv.join(config=config) as node:
            assert node.get("key") == expected
            node.put("key", "value")
    assert (tmp_path / "CURRENT").exists()
