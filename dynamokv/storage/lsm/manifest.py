"""The manifest on disk: the tree as a log of edits, and which log of edits is in use.

Knows: how an edit becomes durable. Must not know: why the tree changes, what is in a table.

Invariants:

- A manifest begins with a whole tree. ``CURRENT`` names one that is complete and synced.
- An edit is durable before ``append`` returns. Only then may anybody delete what it removed.
- Room for edits is kept in ``RESERVE``, so that a full disk does not stop the merges that free it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from dynamokv.errors import DiskFull
from dynamokv.limits import KiB, MiB
from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.framing import (
    FileKind,
    RecordType,
    encode_header,
    encode_record,
    salt_seed,
)
from dynamokv.storage.lsm.manifest_codec import encode_edit
from dynamokv.storage.lsm.names import CURRENT, RESERVE, Kind, file_name
from dynamokv.storage.lsm.record_writer import FULL, RecordWriter
from dynamokv.storage.lsm.tree import Edit, Tree
from dynamokv.storage.lsm.whole_files import create_file, write_file

MANIFEST_BYTES_MAX: Final = 4 * MiB
"""Above this, and above twice the size of the tree, the manifest is written anew."""

RESERVE_BYTES: Final = 256 * KiB
"""Room for some thousand edits."""

_logger = logging.getLogger("dynamokv.storage")


class Manifest:
    """The manifest of an open store. Calls come one at a time."""

    def __init__(
        self,
        files: FileSystem,
        directory: Path,
        salt: Callable[[], bytes],
        bytes_max: int = MANIFEST_BYTES_MAX,
    ) -> None:
        self._files = files
        self._directory = directory
        self._salt = salt
        self._bytes_max = bytes_max
        self._rewrite_above = bytes_max
        self._has_reserve = False
        self.writer = RecordWriter(directory, RecordType.EDIT)

    def go_on_in(self, number: int, salt: bytes, size_bytes: int, sequence: int) -> None:
        """Append to the manifest that an opening found, behind its last good record.

        Raises:
            OSError: as the disk says.
        """
        path = self._directory / file_name(Kind.MANIFEST, number)
        file = self._files.open_append(path)
        self.writer.go_on_in(file, number, salt, size_bytes, sequence)
        if file.size() > size_bytes:
            file.truncate(size_bytes)
        # Also without a cut: a killed process may have left edits in the kernel's memory only.
        file.sync()
        self._files.sync_dir(self._directory)
        self._rewrite_above = max(self._bytes_max, 2 * size_bytes)

    def begin(self, number: int, tree: Tree) -> None:
        """Go on in a new manifest that says all of this tree.

        Raises:
            OSError: the earlier one goes on, if there is one.
            StorageError: which one is in use, nobody knows. The store has to be reopened.
        """
        salt = self._salt()
        pieces = manifest_pieces(tree, salt)
        path = self._directory / file_name(Kind.MANIFEST, number)
        file = create_file(self._files, path, pieces)
        try:
            self._files.sync_dir(self._directory)
            set_current(self._files, self._directory, number)
        except OSError as error:
            file.close()
            if self._may_name(number):
                raise self.writer.fail("making a manifest the current one", error) from error
            with suppress(OSError):  # an older tree must not look like the newest
                self._files.remove(path)
            raise
        except BaseException:
            file.close()
            raise
        earlier = self.writer.number
        size_bytes = sum(map(len, pieces))
        self.writer.go_on_in(file, number, salt, size_bytes, 1)
        self._rewrite_above = max(self._bytes_max, 2 * size_bytes)
        if earlier:
            with suppress(OSError):  # the next opening deletes it
                self._files.remove(self._directory / file_name(Kind.MANIFEST, earlier))

    def _may_name(self, number: int) -> bool:
        """A rename may have happened although it reported an error (facebook/rocksdb#8192)."""
        try:
            current = self._files.read(self._directory / CURRENT)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return current == current_text(number)

    @property
    def wants_rewrite(self) -> bool:
        """Whether it is time for ``begin``."""
        return self.writer.size_bytes > self._rewrite_above

    def append(self, edit: Edit) -> None:
        """Make an edit durable.

        Raises:
            DiskFull: it was not made, and there was no room in reserve either.
            StorageError: whether it is on the disk, nobody knows. The store has to be reopened.
        """
        payload = encode_edit(edit)
        try:
            self.writer.append(payload)
        except DiskFull:
            if not self.spend_reserve():
                raise
            self.writer.append(payload)
        self.writer.sync()

    def keep_reserve(self) -> None:
        """Have room in reserve again, when the disk has it. Never raises."""
        if self._has_reserve:
            return
        try:
            if RESERVE not in self._files.list_dir(self._directory):
                write_file(self._files, self._directory / RESERVE, [bytes(RESERVE_BYTES)])
            self._has_reserve = True
        except OSError as error:
            if error.errno not in FULL:
                _logger.warning("%s: no space kept in reserve: %s", self._directory, error)

    def spend_reserve(self) -> bool:
        """Make room with the reserve; False when it is spent already."""
        self._has_reserve = False
        try:
            self._files.remove(self._directory / RESERVE)
        except OSError:
            return False
        _logger.warning("%s: the disk is full, using the reserve", self._directory)
        return True

    def close(self) -> None:
        """Let go of the file."""
        self.writer.close()


def manifest_pieces(tree: Tree, salt: bytes) -> list[bytes]:
    """A whole manifest that says this tree: header, and one record numbered 0."""
    payload = encode_edit(tree.as_edit())
    record = encode_record(salt_seed(salt), RecordType.EDIT, 0, payload)
    return [encode_header(FileKind.MANIFEST, salt, 0), record]


def set_current(files: FileSystem, directory: Path, number: int) -> None:
    """Make a manifest the one in use, durably."""
    write_file(files, directory / CURRENT, [current_text(number)])


def current_text(number: int) -> bytes:
    """What ``CURRENT`` holds."""
    return file_name(Kind.MANIFEST, number).encode() + b"\n"
