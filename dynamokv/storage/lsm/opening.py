"""Opening a directory: from whatever is there to a store that can be used.

Knows: what the files have to add up to, and the order of steps that repairs them. Must not know:
how a manifest, a log or a table is read.

- Reading comes first, all of it; an opening that refuses has changed nothing.
- The rows of the logs go into a new table, a new manifest refers to it, and only then are the old
  files deleted, and damaged ones set aside. A crash in between begins again from the same files.
- That there is less than there was stands in the manifest before that which shows it goes: whoever
  opened the store may end before it has taken that in, and is told again.
- Nothing that was read is appended to. After a failed sync the kernel shows what the disk does not
  have (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020), and a
  second sync of it says yes: what is to be durable is written anew.
- Only where the disk is too full for a table, the store goes on in its log, so that it can be read,
  and the first write that there is room for says what is missing, and cuts the log.
- No damage keeps a store from opening. A disk that is too full to repair it does, a lock, a newer
  version, the store of something else, and what the disk says that may pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dynamokv.errors import DiskFull, StorageError
from dynamokv.storage.lsm.faults import Fault
from dynamokv.storage.lsm.jobs import Built, Failed, Flush, Outcome, Salvage, Task, format_for
from dynamokv.storage.lsm.journal import Journal
from dynamokv.storage.lsm.log_recovery import FoundLogs, recover_logs
from dynamokv.storage.lsm.manifest_recovery import NO_CURRENT, FoundManifest, recover_manifest
from dynamokv.storage.lsm.memtable import Memtable
from dynamokv.storage.lsm.names import (
    CURRENT,
    DAMAGED,
    TEMPORARY,
    Kind,
    file_name,
    is_ours,
    parse_name,
)
from dynamokv.storage.lsm.orphans import Orphan, adopt, describe
from dynamokv.storage.lsm.quarantine import without_known
from dynamokv.storage.lsm.record_writer import FULL
from dynamokv.storage.lsm.store import Store, level_of
from dynamokv.storage.lsm.table import Table, TableDamaged
from dynamokv.storage.lsm.tree import Edit, Lost, TableMeta, Tree, heal_written
from dynamokv.storage.lsm.work import run, write_memtable

FAULTS_LOGGED_MAX: Final = 20
"""Faults of one opening that get a line each: a file can hold millions, and the first ones tell."""

_logger = logging.getLogger("dynamokv.storage")


class Opening:
    """One opening of a store.

    Attributes:
        forgot: acknowledged writes may be missing.
        bytes_cut: off the tail of the log.
        files_damaged: how many files were not as they should be.
        set_aside: names of damaged files, also of earlier openings.
    """

    def __init__(self, store: Store, journal: Journal, salt: Callable[[], bytes]) -> None:
        self._store = store
        self._folder = store.folder
        self._files = store.files
        self._directory = store.directory
        self._journal = journal
        self._log = journal.writer
        self._salt = salt
        self._names: list[str] = []
        self.forgot = False
        self._lost_before = 0
        self._told_before = False
        self.bytes_cut = 0
        self.files_damaged = 0
        self.set_aside: tuple[str, ...] = ()

    def run(self) -> None:
        """Read, repair where needed, and begin.

        Raises:
            CorruptionError: a file is of a newer version.
            DiskFull, StorageError, OSError: as the disk says.
        """
        self._names = self._files.list_dir(self._directory)
        self._refuse_foreign()
        manifest = recover_manifest(self._files, self._directory, self._names)
        tree = manifest.tree
        there = self._numbers(Kind.TABLE)
        log_numbers = [n for n in self._numbers(Kind.WAL) if n >= tree.log_number]
        logs = recover_logs(self._files, self._directory, log_numbers, tree.sequence)
        faults = [*manifest.faults, *logs.faults]
        if manifest.number and not log_numbers:
            faults.append(Fault(file_name(Kind.WAL, tree.log_number), 0, "it is missing"))
        if there and not manifest.number:
            faults.append(Fault(CURRENT, 0, "there are tables, and no manifest"))
        elif logs.rows and not manifest.number:
            # A store has its manifest before its first row; a checkpoint gets it last.
            faults.append(Fault(CURRENT, 0, "there are rows in the logs, and no manifest"))
        if faults == [NO_CURRENT] and not (there or tree.tables() or logs.rows):
            # The manifest is older than the first row: a first opening that came to no end.
            faults.clear()
        self._folder.next_number = max(tree.next_number, 1 + max(self._all_numbers(), default=0))
        missing = [meta for meta in tree.tables() if meta.number not in there]
        if faults or missing:
            tree = self._adopt_orphans(manifest, there, faults)
            missing = [meta for meta in tree.tables() if meta.number not in there]
        tables, damaged = self._open_tables(tree, {meta.number for meta in missing})
        self.bytes_cut = logs.cut_bytes
        self.files_damaged = len({fault.file for fault in faults}) + len(missing) + len(damaged)
        self._lost_before = len(tree.lost)
        self._told_before = tree.forgot
        self.forgot = bool(self.files_damaged or logs.cut_bytes or tree.lost or tree.forgot)
        if not (tables or damaged or logs.rows) and any(fault.unreadable for fault in faults):
            raise self._nothing_read(faults)
        self._report(faults, missing, damaged, logs)
        # What is lost comes first: the rows of the logs are newer, and heal what they are about.
        for error in damaged:
            tree = self._salvage(tree, tables, error)
        for meta in missing:
            name = file_name(Kind.TABLE, meta.number)
            lost = [Lost(name, meta.first_key, meta.last_key + b"\0", "it is missing")]
            unknown = without_known(lost, tree, meta.number, tables)
            tree = tree.apply(Edit(removed=(meta.number,), lost=tuple(unknown)))
        # A file that an earlier opening missed, and that was put back, is evidence as well.
        kept = {lost.file for lost in tree.lost} & set(self._names)
        try:
            tree = self._flush(tree, tables, logs)
        except DiskFull:
            if self.files_damaged or not manifest.number:
                raise
            self._go_on(tree, tables, manifest, logs)
        else:
            self._begin_anew(tree, tables, logs)
            names = {fault.file for fault in faults} | {error.file for error in damaged}
            kept = self._folder.set_aside(sorted((names | kept) - {CURRENT}))
        names_now = self._files.list_dir(self._directory)
        self.set_aside = tuple(name for name in names_now if name.endswith(DAMAGED))
        self._clean(self._store.view.tree, kept)
        self._store.manifest.keep_reserve()

    # Reading.

    def _nothing_read(self, faults: list[Fault]) -> StorageError:
        """A disk that gives nothing may be one that works again in a minute. To go on would be to
        set everything aside, and to begin an empty store in its place."""
        told = "; ".join(f"{fault.file}: {fault.reason}" for fault in faults[:FAULTS_LOGGED_MAX])
        return StorageError(
            f"nothing of the store in {self._directory} can be read ({told}), and nothing was "
            "changed: open it again when the disk works, or restore it from a copy"
        )

    def _refuse_foreign(self) -> None:
        """Others have a file of this name too, LevelDB and RocksDB among them."""
        if CURRENT in self._names and not any(map(parse_name, self._names)):
            raise StorageError(
                f"{self._directory} holds a store of something else: give this one a directory of "
                "its own"
            )

    def _numbers(self, kind: Kind) -> list[int]:
        parsed = map(parse_name, self._names)
        return sorted(found[1] for found in parsed if found and found[0] is kind)

    def _all_numbers(self) -> list[int]:
        """Also of files that were set aside or never finished: no number is used twice."""
        stems = (name.removesuffix(TEMPORARY).removesuffix(DAMAGED) for name in self._names)
        return [found[1] for found in map(parse_name, stems) if found]

    def _adopt_orphans(
        self, manifest: FoundManifest, there: list[int], faults: list[Fault]
    ) -> Tree:
        """The tree with tables that lost edits may have been about; what that shows to be damaged
        is added to the faults."""
        known = {meta.number for meta in manifest.tree.tables()}
        orphans: list[Orphan] = []
        for number in there:
            if number in known or not manifest.could_have_had(number):
                continue
            orphan = describe(self._files, self._directory, number)
            if orphan is None:
                name = file_name(Kind.TABLE, number)
                faults.append(Fault(name, 0, "no manifest has it, and it cannot be read"))
            else:
                orphans.append(orphan)
        tree, replaced = adopt(manifest.tree, orphans, set(there))
        if replaced and not manifest.faults:
            name = file_name(Kind.MANIFEST, manifest.number)
            faults.append(Fault(name, manifest.size_bytes, "edits at its end are lost"))
        return tree

    def _open_tables(
        self, tree: Tree, missing: set[int]
    ) -> tuple[dict[int, Table], list[TableDamaged]]:
        tables: dict[int, Table] = {}
        damaged: list[TableDamaged] = []
        for meta in tree.tables():
            if meta.number in missing:
                continue
            try:
                tables[meta.number] = self._store.open_table(meta)
            except TableDamaged as error:
                damaged.append(error)
        return tables, damaged

    def _report(
        self,
        faults: list[Fault],
        missing: list[TableMeta],
        damaged: list[TableDamaged],
        logs: FoundLogs,
    ) -> None:
        lines = [f"{x.file} is damaged at offset {x.offset}: {x.reason}" for x in faults]
        lines += [
            f"{file_name(Kind.TABLE, meta.number)} is missing: rows from {meta.first_key!r} to "
            f"{meta.last_key!r} are lost"
            for meta in missing
        ]
        lines += [f"{error.file} is damaged: {error.reason}" for error in damaged]
        if logs.cut_bytes:
            lines.append(
                f"{logs.cut_bytes} bytes at the end of the log are no record: a write that a crash "
                "interrupted"
            )
        if self._lost_before:
            lines.append(
                f"{self._lost_before} ranges of keys are quarantined since an earlier opening"
            )
        if self._told_before:
            lines.append("an earlier opening found less than there was, and nobody took that in")
        for line in lines[:FAULTS_LOGGED_MAX]:
            _logger.warning("%s: %s", self._directory, line)
        if len(lines) > FAULTS_LOGGED_MAX:
            _logger.warning("%s: %d faults in all", self._directory, len(lines))
        if faults or missing or damaged:
            _logger.error(
                "%s: acknowledged writes may be missing here; other members may have them",
                self._directory,
            )

    # Writing.

    def _flush(self, tree: Tree, tables: dict[int, Table], logs: FoundLogs) -> Tree:
        """The tree with a table of what the logs hold."""
        if not logs.rows:
            return tree
        task = self._task(Flush(()))
        tree = tree.apply(heal_written(tree, Memtable(logs.rows)))
        outcome = write_memtable(
            task,
            self._files,
            self._directory,
            logs.rows,
            tree.sequence,
            logs.sequence,
            self._salt,
        )
        return self._add(tree, tables, 0, outcome, task.tag)

    def _begin_anew(self, tree: Tree, tables: dict[int, Table], logs: FoundLogs) -> None:
        """A new log, and a new manifest that says what there is."""
        # Above all that there is, also where the logs are lost: what is written from here on is
        # newer than any table.
        sequences = [meta.last_sequence + 1 for meta in tree.tables()]
        self._log.sequence = max([logs.sequence, *sequences])
        self._begin_log(tree.sequence)
        edit = Edit(log_number=self._log.number, sequence=self._log.sequence, forgot=self.forgot)
        tree = tree.apply(edit)
        number = self._folder.take_number()
        tree = replace(tree, next_number=self._folder.next_number)
        self._with_reserve(lambda: self._store.manifest.begin(number, tree))
        self._store.begin(tree, tables, Memtable())

    def _go_on(
        self, tree: Tree, tables: dict[int, Table], manifest: FoundManifest, logs: FoundLogs
    ) -> None:
        """On a full disk: append to the log and the manifest that were found, behind their last
        good records. A torn tail is all that says on the disk that something is missing, and to say
        it elsewhere takes room: the tail stays until then (``Pressure.make_room``)."""
        active = Memtable(logs.rows)
        *active.logs, last = logs.logs
        self._store.manifest.go_on_in(
            manifest.number, manifest.salt, manifest.size_bytes, manifest.sequence
        )
        self._journal.go_on(last, logs.last_salt, torn=logs.cut_bytes > 0)
        self._store.begin(tree.apply(Edit(forgot=self.forgot)), tables, active)

    def _begin_log(self, proven: int) -> None:
        """What was read of the logs is not proven: after a failed sync it may be in the kernel's
        memory only, and a power cut before there is a new manifest would make it look damaged."""
        number = self._folder.take_number()
        self._with_reserve(lambda: self._journal.begin(number, proven))

    def _with_reserve(self, write: Callable[[], None]) -> None:
        """Write a small file, also on a full disk."""
        try:
            write()
        except OSError as error:
            if error.errno not in FULL or not self._store.manifest.spend_reserve():
                raise
            write()

    def _salvage(self, tree: Tree, tables: dict[int, Table], error: TableDamaged) -> Tree:
        """The tree with what is readable of a table in its place."""
        level = level_of(tree, error.number)
        assert level is not None
        meta = next(meta for meta in tree.levels[level] if meta.number == error.number)
        task = self._task(Salvage(meta))
        outcome = run(task, self._files, self._directory, self._salt)
        if isinstance(outcome, Built):
            unknown = without_known(outcome.lost, tree, error.number, tables)
            tree = tree.apply(Edit(removed=(error.number,), lost=tuple(unknown)))
        return self._add(tree, tables, level, outcome, task.tag)

    def _task(self, job: Flush | Salvage) -> Task:
        return Task(job, self._salt().hex(), format_for(job, self._store.options), 0)

    def _add(
        self, tree: Tree, tables: dict[int, Table], level: int, outcome: Outcome, tag: str
    ) -> Tree:
        """Give finished tables their names and their place."""
        if isinstance(outcome, Failed):
            kind = DiskFull if outcome.full else StorageError
            raise kind(f"the store cannot be repaired: {outcome.reason}")
        assert isinstance(outcome, Built), outcome
        for meta in self._folder.adopt(tag, outcome.tables):
            tree = tree.apply(Edit(added=((level, meta),)))
            tables[meta.number] = self._store.open_table(meta)
        return tree

    def _clean(self, tree: Tree, keep: set[str]) -> None:
        """Delete what no manifest refers to and what was never finished."""
        keep |= {file_name(Kind.TABLE, meta.number) for meta in tree.tables()}
        keep.add(file_name(Kind.MANIFEST, self._store.manifest.writer.number))
        keep.update(file_name(Kind.WAL, part.number) for part in self._store.view.active.logs)
        keep.add(file_name(Kind.WAL, self._log.number))
        for name in self._files.list_dir(self._directory):
            if is_ours(name) and name not in keep:
                try:
                    self._files.remove(self._directory / name)
                except OSError as error:
                    _logger.warning("%s cannot be deleted: %s", self._directory / name, error)
