"""Making a file so that it is complete as soon as it has its name.

Knows: the steps that POSIX asks for. Must not know: what is in a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from dynamokv.limits import MiB
from dynamokv.ports import AppendFile, FileSystem
from dynamokv.storage.lsm.names import TEMPORARY

COPY_BYTES: Final = 1 * MiB
"""Read and written at once by a copy."""


def create_file(files: FileSystem, path: Path, pieces: Iterable[bytes]) -> AppendFile:
    """A new file with its content synced, open at its end. The caller syncs the directory.

    Raises:
        OSError: there is no such file, unless it was the rename that failed: then there may be.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    file = files.open_append(temporary)
    try:
        # An earlier attempt may have left its beginning.
        file.truncate(0)
        for piece in pieces:
            file.append(piece)
        file.sync()
        files.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            files.remove(temporary)
        raise
    return file


def write_file(files: FileSystem, path: Path, pieces: Iterable[bytes]) -> None:
    """The same, closed, and with its name on the disk as well."""
    create_file(files, path, pieces).close()
    files.sync_dir(path.parent)


def copy_file(files: FileSystem, source: Path, target: Path, size_bytes: int) -> None:
    """Copy the beginning of a file that may be growing. The caller syncs the directory."""
    file = files.open_read(source)
    try:
        pieces = (
            file.read_at(offset, min(COPY_BYTES, size_bytes - offset))
            for offset in range(0, size_bytes, COPY_BYTES)
        )
        create_file(files, target, pieces).close()
    finally:
        file.close()
