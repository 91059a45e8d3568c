"""The real file system and the lock: what tests of engines on a fake one cannot show."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynamokv.errors import DataDirLocked, StorageError
from dynamokv.ports import AppendFile, FileSystem
from dynamokv.storage.files import LOCK_NAME, DirectoryLock, RealFiles
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk


def test_real_and_simulated_meet_the_port(tmp_path: Path) -> None:
    simulated = SimulatedDisk()
    simulated.make_dir(tmp_path)
    systems: list[FileSystem] = [RealFiles(), simulated]
    for files in systems:
        file: AppendFile = files.open_append(tmp_path / "file")
        file.append(b"abc")
        file.append(b"")
        file.truncate(2)
        file.append(b"d" * 5)
        file.sync()
        assert file.size() == 7
        file.close()
        assert files.read(tmp_path / "file") == b"abddddd"


def test_files_come_and_go(tmp_path: Path) -> None:
    files = RealFiles()
    made = tmp_path / "a" / "b"
    files.make_dir(made)
    files.make_dir(made)
    for name in ("two", "one"):
        file = files.open_append(made / name)
        file.append(name.encode())
        file.close()
    file = files.open_append(made / "one")
    file.append(b" more")
    file.close()
    files.link(made / "one", made / "three")
    files.replace(made / "one", made / "two")
    files.sync_dir(made)
    assert files.list_dir(made) == ["three", "two"]
    assert files.read(made / "two") == b"one more"
    files.remove(made / "three")
    assert files.list_dir(made) == ["two"]
    assert (made / "two").stat().st_mode & 0o077 == 0


def test_a_directory_with_the_name_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            RealFiles().make_dir(path)
        with pytest.raises(StorageError, match="cannot open"):
            LSMEngine(path)


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    file = RealFiles().open_append(tmp_path / "file")
    file.append(b"0123456789")
    monkeypatch.undo()
    assert file.size() == 10
    assert (tmp_path / "file").read_bytes() == b"0123456789"
    file.close()


def test_a_short_write_that_ends_in_an_error_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    for rest in ("raises", "writes nothing"):
        calls: list[int] = []

        def write(descriptor: int, data: bytes, calls: list[int] = calls, rest: str = rest) -> int:
            calls.append(len(data))
            if len(calls) == 1:
                return real(descriptor, data[:4])
            if rest == "raises":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return 0

        file = RealFiles().open_append(tmp_path / rest)
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(OSError, match="space" if rest == "raises" else "no reason"):
            file.append(b"0123456789")
        monkeypatch.undo()
        assert calls[:2] == [10, 6]
        assert file.size() == 4
        file.close()


def test_an_engine_survives_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    engine = LSMEngine(tmp_path, LSMOptions(memtable_bytes=500))
    for n in range(20):
        engine.apply([(b"%d" % n, b"x" * n)], sync=False)
    engine.close()
    monkeypatch.undo()
    engine = LSMEngine(tmp_path, LSMOptions(memtable_bytes=500))
    assert not engine.forgot
    assert dict(engine.scan(b"", b"z")) == {b"%d" % n: b"x" * n for n in range(20)}
    engine.close()


def test_the_lock_is_for_one_and_names_its_holder(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(DataDirLocked) as caught:
        DirectoryLock(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert f"process {os.getpid()};" in str(caught.value)
    lock.release()
    DirectoryLock(tmp_path).release()


HOLDER = """
import sys
from pathlib import Path
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
engine = LSMEngine(Path(sys.argv[1]))
engine.apply([(b"a", b"1")], sync=True)
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_store_held_by_another_process_is_refused(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for _ in range(2):
            with pytest.raises(DataDirLocked, match=f"{tmp_path} .* process {holder.pid};"):
                LSMEngine(tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        # It ends without closing its engine: the kernel lets go.
        holder.communicate("")
    assert holder.returncode == 0
    engine = LSMEngine(tmp_path)
    assert engine.get(b"a") == b"1"
    engine.close()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_directory_that_cannot_be_written_is_refused(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, whom no permission stops, so the call itself is replaced."""

    real = os.open

    def refuse(path: Path, flags: int, mode: int = 0) -> int:
        if not flags & os.O_CREAT:
            return real(path, flags, mode)
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=f"{tmp_path} cannot be written: .*writable"):
        LSMEngine(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_take_the_lock_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        def pwrite(descriptor: int, data: bytes, offset: int) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "pwrite", pwrite)

    refuse(errno.ENOSPC)
    lock = DirectoryLock(tmp_path)
    with pytest.raises(DataDirLocked, match="another process;"):
        DirectoryLock(tmp_path)
    lock.release()
    refuse(errno.EIO)
    with pytest.raises(StorageError, match="cannot be written"):
        DirectoryLock(tmp_path)
    monkeypatch.undo()
    DirectoryLock(tmp_path).release()


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StorageError, match="no locks"):
        DirectoryLock(tmp_path)


def test_an_opening_that_fails_lets_go(tmp_path: Path) -> None:
    class Failing(RealFiles):
        def read(self, path: Path) -> bytes:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    LSMEngine(tmp_path).close()
    with pytest.raises(StorageError, match="Permission denied"):
        LSMEngine(tmp_path, background=False, files=Failing())
    LSMEngine(tmp_path).close()
    assert (tmp_path / LOCK_NAME).exists()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("descriptors are counted through /proc")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        engine = LSMEngine(tmp_path / "store", LSMOptions(memtable_bytes=500))
        for n in range(10):
            engine.apply([(b"%d" % n, b"x" * 50)], sync=False)
        engine.close()
        with pytest.raises(StorageError):
            LSMEngine(tmp_path / "store" / "LOCK")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
