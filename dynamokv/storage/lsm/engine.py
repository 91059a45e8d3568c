"""The store behind the port: writes to the log and the memtable, reads from all of it.

Knows: the path of a write and of a read. Must not know: when a memtable is full (``pressure``), how
tables come about (``chores``), how the pieces are made one state (``store``), how a directory is
opened (``opening``).

A write is appended to the log, synced if asked, and then shown in the memtable. A read looks into
the memtable, those that wait to become tables, the row cache, and then the tables from new to old.

Invariants:

- A row is visible only after its record is in the log, and with ``sync`` on the disk.
- A write that is refused was not begun.

Threads: the port's, and three of its own (``background``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from dynamokv.errors import StorageError
from dynamokv.limits import MiB
from dynamokv.ports import FileSystem, Row, Stat
from dynamokv.storage.files import DirectoryLock, RealFiles
from dynamokv.storage.lsm.background import Background
from dynamokv.storage.lsm.batch import encode_batch
from dynamokv.storage.lsm.bloom import key_hash
from dynamokv.storage.lsm.checkpoint import write_checkpoint
from dynamokv.storage.lsm.chores import Chores
from dynamokv.storage.lsm.jobs import Outcome, Task, job_bytes
from dynamokv.storage.lsm.journal import Journal
from dynamokv.storage.lsm.manifest import Manifest
from dynamokv.storage.lsm.opening import Opening
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.storage.lsm.pressure import SYNC_AHEAD_BYTES, Pressure
from dynamokv.storage.lsm.record_writer import storage_error
from dynamokv.storage.lsm.row_record import encode_row_record
from dynamokv.storage.lsm.scanning import scan_view
from dynamokv.storage.lsm.statistics import statistics
from dynamokv.storage.lsm.store import Store
from dynamokv.storage.lsm.supervisor import Worker
from dynamokv.storage.lsm.table import MISSING, TableDamaged
from dynamokv.storage.lsm.tree import Range, within
from dynamokv.storage.lsm.view import View
from dynamokv.storage.lsm.work import random_salt, run

CHILD_BYTES_MIN: Final = 1 * MiB
"""A smaller job is done by a thread of this process: some ten milliseconds, where a process that
has to be started first takes a quarter of a second."""

NICENESS: Final = (5, 15)
"""Of the processes for flushes, which writers may wait for, and for merges, which nobody does."""

DROP_BATCH_ROWS: Final = 1000
"""Deletions that share one record of the log while a range is dropped."""


class Lock(Protocol):
    """What keeps other processes out of a directory."""

    def release(self) -> None:
        """Let them in."""


class LSMEngine:
    """``ports.StorageEngine``, ``ports.Quarantines`` and ``ports.Reminds``, over files in a
    directory, where other files may lie beside them.

    Args:
        directory: created when absent.
        options: sizes.
        files: the file system.
        salt: makes the 8 random bytes of each new file.
        lock: takes the directory.
        background: do the chores in threads and child processes; False does them within ``apply``,
            in this process, for tests and simulators.
        clock: seconds, for retries and scrubbing.

    Attributes:
        forgot: opening met damage or cut off bytes, so acknowledged writes may be missing; or an
            earlier one did, and nobody has ``taken_in`` that.
        set_aside: damaged files that this opening or an earlier one renamed.

    Raises:
        DataDirLocked: another engine has the directory.
        CorruptionError: a file is of a newer format version; nothing was changed.
        DiskFull, StorageError: the directory cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        options: LSMOptions | None = None,
        *,
        files: FileSystem | None = None,
        salt: Callable[[], bytes] = random_salt,
        lock: Callable[[Path], Lock] = DirectoryLock,
        background: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # A process may change its working directory, and a store must not go along.
        self.directory = directory = directory.absolute()
        self.options = options = LSMOptions() if options is None else options
        self._files: FileSystem = RealFiles() if files is None else files
        self._salt = salt
        self._lock: Lock | None = None
        self.journal = Journal(self._files, directory, salt)
        self.log = self.journal.writer
        self.manifest = Manifest(self._files, directory, salt)
        self.store = Store(self._files, directory, options, self.manifest)
        self.store.failed = self.log.stop
        self._cached = self.store.rows.get
        self._closed = False
        # A simulated disk exists in this process only, so its chores are done here as well.
        real = background and isinstance(self._files, RealFiles)
        self._workers = [Worker(directory, niceness=n) for n in NICENESS] if real else []
        flush, merge = map(self._performer, self._workers or (None, None))
        self.chores = Chores(
            self.store,
            clock=clock,
            salt=salt,
            perform_flush=flush,
            perform_merge=merge,
            stop=self.log.stop,
        )
        self._background = Background(self.chores, self._sync, clock) if background else None
        self.pressure = Pressure(self.store, self.journal, self.chores, self._background)
        try:
            self._files.make_dir(directory)
            self._lock = lock(directory)
            opening = Opening(self.store, self.journal, salt)
            opening.run()
            self.opened_at = self.log.sequence
            self.forgot = opening.forgot
            self.bytes_cut = opening.bytes_cut
            self.files_damaged = opening.files_damaged
            self.set_aside = opening.set_aside
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError):
                raise storage_error(f"cannot open {directory}", error) from error
            raise
        if self._background is not None:
            self._background.start()
        else:
            self.pressure.work_off()

    def _sync(self) -> bool:
        self.log.sync_ahead(SYNC_AHEAD_BYTES)
        return False

    def _performer(self, worker: Worker | None) -> Callable[[Task], Outcome]:
        """Large jobs in a child process, which does not hold this one's interpreter."""

        def perform(task: Task) -> Outcome:
            if worker is not None and job_bytes(task.job) >= CHILD_BYTES_MIN:
                return worker.run(task)
            return run(task, self._files, self.directory, self._salt)

        return perform

    # Reads: any thread.

    def get(self, key: bytes) -> bytes | None:
        """The value, or ``None``.

        Raises:
            CorruptionError: it is, or may be, in a damaged piece of a file.
        """
        view = self.store.view
        value = view.rows.get(key, MISSING)
        if value is not MISSING:
            return value
        for memtable in view.frozen:
            value = memtable.rows.get(key, MISSING)
            if value is not MISSING:
                return value
        cached = self._cached(key)
        if cached is not None:
            return cached
        return self._get_from_tables(view, key)

    def _get_from_tables(self, view: View, key: bytes) -> bytes | None:
        if self._closed:
            raise _was_closed(self.directory)
        if view.lost:
            view.check_lost(key, key + b"\0")
        blocks = self.store.blocks
        hits = blocks.hits
        try:
            value = view.find(key, key_hash(key))
        except TableDamaged as error:
            self._damaged(error)
            raise
        except OSError as error:
            raise storage_error(f"cannot read from {self.directory}", error) from error
        if value is MISSING or value is None:
            return None
        if blocks.hits != hits or not blocks.budget_bytes:
            # Its block was here already: somebody comes back to it. What is read once would only
            # push out what is read often, and keeping it costs a tenth of reading it.
            self.store.remember(view, key, value)
        return value

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in key order, as of this call.

        Raises:
            CorruptionError: some of them are, or may be, in a damaged piece of a file; also from
                the iterator.
        """
        view = self.store.view
        if self._closed:
            raise _was_closed(self.directory)
        view.check_lost(start, end)
        return scan_view(view, start, end, self.options.block_bytes, self._damaged)

    def remains(self, key: bytes) -> bytes | None:
        """What can still be read of a key in a quarantined range: its value, or an older one."""
        view = self.store.view
        for memtable in view.memtables():
            if key in memtable.rows:
                return memtable.rows[key]
        value = view.find(key, key_hash(key))
        return None if value is MISSING else value

    def quarantined(self) -> list[Range]:
        """Ranges that reads refuse, because their rows were in a damaged piece of a file."""
        return [(lost.start, lost.end) for lost in self.store.view.lost]

    def stats(self) -> Mapping[str, Stat]:
        """Counts since opening, and sizes in bytes. ``rows`` is an estimate: a key counts once for
        every table that has it."""
        return statistics(self)

    def _damaged(self, error: TableDamaged) -> None:
        self.chores.report_damage(error.number, error.reason)
        if self._background is not None:
            self._background.wake()

    # Writes: one thread at a time.

    @property
    def congested(self) -> bool:
        """Whether the next ``apply`` may wait: for a sync, for room, or to slow down."""
        return self.pressure.is_on(self.store.view)

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        """Write the batch as one record, sync when asked, then make it visible.

        Raises:
            UsageError: the batch is too large for the format. Nothing was applied.
            DiskFull: nothing was applied and none of it will ever appear.
            StorageError: the store failed, now or earlier; or it could not make room in time, and
                nothing was applied.
        """
        log = self.log
        if log.failure is not None:
            log.check()
        if self.pressure.is_on(self.store.view):
            self.pressure.make_room()
        if len(batch) == 1:
            [(key, value)] = batch
            log.write(encode_row_record(log.seed, log.sequence, key, value))
        elif batch:
            log.append(encode_batch(batch))
        if sync:
            log.sync()
        self.store.view.active.apply(batch)

    def flush(self) -> None:
        """Sync what was applied without. Raises ``StorageError`` as ``apply`` does."""
        self.log.sync()

    def drop(self, start: bytes, end: bytes) -> None:
        """Let go of all rows with start <= key < end, durably. Not atomic across a crash: repeat
        it. Raises as ``apply`` does."""
        self.log.check()
        if start >= end:
            return
        view = self.store.view
        self._delete([key for key, value in view.memory_rows(start, end) if value is not None])
        self.log.sync()
        self.store.drop(start, end)
        self.pressure.work_off()

    def heal(self, ranges: Sequence[Range]) -> None:
        """The rows of these quarantined ranges are back, or given up: read them again, without what
        nobody brought back. What is lost beside them, or from now on, stays in quarantine. Raises
        as ``apply`` does, and ``CorruptionError`` where more turns out to be damaged; whoever
        wanted it calls it again."""
        self.log.check()
        view = self.store.view
        back = within(view.lost, ranges)
        for lost in back:
            if not lost.mixed:
                # Nothing in there was written since: it is older than what was damaged.
                a, b = lost.start, lost.end
                written = {key for key, _ in view.memory_rows(a, b)}
                rows = scan_view(view, a, b, self.options.block_bytes, self._damaged)
                self._delete([key for key, _ in rows if key not in written])
        # What was brought back has to be on the disk before nothing says any more that it was lost.
        self.log.sync()
        self.store.heal(back)

    def taken_in(self) -> None:
        """Whatever follows from ``forgot`` is on the disk: it need not be told again. Raises as
        ``apply`` does."""
        self.log.check()
        self.store.remind(False)

    def _delete(self, keys: Sequence[bytes]) -> None:
        """Delete these rows, without a sync."""
        for at in range(0, len(keys), DROP_BATCH_ROWS):
            batch: list[Row] = [(key, None) for key in keys[at : at + DROP_BATCH_ROWS]]
            self.apply(batch, sync=False)

    def checkpoint(self, directory: Path) -> None:
        """Write the store as of now to a new directory: tables by hard links, logs by copy.

        Raises:
            StorageError: the directory exists already, or cannot be written; or the store failed.
        """
        self.log.sync()
        write_checkpoint(self.store, self.journal.part(), directory, self._salt)

    def close(self) -> None:
        """Flush and let go of the files. What is being merged is left as it was. Later writes are
        refused.

        Raises:
            StorageError: the flush failed; the files are let go of all the same.
        """
        try:
            if self.log.failure is None:
                self.log.sync()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.chores.closing = True
        try:
            for worker in self._workers:
                worker.close()
            if self._background is not None:
                self._background.close()
        finally:
            self.log.close()
            self.manifest.close()
            self.store.close()
            if self._lock is not None:
                self._lock.release()


def _was_closed(directory: Path) -> StorageError:
    return StorageError(f"{directory}: this store was closed")
