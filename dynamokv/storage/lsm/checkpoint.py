"""A copy of a store that can be opened: tables by hard links, logs by copy.

Knows: which files make up a store, and in which order they have to arrive. Must not know: what is
in them.

``CURRENT`` comes last: a checkpoint that was interrupted is no store that lacks something, it is
refused.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from dynamokv.errors import StorageError
from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.jobs import LogPart
from dynamokv.storage.lsm.manifest import manifest_pieces, set_current
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.record_writer import storage_error
from dynamokv.storage.lsm.store import Store
from dynamokv.storage.lsm.whole_files import copy_file, create_file

_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})
"""Another file system, or one that has no hard links: then tables are copied."""


def write_checkpoint(
    store: Store, growing: LogPart, directory: Path, salt: Callable[[], bytes]
) -> None:
    """Copy the present state. ``growing``: the log in use, synced.

    Raises:
        StorageError: the directory exists, or cannot be written. Then it is not to be used.
    """
    files = store.files
    try:
        if _exists(files, directory):
            raise StorageError(f"{directory} exists: a checkpoint needs a new directory")
        files.make_dir(directory)
        # The newest log first, and then older ones: half a checkpoint shows a gap.
        name = file_name(Kind.WAL, growing.number)
        copy_file(files, store.directory / name, directory / name, growing.size_bytes)
        # Under the lock nothing that the view refers to is deleted. Links take microseconds.
        with store.lock:
            view = store.view
            older = [part for memtable in reversed(view.frozen) for part in memtable.logs]
            for part in reversed(older + view.active.logs):
                _link(store, directory, Kind.WAL, part.number, part.size_bytes)
            for meta in view.tree.tables():
                _link(store, directory, Kind.TABLE, meta.number, meta.size_bytes)
        # No other log has a higher number than the one in use.
        number = 1 + max([growing.number, *(meta.number for meta in view.tree.tables())])
        tree = replace(view.tree, next_number=number + 1)
        path = directory / file_name(Kind.MANIFEST, number)
        create_file(files, path, manifest_pieces(tree, salt())).close()
        files.sync_dir(directory)
        set_current(files, directory, number)
    except OSError as error:
        raise storage_error(f"cannot write a checkpoint to {directory}", error) from error


def _link(store: Store, directory: Path, kind: Kind, number: int, size_bytes: int) -> None:
    source, target = store.folder.path(kind, number), directory / file_name(kind, number)
    try:
        store.files.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy_file(store.files, source, target, size_bytes)


def _exists(files: FileSystem, directory: Path) -> bool:
    try:
        files.list_dir(directory)
    except FileNotFoundError:
        return False
    return True
