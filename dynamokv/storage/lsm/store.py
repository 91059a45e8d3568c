"""The state of an open store, and every step from one state to the next.

Knows: the tree on disk, the view in memory, and the order of steps that keeps both true. Must not
know: when a step is due (``chores``), how the log is written (``journal``).

Invariants:

- A table has its final name, and directory and manifest are synced, before a view shows it. Only
  after that is anything deleted that it replaces.
- The row cache never holds a value older than the newest: a reader may add to it only what it found
  in the view that is current, and a memtable's keys are brought up to date in the cache after no
  reader can see a view without them, and before its table takes its place.
- Once the manifest has failed, nothing changes any more until the store is reopened.

One lock orders the steps; readers take it only to add to the row cache.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dynamokv.errors import CorruptionError, DiskFull, StorageError
from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.cache import BlockCache, Cache, RowCache
from dynamokv.storage.lsm.folder import Folder
from dynamokv.storage.lsm.jobs import LogPart, Merge
from dynamokv.storage.lsm.manifest import Manifest
from dynamokv.storage.lsm.memtable import Memtable
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.storage.lsm.quarantine import without_known
from dynamokv.storage.lsm.record_writer import storage_error
from dynamokv.storage.lsm.table import Table
from dynamokv.storage.lsm.tree import (
    Edit,
    Lost,
    Range,
    TableMeta,
    Tree,
    heal,
    heal_written,
    without,
)
from dynamokv.storage.lsm.view import View

INDEX_ENTRY_BYTES: Final = 100
"""Memory of a block's entry in the index of an open table, its key included."""

CACHE_SHARE_MIN: Final = 8
"""Indexes and filters come off the cache, down to one of so many parts of it."""

_logger = logging.getLogger("dynamokv.storage")


class Store:
    """Tables, memtables, caches and the manifest of one directory.

    Attributes:
        folder: names its files.
        view: the present state. Read it once, then use what you read.
        failure: why nothing changes any more, or ``None``.
    """

    def __init__(
        self, files: FileSystem, directory: Path, options: LSMOptions, manifest: Manifest
    ) -> None:
        self.files = files
        self.directory = directory
        self.folder = Folder(files, directory)
        self.options = options
        self.manifest = manifest
        self.rows: RowCache = Cache(options.cache_bytes // 2)
        self.blocks: BlockCache = Cache(options.cache_bytes // 2)
        self.lock = threading.Lock()
        self.failure: str | None = None
        self.failed: Callable[[str], object] = lambda reason: None
        """Called once with the reason when the manifest can no longer be trusted."""
        self._merging_drops: list[Range] = []
        self.view = View(Memtable(), (), Tree(), {})

    # Opening.

    def begin(self, tree: Tree, tables: dict[int, Table], active: Memtable) -> None:
        """Take over what an opening found."""
        self.view = View(active, (), tree, tables)
        self._share_memory(tree)

    def open_table(self, meta: TableMeta) -> Table:
        """Raises ``TableDamaged``."""
        path = self.folder.path(Kind.TABLE, meta.number)
        return Table(self.files, path, meta, blocks=self.blocks)

    # Steps.

    def freeze(self, part: LogPart) -> None:
        """Begin a new memtable; the present one, whose last log is complete with this part, waits
        to become a table."""
        with self.lock:
            view = self.view
            view.active.logs.append(part)
            self.view = View(Memtable(), (view.active, *view.frozen), view.tree, view.tables)

    def install_flush(self, memtable: Memtable, tag: str, built: Sequence[TableMeta]) -> None:
        """The oldest frozen memtable has become a table, or nothing when it had no rows.

        Raises:
            DiskFull: nothing has changed.
            StorageError: the manifest failed.
        """
        last = memtable.logs[-1]
        self._refresh_cached(memtable)
        with self.lock:
            added = self.folder.adopt(tag, built)
            edit = replace(
                heal_written(self.view.tree, memtable),
                added=tuple((0, meta) for meta in added),
                log_number=last.number + 1,
                sequence=last.end_sequence,
            )
            assert self.view.frozen[-1] is memtable
            self._install(edit, self.view.frozen[:-1])
        self.folder.remove([self.folder.path(Kind.WAL, part.number) for part in memtable.logs])

    def begin_merge(self) -> Tree:
        """The tree to choose a merge from. Whatever is dropped from here on counts for the merge as
        well, until another one begins."""
        with self.lock:
            self._merging_drops.clear()
            return self.view.tree

    def install_merge(self, merge: Merge, tag: str, built: Sequence[TableMeta]) -> None:
        """Tables take the place of those that they were merged from. Raises as above."""
        inputs = {meta.number for run in merge.runs for meta in run}
        with self.lock:
            known = {meta.number for meta in self.view.tree.tables()}
            late = tuple(self._merging_drops)
            added = [
                replace(meta, dropped=(*meta.dropped, *late))
                for meta in self.folder.adopt(tag, built)
            ]
            edit = Edit(
                removed=tuple(sorted(inputs & known)),
                added=tuple((merge.level, meta) for meta in added),
            )
            self._install(edit, self.view.frozen)
        self.folder.remove([self.folder.path(Kind.TABLE, number) for number in inputs & known])

    def install_salvage(
        self, table: TableMeta, tag: str, built: Sequence[TableMeta], lost: Sequence[Lost]
    ) -> None:
        """What was readable takes the place of a damaged table, which is set aside. As above."""
        with self.lock:
            level = level_of(self.view.tree, table.number)
            if level is None:
                self.folder.discard(tag, len(built))
                return
            added = self.folder.adopt(tag, built)
            late = tuple(self._merging_drops)
            lost = without_known(lost, self.view.tree, table.number, self.view.tables)
            edit = Edit(
                removed=(table.number,),
                added=tuple(
                    (level, replace(meta, dropped=(*meta.dropped, *late))) for meta in added
                ),
                lost=tuple(without(lost, late)),
            )
            self._install(edit, self.view.frozen)
        self.folder.set_aside([file_name(Kind.TABLE, table.number)])

    def install_move(self, move: Edit) -> None:
        """Tables go to another level as they are now: what was dropped since the move was chosen
        stays dropped. Raises as above."""
        with self.lock:
            now = {meta.number: meta for meta in self.view.tree.tables()}
            there = [(level, meta.number) for level, meta in move.added if meta.number in now]
            edit = Edit(
                removed=tuple(number for _, number in there),
                added=tuple((level, now[number]) for level, number in there),
            )
            if there:
                self._install(edit, self.view.frozen)

    def heal(self, back: Sequence[Lost]) -> None:
        """These pieces of what an earlier view had in quarantine are so no longer; what has been
        lost since stays. Raises as above."""
        with self.lock:
            edit = heal(self.view.tree, back)
            if edit.healed:
                self._install(edit, self.view.frozen)

    def remind(self, forgot: bool) -> None:
        """Whether the next opening is to tell that this one found less than there was, if it did.
        Raises as above."""
        with self.lock:
            if self.view.tree.forgot:
                self._install(Edit(forgot=forgot), self.view.frozen)

    def drop(self, start: bytes, end: bytes) -> None:
        """Tables no longer show keys with start <= key < end. Raises as above."""
        with self.lock:
            removed: list[int] = []
            added: list[tuple[int, TableMeta]] = []
            gone: list[int] = []
            for level, tables in enumerate(self.view.tree.levels):
                for meta in tables:
                    if meta.first_key >= end or meta.last_key < start:
                        continue
                    if any(a <= start and end <= b for a, b in meta.dropped):
                        continue
                    removed.append(meta.number)
                    if start <= meta.first_key and meta.last_key < end:
                        gone.append(meta.number)
                    else:
                        others = [(a, b) for a, b in meta.dropped if a < start or b > end]
                        dropped = (*others, (start, end))
                        added.append((level, replace(meta, dropped=dropped)))
            healed = [
                (lost.start, lost.end)
                for lost in self.view.lost
                if start <= lost.start and lost.end <= end
            ]
            self._merging_drops.append((start, end))
            if removed or healed:
                self._install(
                    Edit(removed=tuple(removed), added=tuple(added), healed=tuple(healed)),
                    self.view.frozen,
                )
            self.rows.clear()
        self.folder.remove([self.folder.path(Kind.TABLE, number) for number in gone])

    def tidy_manifest(self) -> None:
        """Have room in reserve, and when the manifest has grown, begin a new one with the tree in
        one record. A failure is tried again later.

        Raises:
            StorageError: the manifest failed.
        """
        with self.lock:
            self.manifest.keep_reserve()
            if not self.manifest.wants_rewrite:
                return
            number = self.folder.take_number()
            tree = replace(self.view.tree, next_number=self.folder.next_number)
            try:
                self.manifest.begin(number, tree)
            except OSError as error:
                _logger.warning("%s: no new manifest: %s", self.directory, error)
            except StorageError as error:
                self._fail(error)
                raise

    def _install(self, edit: Edit, frozen: tuple[Memtable, ...]) -> None:
        """Make an edit durable, then visible. The lock is held."""
        view = self.view
        edit = replace(edit, next_number=self.folder.next_number)
        tree = view.tree.apply(edit)
        new = [meta.number for _, meta in edit.added if meta.number not in view.tables]
        try:
            tables = self._open_all(tree, view)
            self.manifest.append(edit)
        except (DiskFull, CorruptionError, OSError) as error:
            # Before StorageError, which two of them are: the edit was not made, so nothing refers
            # to them.
            self.folder.remove(self.folder.path(Kind.TABLE, number) for number in new)
            if isinstance(error, OSError):
                raise storage_error(f"cannot open a table in {self.directory}", error) from error
            raise
        except StorageError as error:
            self._fail(error)
            raise
        self.view = View(view.active, frozen, tree, tables)
        self._share_memory(tree)

    def _open_all(self, tree: Tree, view: View) -> dict[int, Table]:
        """The tables of a tree, those that are open already as they are."""
        tables: dict[int, Table] = {}
        for meta in tree.tables():
            known = view.tables.get(meta.number)
            if known is None or known.meta is not meta:
                known = self.open_table(meta)
                known.warm()
            tables[meta.number] = known
        return tables

    def _fail(self, error: StorageError) -> None:
        self.failure = f"the manifest failed: {self.manifest.writer.failure or error}"
        self.failed(self.failure)

    def _refresh_cached(self, memtable: Memtable) -> None:
        """A memtable hides the cache, and is about to go: what it holds is the newest now."""
        self.rows.refresh(memtable.rows)

    def remember(self, view: View, key: bytes, value: bytes) -> None:
        """Add to the row cache what was found in this view, unless it is no longer current. Not
        while a step is being made durable: a reader does not wait for the disk."""
        if self.lock.acquire(blocking=False):
            try:
                if self.view is view:
                    self.rows.put(key, value)
            finally:
                self.lock.release()

    def _share_memory(self, tree: Tree) -> None:
        """Indexes and filters of open tables count as cache."""
        options = self.options
        metadata = sum(
            meta.rows * options.bloom_bits // 8
            + meta.size_bytes // options.block_bytes * INDEX_ENTRY_BYTES
            for meta in tree.tables()
        )
        half = options.cache_bytes // 2
        self.blocks.resize(max(half - metadata, half // CACHE_SHARE_MIN))
        self.rows.resize(max(half - max(metadata - half, 0), half // CACHE_SHARE_MIN))

    def close(self) -> None:
        """Let go of the tables. Scans under way hold those that they need until they end."""
        with self.lock:
            self.view = View(Memtable(), (), Tree(), {})
            self.rows.clear()
            self.blocks.clear()


def level_of(tree: Tree, number: int) -> int | None:
    """Where a table is, if it is."""
    for level, tables in enumerate(tree.levels):
        if any(meta.number == number for meta in tables):
            return level
    return None
