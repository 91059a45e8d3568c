"""RocksDB behind the port: the suite, what it adds to RocksDB, and each of our errors by its real
cause."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import dynamokv
from dynamokv.config import NodeConfig
from dynamokv.errors import CorruptionError, DataDirLocked, DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.storage.rocksdb import RocksDBEngine
from tests.documents import run_python
from tests.storage.conformance import END, DurableConformance, OpenEngine, all_rows

pytest.importorskip("rocksdict")

if TYPE_CHECKING:
    import rocksdict

KiB: Final = 1024


def small(directory: Path) -> RocksDBEngine:
    """Tables and compactions after some hundred rows; writes stall at once."""

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


def test_writes_wait_for_compactions(tmp_path: Path) -> None:
    engine = small(tmp_path)
    rows = [(b"%05d" % n, b"%d" % n + b"." * 1000) for n in range(3000)]
    for row in rows:
        engine.apply([row], sync=False)
    assert engine.stats()["stalls"] > 0
    assert list(engine.scan(b"", END)) == rows
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


# --- what an unclean stop leaves ------------------------------------------------------------------

WRITER: Final = """
import os, sys
from pathlib import Path
from dynamokv.storage.rocksdb import RocksDBEngine
engine = RocksDBEngine(Path(sys.argv[1]))
for key in (b"a", b"b", b"c"):
    engine.apply([(key, b"." * 100)], sync=False)
os._exit(0)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store whose process ended without closing it: three rows in its log."""
    assert run_python("-c", WRITER, str(tmp_path / "store"), cwd=tmp_path).returncode == 0
    return tmp_path / "store"


def only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_killed_process_loses_nothing(killed: Path) -> None:
    engine = RocksDBEngine(killed)
    assert engine.forgot is False
    assert sorted(all_rows(engine)) == [b"a", b"b", b"c"]
    engine.close()


@pytest.mark.parametrize(("offset", "left"), [(-1, [b"a", b"b"]), (150, [b"a"])])
@pytest.mark.parametrize("torn", [False, True])
def test_a_log_that_is_not_whole_is_told(
    killed: Path, offset: int, left: list[bytes], torn: bool
) -> None:
    log = only(killed, "*.log")
    if torn:
        log.write_bytes(log.read_bytes()[:offset])
    else:
        flip(log, offset)
    for forgot in (True, False):
        engine = RocksDBEngine(killed)
        assert engine.forgot is forgot
        assert sorted(all_rows(engine)) == left
        engine.close()


# --- errors, by their causes ----------------------------------------------------------------------


def test_another_process_has_the_store(tmp_path: Path) -> None:
    engine = RocksDBEngine(tmp_path / "store")
    run = run_python("-c", WRITER, str(tmp_path / "store"), cwd=tmp_path)
    assert run.returncode == 1
    assert "DataDirLocked: " in run.stderr.splitlines()[-1]
    with pytest.raises(DataDirLocked, match="every member needs its own"):
        RocksDBEngine(tmp_path / "store")
    assert all_rows(engine) == {}
    engine.close()


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot open .*file"):
        RocksDBEngine(tmp_path / "file")
    (tmp_path / "store" / "LOCK").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot open .*LOCK: Is a directory"):
        RocksDBEngine(tmp_path / "store")


@pytest.mark.parametrize("name", ["log-00000001", "manifest-00000003"])
def test_the_store_of_another_engine(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(StorageError, match="another engine"):
        RocksDBEngine(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture
def with_a_table(tmp_path: Path) -> Path:
    """A closed store of 2,000 rows in one table."""
    engine = RocksDBEngine(tmp_path / "store")
    engine.apply([(b"%05d" % n, b"%d" % (n**20) * 3) for n in range(2000)], sync=False)
    engine.close()
    return tmp_path / "store"


def test_a_damaged_table(with_a_table: Path) -> None:
    table = only(with_a_table, "*.sst")
    flip(table, table.stat().st_size // 2)
    engine = RocksDBEngine(with_a_table)
    read: list[Row] = []
    with pytest.raises(CorruptionError, match="checksum mismatch"):
        read.extend(engine.scan(b"", END))
    assert 0 < len(read) < 2000
    assert len(list(engine.scan(b"", b"00100"))) == 100
    with pytest.raises(CorruptionError, match="checksum mismatch"):
        engine.get(b"%05d" % len(read))
    assert engine.get(b"00000") is not None
    engine.close()


def test_a_damaged_manifest(with_a_table: Path) -> None:
    flip(only(with_a_table, "MANIFEST-*"), 10)
    with pytest.raises(CorruptionError, match="MANIFEST"):
        RocksDBEngine(with_a_table)


def test_a_table_that_is_gone(with_a_table: Path) -> None:
    only(with_a_table, "*.sst").unlink()
    with pytest.raises(CorruptionError, match=r"\.sst"):
        RocksDBEngine(with_a_table)


def test_without_its_current_file_no_empty_store_takes_its_place(with_a_table: Path) -> None:
    (with_a_table / "CURRENT").unlink()
    for _ in range(2):
        with pytest.raises(CorruptionError, match="CURRENT"):
            RocksDBEngine(with_a_table)
    assert only(with_a_table, "*.sst").stat().st_size > 2000


def test_a_table_of_a_newer_format(with_a_table: Path) -> None:
    table = only(with_a_table, "*.sst")
    data = bytearray(table.read_bytes())
    data[-12:-8] = (99).to_bytes(4, "little")
    table.write_bytes(data)
    with pytest.raises(CorruptionError, match="version"):
        RocksDBEngine(with_a_table)


FILLER: Final = """
import sys
from pathlib import Path
from dynamokv.errors import DiskFull, StorageError
from dynamokv.storage.rocksdb import RocksDBEngine

engine = RocksDBEngine(Path(sys.argv[1]))
engine.apply([(b"first", b"1")], sync=True)
exec(sys.argv[2])
written = 0
try:
    while True:
        engine.apply([(b"%d" % written, bytes(50_000))], sync=True)
        written += 1
except StorageError as error:
    print(type(error).__name__, error)
assert 0 < written < 1000
assert engine.get(b"%d" % written) is None
assert engine.get(b"first") == b"1"
assert len(engine.get(b"%d" % (written - 1))) == 50_000
try:
    engine.apply([(b"small", b"1")], sync=False)
except StorageError as error:
    assert type(error) is StorageError
    assert "reopen" in str(error)
else:
    raise AssertionError("the store took a write after a failed one")
engine.close()
"""


def test_a_write_that_fails(tmp_path: Path) -> None:
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    )
    run = run_python("-c", FILLER, str(tmp_path / "store"), limit, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("StorageError")
    assert "File too large" in run.stdout
    engine = RocksDBEngine(tmp_path / "store")
    assert engine.get(b"first") == b"1"
    assert engine.get(b"small") is None
    engine.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """On a small file system of its own, where this machine lets a test make one."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)]
    try:
        subprocess.run([*alone, *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no user namespaces here")
    (tmp_path / "filler.py").write_text(FILLER, "utf-8")
    script = f"""{" ".join(mount)} && "{sys.executable}" -c "$FILLER" {tmp_path}/store pass"""
    run = subprocess.run(
        [*alone, "sh", "-c", script],
        env={"FILLER": FILLER, "PYTHONPATH": str(Path(dynamokv.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(DiskFull.__name__)


def test_without_rocksdict_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['rocksdict'] = None\n"
        "from pathlib import Path\n"
        "from dynamokv.errors import ConfigError\n"
        "from dynamokv.storage.rocksdb import RocksDBEngine\n"
        "try: RocksDBEngine(Path('store'))\n"
        "except ConfigError as error: print(error)\n"
    )
    run = run_python("-c", code, cwd=tmp_path)
    assert "pip install dynamokv[rocksdb]" in run.stdout, run.stderr
    assert list(tmp_path.iterdir()) == []


# --- in a node ------------------------------------------------------------------------------------


def test_a_node_keeps_its_data_in_it(tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path, engine=RocksDBEngine)
    for expected in (None, "value"):
        with dynamokv.join(config=config) as node:
            assert node.get("key") == expected
            node.put("key", "value")
    assert (tmp_path / "CURRENT").exists()
