"""The tables that one task makes.

Knows: their temporary names, and when one is full. Must not know: where the rows are from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dynamokv.ports import FileSystem, Row
from dynamokv.storage.lsm.builder import TableBuilder
from dynamokv.storage.lsm.jobs import Task
from dynamokv.storage.lsm.names import build_name, build_prefix
from dynamokv.storage.lsm.tree import TableMeta

ROWS_AT_ONCE: Final = 256
"""Between two looks at the size of a table that has a limit."""

ROWS_UNWATCHED: Final = 4096
"""The same without a limit: as many as make the calls cheap, and no second copy of a memtable."""


class NewTables:
    """As many as the rows need; none for no rows.

    Args:
        inputs: tables whose rows they take over.
        sequences: of the oldest and the newest batch that a row can be from.
        table_bytes: begin another table at this size; 0: never.

    Raises, on every call but ``abandon``:
        CorruptionError: a table was not on the disk as it was written.
        OSError: the disk failed.
    """

    def __init__(
        self,
        files: FileSystem,
        directory: Path,
        task: Task,
        salt: Callable[[], bytes],
        inputs: Sequence[TableMeta],
        sequences: tuple[int, int],
        table_bytes: int,
    ) -> None:
        self._files = files
        self._directory = directory
        self._task = task
        self._salt = salt
        self._inputs = tuple(table.number for table in inputs)
        self._sequences = sequences
        self._table_bytes = table_bytes
        self._builder: TableBuilder | None = None
        self._finished: list[TableMeta] = []

    def add(self, rows: Sequence[Row]) -> None:
        """The next rows, in order."""
        size = ROWS_AT_ONCE if self._table_bytes else ROWS_UNWATCHED
        for start in range(0, len(rows), size):
            builder = self._builder = self._builder or self._begin()
            builder.add(rows[start : start + size])
            if self._table_bytes and builder.size_bytes >= self._table_bytes:
                self._end()

    def finish(self) -> tuple[TableMeta, ...]:
        """All of them, on the disk and verified."""
        self._end()
        return tuple(self._finished)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._builder is not None:
            self._builder.abandon()
        remove_unfinished(self._files, self._directory, self._task.tag)

    def _begin(self) -> TableBuilder:
        oldest, newest = self._sequences
        return TableBuilder(
            self._files,
            self._directory / build_name(self._task.tag, len(self._finished)),
            self._task.format,
            salt=self._salt(),
            inputs=self._inputs,
            first_sequence=oldest,
            last_sequence=newest,
        )

    def _end(self) -> None:
        if self._builder is not None:
            self._finished.append(self._builder.finish())
            self._builder = None


def remove_unfinished(files: FileSystem, directory: Path, tag: str) -> None:
    """Delete what a task with this tag made. Whoever opens the store next deletes what cannot be
    deleted now."""
    with suppress(OSError):
        for name in files.list_dir(directory):
            if name.startswith(build_prefix(tag)):
                files.remove(directory / name)
