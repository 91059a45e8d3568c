"""A file system in memory that fails, fills up, or ends its process where a test says, and then
shows what is left: ``ports.FileSystem``, simulated.

    disk = SimulatedDisk()
    disk.crash_at = 17
    with pytest.raises(Crash):
        work(disk)
    for loss, found in disk.survivors(10):
        ...  # open it again, and look

Knows: the calls, and what the operating system answers to each. Must not know: what the files hold.
Which changes are durable is ``disk_image``'s, what survives ``disk_loss``'s, what goes wrong
``disk_faults``'s.

Rules:

- Without faults every call does and raises what ``RealFiles`` does on Linux.
- A test's mistake is no fault: using a closed file, or a relative path, is a ``ValueError``, which
  no handler of disk errors catches.
- Nothing here is random, nor takes time: the same calls have the same outcome.
- Threads take turns, a call each.
"""

from __future__ import annotations

import errno
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from dynamokv.testing.disk_faults import SECTOR_BYTES, Call, Crash, Fault, Operation, os_error
from dynamokv.testing.disk_image import (
    Directory,
    Entry,
    Image,
    Inode,
    Resize,
    Write,
    distinct,
)
from dynamokv.testing.disk_loss import Loss, first_part, losses, survivor

_PARTLY: Final = frozenset({Operation.APPEND, Operation.SYNC})
"""Calls that can be done by part."""


class SimulatedDisk:
    """``ports.FileSystem``. Set the attributes to make it fail.

    Attributes:
        crash_at: number of the call at which the process ends. Every later call raises ``Crash``
            too: nobody cleans up after death.
        crash_share: how much of that call is done, when it is an append.
        faults: what else goes wrong.
        capacity_bytes: of all files together; an append beyond it is done in part. ``None``: no
            limit.
        full_error: what an append raises then: ``ENOSPC`` or ``EDQUOT``.
        sector_bytes: what is written whole or not at all. Smaller tears shorter files.
        on_call: called before each call, say to count it, to make time pass, to look at the disk.
        calls: how many so far.
        trace: all calls so far, unless it was made with ``tracing=False``.
        crashed: whether the process has ended.
    """

    def __init__(
        self,
        *,
        sector_bytes: int = SECTOR_BYTES,
        image: Image | None = None,
        tracing: bool = True,
    ) -> None:
        self.crash_at: int | None = None
        self.crash_share = 0.0
        self.faults: list[Fault] = []
        self.capacity_bytes: int | None = None
        self.full_error = errno.ENOSPC
        self.sector_bytes = sector_bytes
        self.on_call: Callable[[Call], None] = ignore
        self.calls = 0
        self.trace: list[Call] = []
        self.tracing = tracing
        self.crashed = False
        self.image = Image() if image is None else image
        self.open_files: weakref.WeakSet[_File] = weakref.WeakSet()
        self._turn = threading.RLock()

    # The port.

    def make_dir(self, path: Path) -> None:
        """Create a directory and its parents; each, new or not, is durable on return."""
        with self._turn:
            for at in (*reversed(path.parents), path):
                node = self.image.find(at)
                if node is None:
                    with _Doing(self, Operation.MAKE_DIR, at):
                        self.image.step(Entry(self.image.parent(at), at.name, Directory()))
                elif not isinstance(node, Directory):
                    raise os_error(errno.ENOTDIR, path)
                if not self.image.is_durable(at):
                    self.sync_dir(at.parent)

    def list_dir(self, path: Path) -> list[str]:
        """Names in a directory, sorted."""
        with _Doing(self, Operation.LIST_DIR, path):
            return sorted(self.image.directory(path).visible)

    def read(self, path: Path) -> bytes:
        """The whole file."""
        with _Doing(self, Operation.READ, path, _size_of(self.image, path)):
            return bytes(self.image.file(path).visible)

    def open_read(self, path: Path) -> SimulatedReadFile:
        """Open for reading. Of a directory this is refused here, and not only the reading."""
        with _Doing(self, Operation.OPEN_READ, path):
            return SimulatedReadFile(self, path, self.image.file(path))

    def open_append(self, path: Path) -> SimulatedAppendFile:
        """Open for appending at the end, created when absent."""
        with _Doing(self, Operation.OPEN_APPEND, path):
            if self.image.find(path) is None:
                directory = self.image.parent(path)
                self.image.step(Entry(directory, path.name, Inode()))
            return SimulatedAppendFile(self, path, self.image.file(path))

    def replace(self, source: Path, target: Path) -> None:
        """Atomic rename over the target."""
        with _Doing(self, Operation.REPLACE, target):
            before = self.image.parent(source)
            after = self.image.parent(target)
            moved = before.visible.get(source.name)
            replaced = after.visible.get(target.name)
            if moved is None:
                raise os_error(errno.ENOENT, source)
            if source in target.parents:
                raise os_error(errno.EINVAL, source)
            if moved is replaced:
                # Also of two names for one file, both of which stay: POSIX wants it so.
                return
            if isinstance(moved, Directory) and isinstance(replaced, Inode):
                raise os_error(errno.ENOTDIR, source)
            if isinstance(replaced, Directory):
                if not isinstance(moved, Directory) and target not in source.parents:
                    raise os_error(errno.EISDIR, source)
                if replaced.visible:
                    raise os_error(errno.ENOTEMPTY, source)
            self.image.step(Entry(before, source.name, None), Entry(after, target.name, moved))

    def remove(self, path: Path) -> None:
        """Delete a file."""
        with _Doing(self, Operation.REMOVE, path):
            self.image.file(path)
            directory = self.image.parent(path)
            self.image.step(Entry(directory, path.name, None))

    def sync_dir(self, path: Path) -> None:
        """Make the directory's entries durable."""
        with _Doing(self, Operation.SYNC_DIR, path):
            self.image.sync_dir(self.image.directory(path))

    def link(self, source: Path, target: Path) -> None:
        """A second name for the same file."""
        with _Doing(self, Operation.LINK, target):
            linked = self.image.find(source)
            if linked is None:
                raise os_error(errno.ENOENT, source)
            directory = self.image.parent(target)
            if target.name in directory.visible:
                raise os_error(errno.EEXIST, target)
            if isinstance(linked, Directory):
                raise os_error(errno.EPERM, target)
            self.image.step(Entry(directory, target.name, linked))

    # For the test: none of these is a call.

    @property
    def is_watched(self) -> bool:
        """Whether a call may fail, or somebody wants to know of it."""
        fails = self.faults or self.crashed or self.crash_at is not None
        return bool(fails or self.tracing or self.on_call is not ignore)

    def survivor(self, loss: Loss) -> SimulatedDisk:
        """The disk that the next process finds, if this one is lost now. It has this one's size,
        and none of its faults."""
        image = survivor(self.image, loss, self.sector_bytes)
        disk = SimulatedDisk(sector_bytes=self.sector_bytes, image=image, tracing=self.tracing)
        disk.capacity_bytes = self.capacity_bytes
        disk.full_error = self.full_error
        return disk

    def survivors(self, limit: int) -> Iterator[tuple[Loss, SimulatedDisk]]:
        """So many disks that the next process may find, the most telling ones first."""
        for loss in islice(losses(), limit):
            yield loss, self.survivor(loss)

    def contents(self) -> dict[Path, bytes]:
        """All files, as a process sees them."""
        return {path: bytes(inode.visible) for path, inode in self.image.files()}

    def used_bytes(self) -> int:
        """Of all files, those included that have lost their name and are still open."""
        inodes = [inode for _, inode in self.image.files()]
        inodes += [file.inode for file in self.open_files if not file.closed]
        return sum(len(inode.visible) for inode in distinct(inodes))

    # Damage to files at rest: what is unsynced counts as written.

    def put(self, path: Path, content: bytes) -> None:
        """Have a file hold this, made when it is not there."""
        directory = self.image.parent(path)
        if path.name not in directory.visible:
            self.image.step(Entry(directory, path.name, Inode()))
        self.image.sync_dir(directory)
        self.image.file(path).settle(content)

    def flip(self, path: Path, bit: int) -> None:
        """Turn one bit of a file round."""
        content = bytearray(self.image.file(path).visible)
        content[bit // 8] ^= 1 << bit % 8
        self.put(path, bytes(content))

    def cut(self, path: Path, size_bytes: int) -> None:
        """Leave only the beginning of a file."""
        self.put(path, bytes(self.image.file(path).visible[:size_bytes]))

    def lose(self, path: Path) -> None:
        """Take a file away."""
        self.image.file(path)
        directory = self.image.parent(path)
        self.image.step(Entry(directory, path.name, None))
        self.image.sync_dir(directory)

    def _what_fails(self, call: Call) -> Fault | None:
        if self.crash_at is not None and call.number >= self.crash_at:
            self.crashed = True
            if call.operation is not Operation.APPEND or not self.crash_share:
                raise Crash(call)
            return Fault(operations={Operation.APPEND}, done=self.crash_share)
        # All are asked: each counts the calls that it is about.
        strikes = [fault for fault in self.faults if fault.strikes(call)]
        return strikes[0] if strikes else None


class _Doing:
    """What every call begins and ends with: it is counted, and fails if it is to fail. The body is
    what it does: not run when nothing of it is done, given the fault when it is for the body to do
    part. ``what``: a ``Call`` without its number."""

    __slots__ = ("_call", "_disk", "_fault", "_what")

    def __init__(self, disk: SimulatedDisk, *what: Any) -> None:
        self._disk = disk
        self._what = what

    def __enter__(self) -> Fault | None:
        disk = self._disk
        disk._turn.acquire()
        try:
            self._call = call = Call(disk.calls + 1, *self._what)
            if disk.crashed:
                raise Crash(call)
            disk.calls += 1
            if disk.tracing:
                disk.trace.append(call)
            if disk.on_call is not ignore:
                disk.on_call(call)
            self._fault = fault = disk._what_fails(call)
            if fault is not None and call.operation not in _PARTLY and fault.done < 1.0:
                raise os_error(fault.error, call.path)
        except BaseException:
            disk._turn.release()
            raise
        return fault

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._disk.crashed:
                raise Crash(self._call)
            if self._fault is not None and kind is None:
                raise os_error(self._fault.error, self._call.path)
        finally:
            self._disk._turn.release()


class _File:
    """What open files have in common. The operations are in the derived classes, because a file is
    open for one thing."""

    def __init__(self, disk: SimulatedDisk, path: Path, inode: Inode) -> None:
        self.path = path
        self.inode = inode
        self.closed = False
        self._disk = disk
        disk.open_files.add(self)

    def _check(self) -> None:
        # After death no mistake counts any more.
        if self.closed and not self._disk.crashed:
            raise ValueError(f"{self.path} is used after it was closed")

    def size(self) -> int:
        """Length in bytes."""
        self._check()
        with _Doing(self._disk, Operation.SIZE, self.path):
            return len(self.inode.visible)

    def _close(self) -> None:
        # As the kernel does: whatever it says, the file is closed.
        self.closed = True
        self._disk.open_files.discard(self)
        with _Doing(self._disk, Operation.CLOSE, self.path):
            pass


class SimulatedReadFile(_File):
    """``ports.ReadFile``. Goes on to read a file that lost its name."""

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """These bytes, or fewer where the file ends."""
        self._check()
        if not self._disk.is_watched:  # two of three calls are these
            self._disk.calls += 1
            return bytes(self.inode.visible[offset : offset + size_bytes])
        with _Doing(self._disk, Operation.READ_AT, self.path, size_bytes, offset):
            return bytes(self.inode.visible[offset : offset + size_bytes])

    def close(self) -> None:
        """A second call does nothing."""
        if not self.closed:
            self._close()


class SimulatedAppendFile(_File):
    """``ports.AppendFile``."""

    def append(self, data: bytes) -> None:
        """Write at the end, whoever else wrote there."""
        self._check()
        with _Doing(self._disk, Operation.APPEND, self.path, len(data)) as fault:
            room = len(data)
            if fault is not None:
                room = int(fault.done * room)
            capacity = self._disk.capacity_bytes
            full = False
            if capacity is not None:
                free = max(capacity - self._disk.used_bytes(), 0)
                full = free < room
                room = min(room, free)
            if room:
                self.inode.change(Write(len(self.inode.visible), bytes(data[:room])))
            if full:
                raise os_error(self._disk.full_error, self.path)

    def truncate(self, size_bytes: int) -> None:
        """Cut the file; the next append goes there."""
        self._check()
        with _Doing(self._disk, Operation.TRUNCATE, self.path, size_bytes):
            self.inode.change(Resize(size_bytes))

    def sync(self) -> None:
        """Make the content durable, not the name."""
        self._check()
        with _Doing(self._disk, Operation.SYNC, self.path) as fault:
            if fault is None:
                self.inode.sync()
            else:
                written = first_part(self.inode, fault.done, self._disk.sector_bytes)
                self.inode.fail_sync(bytearray(written), reverts=fault.reverts)

    def close(self) -> None:
        """Close without syncing. Once: a second close might close the file of somebody else."""
        self._check()
        self._close()


def flip_any(disk: SimulatedDisk, rng: random.Random) -> tuple[Path, int]:
    """Turn one bit anywhere on a disk round; which one."""
    sizes = [(path, 8 * len(content)) for path, content in disk.contents().items()]
    bit = rng.randrange(sum(size for _, size in sizes))
    for path, size in sizes:
        if bit < size:
            disk.flip(path, bit)
            return path, bit
        bit -= size
    raise AssertionError("a bit beyond the last file")


def ignore(call: Call) -> None:
    """What happens at a call, unless a test wants something."""


def _size_of(image: Image, path: Path) -> int:
    try:
        return len(image.file(path).visible)
    except OSError:
        # The call itself will say so.
        return 0
