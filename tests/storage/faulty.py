"""A file system in memory that fails or crashes where a test says, and then shows what is left.

It keeps two versions of everything: what the running process sees, and what the disk is sure to
have (contents as of the last ``sync`` of the file, names as of the last ``sync_dir``). After a
power cut contents and names may each be of either version: that is what ``survivor`` is for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from dynamokv.storage.log import LogEngine

STORE: Final = Path("/store")
"""Exists in no real file system."""

CRASHES: Final = [(names, contents) for names in (True, False) for contents in (1.0, 0.5, 0.0)]
"""Whether unsynced names survive, and how much of the unsynced end of each file. The first is a
killed process, after which the kernel still has it all; the others are power cuts."""


Fault: TypeAlias = Callable[[str, Path], OSError | None]
"""Given an operation and the path it is on, the error that it raises, if any."""


class Crash(BaseException):
    """The process ends here. Not an ``Exception``, so that no handler for failures can catch it."""


@dataclass
class Inode:
    """A file without its name."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""

    def survivor(self, unsynced: float) -> Inode:
        if not self.data.startswith(self.synced):
            # Cut back and not synced since: either length may be there.
            kept = bytes(self.data) if unsynced else self.synced
        else:
            kept = bytes(self.data[: len(self.synced) + int(self.unsynced() * unsynced)])
        return Inode(bytearray(kept), kept)

    def unsynced(self) -> int:
        return len(self.data) - len(self.synced)


class FakeDisk:
    """``ports.FileSystem``. Set the attributes to make it fail.

    Attributes:
        crash_at: number of the operation at which the process ends; an append is then done by half.
        fault: what else goes wrong.
        capacity: bytes of all files together; an append beyond it is done in part.
    """

    def __init__(self) -> None:
        self.names: dict[Path, Inode] = {}
        self.synced_names: dict[Path, Inode] = {}
        self.operations: list[tuple[str, str]] = []
        self.crash_at: int | None = None
        self.fault: Fault = lambda operation, path: None
        self.capacity: int | None = None

    def survivor(self, crash: tuple[bool, float]) -> FakeDisk:
        """The disk that the next process finds."""
        keeps_names, unsynced = crash
        inodes = self.names if keeps_names else self.synced_names
        disk = FakeDisk()
        disk.names = {path: inode.survivor(unsynced) for path, inode in inodes.items()}
        disk.synced_names = dict(disk.names)
        return disk

    def step(self, operation: str, path: Path) -> bool:
        """Count an operation; True when the process ends within it."""
        self.operations.append((operation, path.name))
        if self.crash_at is not None and len(self.operations) >= self.crash_at:
            if len(self.operations) == self.crash_at and operation == "append":
                return True
            raise Crash
        error = self.fault(operation, path)
        if error is not None and operation != "append":
            raise error
        return False

    def listing(self) -> dict[str, bytes]:
        return {path.name: bytes(inode.data) for path, inode in sorted(self.names.items())}

    def make_dir(self, path: Path) -> None:
        self.step("make_dir", path)

    def list_dir(self, path: Path) -> list[str]:
        found = sorted(at.name for at in self.names if at.parent == path)
        if not found and path != STORE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return found

    def read(self, path: Path) -> bytes:
        self.step("read", path)
        return bytes(self.names[path].data)

    def open_append(self, path: Path) -> FakeFile:
        self.step("open_append", path)
        return FakeFile(self, path, self.names.setdefault(path, Inode()))

    def replace(self, source: Path, target: Path) -> None:
        self.step("replace", target)
        self.names[target] = self.names.pop(source)

    def remove(self, path: Path) -> None:
        self.step("remove", path)
        del self.names[path]

    def sync_dir(self, path: Path) -> None:
        self.step("sync_dir", path)
        others = {at: inode for at, inode in self.synced_names.items() if at.parent != path}
        here = {at: inode for at, inode in self.names.items() if at.parent == path}
        self.synced_names = {**others, **here}

    def link(self, source: Path, target: Path) -> None:
        self.step("link", target)
        self.names[target] = self.names[source]


class FakeFile:
    """``ports.AppendFile``."""

    def __init__(self, disk: FakeDisk, path: Path, inode: Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode

    def append(self, data: bytes) -> None:
        if self._disk.step("append", self._path):
            self._inode.data += data[: len(data) // 2]
            raise Crash
        error = self._disk.fault("append", self._path)
        if error is not None:
            # The worst that can be: all of it is there, and the call failed.
            self._inode.data += data
            raise error
        if self._disk.capacity is not None:
            used = sum(len(inode.data) for inode in self._disk.names.values())
            free = max(self._disk.capacity - used, 0)
            self._inode.data += data[:free]
            if free < len(data):
                raise no_space()
        else:
            self._inode.data += data

    def truncate(self, size_bytes: int) -> None:
        self._disk.step("truncate", self._path)
        del self._inode.data[size_bytes:]

    def sync(self) -> None:
        self._disk.step("sync", self._path)
        self._inode.synced = bytes(self._inode.data)

    def size(self) -> int:
        return len(self._inode.data)

    def close(self) -> None:
        pass


class NoLock:
    """For stores that no other process can see."""

    def __init__(self, directory: Path) -> None:
        pass

    def release(self) -> None:
        pass


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def fails(operation: str, error: Callable[[], OSError], name: str = "") -> Fault:
    """A fault: this operation, on files whose name begins so."""
    return lambda done, path: error() if done == operation and path.name.startswith(name) else None


def salts() -> Callable[[], bytes]:
    """Salt that is the same in every run and different in every file."""
    number = iter(range(1, 1 << 32))
    return lambda: next(number).to_bytes(8, "big")


def open_log(disk: FakeDisk, *, log_bytes_max: int = 1 << 30) -> LogEngine:
    """A log engine on a fake disk, without threads."""
    return LogEngine(
        STORE,
        log_bytes_max=log_bytes_max,
        files=disk,
        salt=salts(),
        background=False,
        lock=NoLock,
    )


def rows_of(engine: LogEngine) -> dict[bytes, bytes]:
    return dict(engine.scan(b"", b"\xff" * 8))
