"""What a RocksDB store says when something is wrong: each error of ours by its real cause."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import dynamokv
from dynamokv.errors import CorruptionError, DataDirLocked, DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.storage.rocksdb import RocksDBEngine
from tests.documents import run_python
from tests.storage.conformance import END, all_rows

pytest.importorskip("rocksdict")

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
