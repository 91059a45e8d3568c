"""What a store does beside reading and writing: flushes, merges, salvage, scrubbing.

Knows: which chore is due, and what to do with its outcome. Must not know: how the files look, who
carries a task out (``perform``: a child process, or this one).

Rules:

- Flushes go oldest first, one at a time; so do merges. A flush never waits for a merge.
- What fails is tried again, later each time. Only a failed sync, or a failed manifest, ends it.
- A log that cannot be read back costs nothing while its memtable is here: that is used instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from dynamokv.errors import DiskFull, DynamoKVError
from dynamokv.storage.lsm.jobs import (
    Built,
    Damaged,
    Failed,
    Flush,
    Job,
    Merge,
    Outcome,
    Salvage,
    Scrub,
    Task,
    format_for,
)
from dynamokv.storage.lsm.memtable import Memtable
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.pick import pick
from dynamokv.storage.lsm.store import Store
from dynamokv.storage.lsm.tree import Edit, Lost, TableMeta, Tree
from dynamokv.storage.lsm.work import write_memtable

RETRY_SECONDS: Final = (0.1, 0.3, 1.0, 3.0)
"""After one failure, two, and so on."""

COUNTERS: Final = (
    "flushes",
    "flush_bytes",
    "merges",
    "merge_read_bytes",
    "merge_bytes",
    "moves",
    "salvages",
    "scrubs",
    "scrub_bytes",
    "job_failures",
)

LOST_LOGGED_MAX: Final = 10
"""Ranges of one table that get a line each."""

_logger = logging.getLogger("dynamokv.storage")


class Chores:
    """The chores of one store, one step at a time; ``background`` or the writer calls the steps.

    Attributes:
        closing: what fails from now on failed because of that.
        trouble: how the last flush, and the last merge, failed; nothing after one that did not.
        retry_at: not before this moment of ``clock`` is a failed flush or merge tried again.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        salt: Callable[[], bytes],
        perform_flush: Callable[[Task], Outcome],
        perform_merge: Callable[[Task], Outcome],
        stop: Callable[[str], object],
    ) -> None:
        self._store = store
        self._clock = clock
        self._salt = salt
        self._perform_flush = perform_flush
        self._perform_merge = perform_merge
        self._stop = stop
        self._lock = threading.Lock()
        self._damaged: dict[int, str] = {}
        self._verified: dict[int, float] = {}
        self._failures = {"flush": 0, "merge": 0}
        self.retry_at = {"flush": 0.0, "merge": 0.0}
        self.trouble: dict[str, Failed] = {}
        self.closing = False
        self.counters = dict.fromkeys(COUNTERS, 0)

    # Flushes.

    def flush_step(self) -> bool:
        """Make a table of the oldest waiting memtable. False when there is none, or it failed."""
        frozen = self._store.view.frozen
        if not frozen or self._store.failure is not None:
            return False
        memtable = frozen[-1]
        task = self._task(Flush(tuple(memtable.logs)))
        outcome = self._perform_flush(task)
        if isinstance(outcome, Damaged):
            _logger.warning("%s: %s", outcome.file, outcome.reason)
            outcome = self._flush_from_memory(memtable, task)
        if not isinstance(outcome, Built):
            self._failed("flush", outcome)
            return False
        try:
            self._store.install_flush(memtable, task.tag, outcome.tables)
        except DynamoKVError as error:
            self._failed("flush", Failed(str(error), full=isinstance(error, DiskFull)))
            return False
        self._succeeded("flush")
        self.counters["flushes"] += 1
        self.counters["flush_bytes"] += outcome.written_bytes
        return True

    def _flush_from_memory(self, memtable: Memtable, task: Task) -> Outcome:
        store = self._store
        return write_memtable(
            task,
            store.files,
            store.directory,
            memtable.rows,
            memtable.logs[0].first_sequence,
            memtable.logs[-1].end_sequence,
            self._salt,
        )

    # Everything else.

    def report_damage(self, number: int, reason: str) -> None:
        """A table turned out to be damaged: it will be replaced by what is readable in it."""
        with self._lock:
            if number in self._damaged:
                return
            self._damaged[number] = reason
        _logger.error("%s: %s", self._store.folder.path(Kind.TABLE, number), reason)

    def merge_step(self) -> bool:
        """Do one thing. False when there is nothing to do, or it failed."""
        if self._store.failure is not None:
            return False
        try:
            self._store.tidy_manifest()
            job = self._next_merge(self._store.begin_merge())
            if job is None:
                return False
            if isinstance(job, Edit):
                self._store.install_move(job)
                self.counters["moves"] += 1
                return True
            return self._carry_out(job)
        except DynamoKVError as error:
            self._failed("merge", Failed(str(error), full=isinstance(error, DiskFull)))
            return False

    def _next_merge(self, tree: Tree) -> Job | Edit | None:
        with self._lock:
            damaged = list(self._damaged)
        for number in damaged:
            meta = next((meta for meta in tree.tables() if meta.number == number), None)
            if meta is not None:
                return Salvage(meta)
            self._damaged.pop(number, None)
        options = self._store.options
        return pick(tree, options, frozenset(self._damaged)) or self._next_scrub(tree)

    def _next_scrub(self, tree: Tree) -> Scrub | None:
        period = self._store.options.scrub_seconds
        if not period:
            return None
        tables = tree.tables()
        now = self._clock()
        self._verified = {
            # Those that were there at the opening take their turns all over the period.
            meta.number: self._verified.get(meta.number, now - period * at / len(tables))
            for at, meta in enumerate(tables)
        }
        for meta in tables:
            if now - self._verified[meta.number] >= period:
                return Scrub(meta)
        return None

    def _carry_out(self, job: Job) -> bool:
        task = self._task(job)
        outcome = self._perform_merge(task)
        if isinstance(outcome, Failed):
            self._failed("merge", outcome)
            return False
        if isinstance(outcome, Damaged):
            # Never of a salvage: that makes do with what is there.
            self.report_damage(outcome.number, outcome.reason)
            return True
        if isinstance(job, Merge):
            self._store.install_merge(job, task.tag, outcome.tables)
            self.counters["merges"] += 1
            self.counters["merge_read_bytes"] += outcome.read_bytes
            self.counters["merge_bytes"] += outcome.written_bytes
        elif isinstance(job, Salvage):
            self._salvaged(job.table, task.tag, outcome)
        elif isinstance(job, Scrub):
            self._verified[job.table.number] = self._clock()
            self.counters["scrubs"] += 1
            self.counters["scrub_bytes"] += outcome.read_bytes
        self._succeeded("merge")
        return True

    def _salvaged(self, table: TableMeta, tag: str, outcome: Built) -> None:
        name = file_name(Kind.TABLE, table.number)
        lost = [Lost(name, x.start, x.end, x.reason) for x in outcome.lost]
        self._store.install_salvage(table, tag, outcome.tables, lost)
        self.counters["salvages"] += 1
        with self._lock:
            self._damaged.pop(table.number, None)
        for x in lost[:LOST_LOGGED_MAX]:
            _logger.error(
                "%s: %s: rows from %r to %r are lost here: %s",
                self._store.directory,
                x.file,
                x.start,
                x.end,
                x.reason,
            )
        if len(lost) > LOST_LOGGED_MAX:
            _logger.error("%s: %s: %d ranges are lost", self._store.directory, name, len(lost))

    def _task(self, job: Job) -> Task:
        options = self._store.options
        hurried = len(self._store.view.tree.levels[0]) >= 2 * options.merge_tables
        free = hurried or isinstance(job, Flush)
        rate = 0 if free else options.merge_bytes_per_second
        return Task(job, self._salt().hex(), format_for(job, options), rate)

    def _succeeded(self, kind: str) -> None:
        self._failures[kind] = 0
        self.retry_at[kind] = 0.0
        self.trouble.pop(kind, None)

    def _failed(self, kind: str, outcome: Outcome) -> None:
        assert isinstance(outcome, Failed), outcome
        if self.closing:
            return
        self.counters["job_failures"] += 1
        failures = self._failures[kind]
        self._failures[kind] = failures + 1
        pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
        self.retry_at[kind] = self._clock() + pause
        self.trouble[kind] = outcome
        if outcome.sync:
            self._stop(f"a sync failed in a {kind}: {outcome.reason}")
        elif failures == 0:
            _logger.warning("%s: a %s failed: %s", self._store.directory, kind, outcome.reason)
