"""What is wrong with files, in words, and which errors of a disk mean damage.

Knows: single files. Must not know: what a fault means for the store.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dynamokv.ports import FileSystem

UNREADABLE: Final = frozenset({errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)})
"""What a disk or file system says about bytes that it lost. Anything else (permissions, no memory)
may pass, so it must not set a good file aside."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where and how a file is damaged; ``unreadable``: the disk did not even give its bytes."""

    file: str
    offset: int
    reason: str
    unreadable: bool = False


def read_or_fault(files: FileSystem, directory: Path, name: str) -> tuple[bytes, Fault | None]:
    """A whole file, or what the disk says instead.

    Raises:
        OSError: it may be readable later.
    """
    try:
        return files.read(directory / name), None
    except OSError as error:
        return b"", Fault(name, 0, damage_of(error), unreadable=error.errno in UNREADABLE)


def damage_of(error: OSError) -> str:
    """What an error says about the file that was read; raises it where it may be readable later."""
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if error.errno in UNREADABLE:
        return f"it cannot be read: {error.strerror}"
    raise error
