"""Files of the operating system, and the lock on a data directory.

Knows: ``os``, ``fcntl`` and what POSIX promises about them. Must not know: what any file holds.

Rules:

- This is the only place in the project that syncs, so that "is it on the disk?" has one answer.
- Nothing here retries a failed sync: Linux marks the lost pages clean, and a second call would
  claim success (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
- ``OSError`` passes through unchanged; the engine above knows which of its promises broke. Only the
  lock speaks in our own errors, because everything it can say is for the operator.
- POSIX only: ``flock`` and syncing a directory have no Windows counterpart.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path
from typing import Final

from dynamokv.errors import DataDirLocked, StorageError

LOCK_NAME: Final = "LOCK"

LABEL_BYTES: Final = 64
"""Of the lock file: pid and boot, for the error message of whoever comes second."""

_PRIVATE: Final = 0o600
"""Mode of new files: what users store is nobody else's business."""


def boot_id() -> str:
    """Names this boot of this machine, where the kernel does; nothing elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


class RealFiles:
    """``ports.FileSystem`` over the operating system."""

    def make_dir(self, path: Path) -> None:
        """Create a directory and its parents, each synced into its own parent."""
        path = path.absolute()
        missing = [at for at in (path, *path.parents) if not at.exists()]
        for directory in reversed(missing):
            directory.mkdir(exist_ok=True)
            self.sync_dir(directory.parent)
        if not missing:
            # Whoever made it may have been killed before this.
            self.sync_dir(path.parent)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))

    def list_dir(self, path: Path) -> list[str]:
        """Names in a directory, sorted."""
        return sorted(os.listdir(path))

    def read(self, path: Path) -> bytes:
        """The whole file."""
        return path.read_bytes()

    def open_read(self, path: Path) -> RealReadFile:
        """Open for reading at any place."""
        return RealReadFile(path)

    def open_append(self, path: Path) -> RealAppendFile:
        """Open for appending at the end, created when absent."""
        return RealAppendFile(path)

    def replace(self, source: Path, target: Path) -> None:
        """Atomic rename over the target."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Delete a file."""
        os.remove(path)

    def sync_dir(self, path: Path) -> None:
        """Make the directory's entries durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """A second name for the same file."""
        os.link(source, target)


class RealReadFile:
    """``ports.ReadFile`` over a descriptor. Not a map: a page that the disk lost is an ``OSError``
    here, and would be the end of the process there.
    """

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """These bytes, or fewer where the file ends."""
        return os.pread(self._descriptor, size_bytes, offset)

    def size(self) -> int:
        """Length in bytes."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Let go of the descriptor."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        # Whoever still reads a table that was replaced keeps it; the last one closes it.
        self.close()


class RealAppendFile:
    """``ports.AppendFile`` over a descriptor. Unbuffered: an engine hands over whole records."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, _PRIVATE)

    def append(self, data: bytes) -> None:
        """Write all of it. A short write goes on with the rest, and then the kernel says why."""
        written = os.write(self._descriptor, data)
        if written == len(data):
            return
        rest = memoryview(data)[written:]
        while rest:
            if not written:
                raise OSError(errno.EIO, "the kernel wrote nothing and gave no reason")
            written = os.write(self._descriptor, rest)
            rest = rest[written:]

    def truncate(self, size_bytes: int) -> None:
        """Cut the file; ``O_APPEND`` makes the next write go to the new end."""
        os.ftruncate(self._descriptor, size_bytes)

    def sync(self) -> None:
        """Data and length to the disk; not the times, which nobody here reads."""
        if sys.platform == "darwin":
            # fsync there stops at the drive's cache.
            fcntl.fcntl(self._descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(self._descriptor)

    def size(self) -> int:
        """Length in bytes."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close without syncing."""
        os.close(self._descriptor)


class DirectoryLock:
    """The right to use a data directory, held until ``release`` or the end of the process.

    It is a ``flock``: the kernel lets go of it however the process ends, so a stale lock cannot
    exist and the pid inside the file is only for the error message.

    Raises:
        DataDirLocked: another engine, of this process or another, has it.
        StorageError: the directory cannot be written, or its file system has no locks.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        except OSError as error:
            raise StorageError(
                f"data directory {directory} cannot be written: {error.strerror}; "
                "give this process a writable directory of its own"
            ) from error
        try:
            self._acquire(directory)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _acquire(self, directory: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            held = os.pread(self._descriptor, LABEL_BYTES, 0).decode("ascii", "replace").split()
            process = f"process {held[0]}" if held else "another process"
            # Of another boot: another machine, or container, on a shared file system.
            elsewhere = " on another machine" if held[1:] not in ([], [boot_id()]) else ""
            raise DataDirLocked(
                f"data directory {directory} is in use by {process}{elsewhere}; "
                "every member needs its own"
            ) from error
        except OSError as error:
            raise StorageError(f"data directory {directory}: no locks: {error.strerror}") from error
        try:
            # Of fixed width and in place, so that only the first time asks the disk for space.
            label = f"{os.getpid():10d} {boot_id():36s}\n"
            os.pwrite(self._descriptor, label.encode(), 0)
        except OSError as error:
            # The lock holds without its label, and a store on a full disk can still be read.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise StorageError(
                    f"data directory {directory} cannot be written: {error.strerror}"
                ) from error

    def release(self) -> None:
        """Let go. Closes instead of unlocking, so that a forked child cannot take its parent's."""
        os.close(self._descriptor)
