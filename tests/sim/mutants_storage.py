"""Mutants of what a member's disk is trusted with: the way of writes, logs, tables, the manifest.

Each names the rule that its safeguard keeps.
"""

from __future__ import annotations

from typing import Final

from dynamokv.runtime.commit_queue import CommitQueue
from dynamokv.storage.lsm import framing, merge, pick, tree, whole_files
from dynamokv.storage.lsm.builder import TableBuilder
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.folder import Folder
from dynamokv.storage.lsm.journal import Journal
from dynamokv.storage.lsm.manifest import Manifest
from dynamokv.storage.lsm.opening import Opening
from dynamokv.storage.lsm.pressure import Pressure
from dynamokv.storage.lsm.record_writer import RecordWriter
from dynamokv.storage.lsm.store import Store
from tests.issues import test_lost_before_the_quarantine_ends
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.shown import shown_by

COMMITS: Final = (
    Mutant(
        "acknowledged before the fsync",
        "acks and visibility come after the fsync",
        (
            Edit(
                CommitQueue.commit,
                "lambda: self._apply(batch, sync=synced)",
                "lambda: self._apply(batch, sync=False)",
            ),
        ),
    ),
    Mutant(
        "released before it is applied",
        "what a write releases is released after its batch is applied",
        (
            Edit(
                CommitQueue.commit,
                "self._busy = True\n",
                "self._busy = True\n"
                "    self.release([each.then for each in batch if each.then is not None])\n"
                "    batch = [each._replace(then=None) for each in batch]\n",
            ),
        ),
    ),
    Mutant(
        "writes build on what is durable only",
        "a write builds on the newest record, also while that is on its way",
        (
            Edit(
                CommitQueue.newest,
                "found = self._newest.get(key)",
                "found = None",
            ),
        ),
    ),
    Mutant(
        "a finished write hides the one behind it",
        "the newest record of a key is the one that was decided last",
        (
            Edit(
                CommitQueue._done,
                "if newest.get(key) is (effect if record is None else record):",
                "if key in newest:",
            ),
        ),
    ),
    Mutant(
        "visible before it is on the disk",
        "a row is visible only after its record is on the disk",
        (
            Edit(
                LSMEngine.apply,
                "if sync:\n        log.sync()\n    self.store.view.active.apply(batch)",
                "self.store.view.active.apply(batch)\n    if sync:\n        log.sync()",
            ),
        ),
    ),
)

LOGS: Final = (
    Mutant(
        "the last record is taken for a torn one",
        "a record that is whole is replayed, also at the very end of its log",
        (Edit(framing._record_at, "if end > len(data)", "if end >= len(data)"),),
    ),
    Mutant(
        "the oldest log is not replayed",
        "the rows of every log count that is in no table yet",
        (Edit(Opening.run, "if n >= tree.log_number]", "if n > tree.log_number]"),),
    ),
    Mutant(
        "a new log's name is not synced",
        "a log has its name, durably, before its first record",
        (Edit(Journal.begin, "self._files.sync_dir(self._directory)", "pass"),),
    ),
    Mutant(
        "the old log is not synced before the next",
        "a log is begun only after the earlier one is synced",
        (Edit(Pressure._rotate, "self._writer.sync()", "pass"),),
    ),
    Mutant(
        "writes go on after a failed fsync",
        "a failed fsync is fail-stop: no retry, and no later write before a reopening",
        (
            Edit(
                RecordWriter.sync,
                'raise self.fail("a sync", error) from error',
                'raise storage_error("a sync failed", error) from error',
            ),
        ),
    ),
    Mutant(
        "a failed write stays in the log",
        "nothing is appended behind a failed write: it is cut off first",
        (Edit(RecordWriter.write, "self._cut_back(file, error)", "pass"),),
    ),
)

TABLES: Final = (
    Mutant(
        "a table is not synced",
        "a table is on the disk before the manifest refers to it",
        (Edit(TableBuilder.finish, "self._file.sync()", "pass"),),
    ),
    Mutant(
        "a table's name is not synced",
        "a table has its name, durably, before the manifest refers to it",
        (Edit(Folder.adopt, "self.files.sync_dir(self.directory)", "pass"),),
    ),
    Mutant(
        "an edit is not synced",
        "an edit of the manifest is durable before what it replaces is deleted",
        (Edit(Manifest.append, "self.writer.sync()", "pass"),),
    ),
    Mutant(
        "a whole file is not synced before its rename",
        "to replace a file: temporary, fsync, rename, fsync of the directory",
        (Edit(whole_files.create_file, "file.sync()", "pass"),),
    ),
    Mutant(
        "logs go before their table has its place",
        "a log is deleted only after the manifest's edit is durable",
        (
            Edit(
                Store.install_flush,
                "self._refresh_cached(memtable)",
                "self._refresh_cached(memtable)\n"
                "    self.folder.remove([self.folder.path(Kind.WAL, p.number) "
                "for p in memtable.logs])",
            ),
        ),
    ),
    Mutant(
        "the row cache keeps what a flush replaced",
        "the row cache never holds a value older than the newest",
        (Edit(Store._refresh_cached, "self.rows.refresh(memtable.rows)", "pass"),),
    ),
    Mutant(
        "the older row wins a merge",
        "of each key a merge keeps the newest row",
        (Edit(merge._newest, "reversed(filled)", "filled"),),
    ),
    Mutant(
        "a table leaves level 0 over an older one",
        "what leaves level 0 is its oldest part, wherever tables share keys",
        (
            Edit(
                pick._leave_level_0,
                "if len(overlapping(tree.levels[0], table.first_key, table.last_key)) == 1\n"
                "        and _moves_freely(tree, 0, table)",
                "if _moves_freely(tree, 0, table)",
            ),
        ),
    ),
)

QUARANTINES: Final = (
    Mutant(
        "a quarantine takes along what was lost while it ended",
        "what is found damaged after the end was decided stays in quarantine",
        (
            Edit(
                LSMEngine.heal,
                "self.store.heal(back)",
                "self.store.heal(within(self.store.view.lost, ranges))",
            ),
        ),
        trial=shown_by(
            test_lost_before_the_quarantine_ends.test_what_came_back_and_is_lost_again_stays
        ),
    ),
    Mutant(
        "a lost range is known by its ends only",
        "a range that is lost with another file, too, is lost",
        (Edit(tree._is_of, "piece.file == whole.file and ", ""),),
        trial=shown_by(
            test_lost_before_the_quarantine_ends.test_what_came_back_and_is_lost_again_stays
        ),
    ),
)

STORAGE: Final = (*COMMITS, *LOGS, *TABLES, *QUARANTINES)
