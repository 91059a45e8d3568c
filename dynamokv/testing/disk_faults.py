"""What can go wrong with one call to a disk, as data.

Knows: calls and which of them a fault is for. Must not know: files, bytes, what a call does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""


class Operation(Enum):
    """The calls of ``ports.FileSystem`` and of its open files."""

    MAKE_DIR = "make_dir"
    LIST_DIR = "list_dir"
    READ = "read"
    OPEN_READ = "open_read"
    READ_AT = "read_at"
    OPEN_APPEND = "open_append"
    APPEND = "append"
    TRUNCATE = "truncate"
    SYNC = "sync"
    SIZE = "size"
    CLOSE = "close"
    REPLACE = "replace"
    REMOVE = "remove"
    SYNC_DIR = "sync_dir"
    LINK = "link"


READS: Final = frozenset({Operation.READ, Operation.READ_AT})
"""Calls that return a file's bytes."""

WRITES: Final = frozenset(
    {
        Operation.MAKE_DIR,
        Operation.OPEN_APPEND,
        Operation.APPEND,
        Operation.TRUNCATE,
        Operation.SYNC,
        Operation.REPLACE,
        Operation.REMOVE,
        Operation.SYNC_DIR,
        Operation.LINK,
    }
)
"""Calls that change what a later process may find. A crash between two of them, at whatever other
call, is a crash before the second."""


class Call(NamedTuple):
    """One call, as the disk saw it."""

    number: int
    """From 1 on."""
    operation: Operation
    path: Path
    """Of ``replace`` and ``link``, the target. Of an open file, the one it was opened by."""
    size_bytes: int = 0
    """To append or to read, or the new size of the file."""
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.number} {self.operation.value} {self.path} {self.size_bytes}@{self.offset}"


class Crash(BaseException):
    """The process ends here. Not an ``Exception``, so that no handler for failures can catch it."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """A call that fails, once, some times or from some moment on.

    Attributes:
        operations: which calls.
        name: of the file, or how it begins.
        where: what else must hold of the call.
        skip: so many such calls go well before.
        count: so many fail then; ``None``: all.
        error: a number of ``errno``.
        done: how much of the call is done although it fails. Any call but an append is done at 1.0
            and not below. Of an append it is the share of the bytes. Of a sync, the share of the
            unsynced changes that were written before the disk failed; the rest is dropped, and no
            later sync brings it back.
        reverts: what a failed sync dropped is no longer seen either (btrfs); otherwise the process
            goes on to see what is on no disk (ext4, xfs).
        struck: how often it came to pass.
    """

    operations: Collection[Operation]
    name: str = ""
    where: Callable[[Call], bool] = lambda call: True
    skip: int = 0
    count: int | None = None
    error: int = errno.EIO
    done: float = 0.0
    reverts: bool = False
    struck: int = 0

    def strikes(self, call: Call) -> bool:
        """Whether this call fails. To be asked once about each call."""
        if call.operation not in self.operations or not call.path.name.startswith(self.name):
            return False
        if not self.where(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.count is not None and self.struck >= self.count:
            return False
        self.struck += 1
        return True


def bad_sector(name: str, offset: int) -> Fault:
    """The sector with this byte of a file cannot be read."""
    sector = offset // SECTOR_BYTES

    def hit(call: Call) -> bool:
        last = (call.offset + call.size_bytes - 1) // SECTOR_BYTES
        return call.size_bytes > 0 and call.offset // SECTOR_BYTES <= sector <= last

    return Fault(operations=READS, name=name, where=hit)


def read_only(directory: Path, error: int = errno.EROFS) -> Fault:
    """Nothing in a directory, or below it, can be written any more. ``EROFS`` is what is left of a
    file system that met an error, ``EACCES`` a mistake of whoever set it up."""
    return Fault(
        operations=WRITES,
        error=error,
        where=lambda call: call.path == directory or directory in call.path.parents,
    )


def os_error(number: int, path: Path) -> OSError:
    """As the operating system says it; Python picks the subclass."""
    return OSError(number, os.strerror(number), str(path))
