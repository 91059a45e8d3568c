"""The numbered files of one directory: how they get their numbers and names, and how they go.

Knows: names. Must not know: what the files are for, when one is superfluous.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.names import DAMAGED, Kind, build_name, file_name
from dynamokv.storage.lsm.record_writer import storage_error
from dynamokv.storage.lsm.tree import TableMeta

_logger = logging.getLogger("dynamokv.storage")


class Folder:
    """A store's directory.

    Attributes:
        next_number: that no file has.
        removal_failures: files that could not be deleted.
    """

    def __init__(self, files: FileSystem, directory: Path) -> None:
        self.files = files
        self.directory = directory
        self.next_number = 1
        self.removal_failures = 0
        self._lock = threading.Lock()

    def path(self, kind: Kind, number: int) -> Path:
        """Of a numbered file."""
        return self.directory / file_name(kind, number)

    def take_number(self) -> int:
        """A number that no file has, and none will get again."""
        with self._lock:
            number = self.next_number
            self.next_number += 1
            return number

    def adopt(self, tag: str, built: Sequence[TableMeta]) -> list[TableMeta]:
        """Give finished tables their numbers and names, durably.

        Raises:
            StorageError: none of them is there any more.
        """
        numbered: list[TableMeta] = []
        try:
            for index, meta in enumerate(built):
                numbered.append(replace(meta, number=self.take_number()))
                temporary = self.directory / build_name(tag, index)
                self.files.replace(temporary, self.path(Kind.TABLE, numbered[-1].number))
            if numbered:
                self.files.sync_dir(self.directory)
        except OSError as error:
            self.remove(self.path(Kind.TABLE, meta.number) for meta in numbered)
            self.discard(tag, len(built))
            raise storage_error(f"cannot name a table in {self.directory}", error) from error
        return numbered

    def remove(self, paths: Iterable[Path]) -> None:
        """Delete what nothing refers to. A file that stays costs space only, and the next opening
        tries again."""
        for path in paths:
            try:
                self.files.remove(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                self.removal_failures += 1
                _logger.warning("%s cannot be deleted: %s", path, error)

    def discard(self, tag: str, count: int) -> None:
        """Delete finished tables that nobody wants any more."""
        self.remove(self.directory / build_name(tag, index) for index in range(count))

    def set_aside(self, names: Iterable[str]) -> set[str]:
        """Keep damaged files for inspection, under a name that nothing reads. Those that are still
        there under their own names are returned."""
        kept: set[str] = set()
        for name in names:
            try:
                self.files.replace(self.directory / name, self.directory / (name + DAMAGED))
            except FileNotFoundError:
                pass
            except OSError as error:
                kept.add(name)
                self.removal_failures += 1
                _logger.warning("%s cannot be set aside: %s", self.directory / name, error)
        return kept
