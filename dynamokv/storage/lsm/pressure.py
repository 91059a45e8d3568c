"""How writes wait when the disk is behind, and when a memtable gives way to the next.

Knows: how much there may be of what. Must not know: how a row is written.

A write that is slowed down waits a little, in proportion; one that has to wait for room waits for a
flush or a merge, within a time; what waits is counted, and what is refused has not begun.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from dynamokv.errors import DiskFull, StorageError
from dynamokv.limits import MiB
from dynamokv.storage.lsm.background import Background
from dynamokv.storage.lsm.chores import Chores
from dynamokv.storage.lsm.journal import Journal
from dynamokv.storage.lsm.record_writer import storage_error
from dynamokv.storage.lsm.store import Store
from dynamokv.storage.lsm.view import View

FROZEN_MAX: Final = 2
"""Memtables that wait to become tables. With the active one, three: the bound on memory."""

LOG_FACTOR: Final = 4
"""A log may be this many memtables large, where the same keys are written over and over."""

STALL_SECONDS_MAX: Final = 30.0
"""A write that waited this long for room is refused. Far above what a flush takes."""

SLOW_BYTES_PER_SECOND: Final = 64 * MiB
"""What writes are slowed down to at ``slow_tables``; at each table above that, to half, a third and
so on, so that merges catch up long before writes have to stop."""

SLOW_PAUSE_SECONDS: Final = 0.00005
"""The shortest pause worth taking, as the kernel takes half of that to wake anybody; what is due is
added up until then. Many short pauses, because one write in a thousand must not wait for all."""

LOOK_SECONDS: Final = 0.1
"""A write that waits for room is woken by every step; at the latest after this it looks again, at
its deadline and at the health of the store."""

SLOW_PAUSE_SECONDS_MAX: Final = 0.1
"""The longest one: a single large batch is not held up for seconds."""

ROTATE_RETRY_SECONDS: Final = 0.1
"""Between two tries to begin a log on a disk that has no room for it."""

SYNC_AHEAD_BYTES: Final = 4 * MiB
"""Of the log that are synced in the background where writers do not ask for it: what is left at its
end takes a few milliseconds."""

_logger = logging.getLogger("dynamokv.storage")


class Pressure:
    """The brake of one store. Used by the thread that writes.

    Attributes:
        stalls: writes that waited for room.
        stall_seconds: what all waiting took.
    """

    def __init__(
        self, store: Store, journal: Journal, chores: Chores, background: Background | None
    ) -> None:
        self._store = store
        self._journal = journal
        self._writer = journal.writer
        self._chores = chores
        self._background = background
        options = store.options
        self._memtable_bytes = options.memtable_bytes
        self._log_bytes = LOG_FACTOR * options.memtable_bytes
        self._look_at = self._next_look(0)
        self._rotate_at = 0.0
        self._slowed_at: int | None = None
        self._overslept = 0.0
        self._slow_tables = options.slow_tables
        self._stop_tables = options.stop_tables
        self.stalls = 0
        self.stall_seconds = 0.0

    def is_on(self, view: View) -> bool:
        """Whether ``make_room`` would do anything. Asked before every write."""
        return (
            view.active.size_bytes >= self._memtable_bytes
            or self._writer.size_bytes >= self._look_at
            or view.level0_tables >= self._slow_tables
            or self._journal.torn
        )

    def make_room(self) -> None:
        """Finish what an opening on a full disk left undone, begin another memtable when this one
        is full, and wait for the chores when they are behind.

        Raises:
            DiskFull, StorageError: there is no room, or the store failed.
        """
        if self._journal.torn:
            # In this order: at every moment the tail is there, or the manifest tells of it.
            self._store.remind(True)
            self._journal.cut()
        if self._writer.size_bytes >= self._look_at:
            self._sync_ahead()
        if self._is_full() and time.monotonic() >= self._rotate_at:
            self._wait("flush", lambda: len(self._store.view.frozen) < FROZEN_MAX)
            self._rotate()
            self.work_off()
        if self._level0() < self._slow_tables:
            self._slowed_at = None
        elif self._level0() >= self._stop_tables:
            self._wait("merge", lambda: self._level0() < self._stop_tables)
        elif self._background is not None:
            self._slow_down()

    def _slow_down(self) -> None:
        """Pause for what was written since the last look, as the merges are behind."""
        written_bytes = self._writer.written_bytes
        if self._slowed_at is None:
            self._slowed_at = written_bytes
        over = self._level0() - self._slow_tables + 1
        due = (written_bytes - self._slowed_at) * over / SLOW_BYTES_PER_SECOND - self._overslept
        if due >= SLOW_PAUSE_SECONDS:
            self._slowed_at = written_bytes
            due = min(due, SLOW_PAUSE_SECONDS_MAX)
            before = time.monotonic()
            time.sleep(due)
            slept = time.monotonic() - before
            self._overslept = min(slept - due, SLOW_PAUSE_SECONDS_MAX)
            self.stall_seconds += slept

    def _next_look(self, size_bytes: int) -> int:
        """The size of the log at which there is something to do about it."""
        following = size_bytes + SYNC_AHEAD_BYTES
        return min(following, self._log_bytes) if size_bytes < self._log_bytes else following

    def _sync_ahead(self) -> None:
        """Have a part of the log synced, so that the end of it does not take long."""
        self._look_at = self._next_look(self._writer.size_bytes)
        if self._background is not None:
            self._background.wake()

    def work_off(self) -> bool:
        """Without threads, do the chores now. True when something was done."""
        if self._background is not None:
            return False
        worked = False
        chores = self._chores
        while self._writer.failure is None and (chores.flush_step() or chores.merge_step()):
            worked = True
        return worked

    def _is_full(self) -> bool:
        return (
            self._store.view.active.size_bytes >= self._memtable_bytes
            or self._writer.size_bytes >= self._log_bytes
        )

    def _level0(self) -> int:
        return self._store.view.level0_tables

    def _rotate(self) -> None:
        """Go on in a new log with a new memtable. Where no other log can be made, the present ones
        go on, up to twice their size."""
        journal = self._journal
        # Before the next log has a record: what a power cut takes is always the end.
        self._writer.sync()
        part = journal.part()
        try:
            journal.begin(self._store.folder.take_number())
        except OSError as error:
            refusal = storage_error(f"{self._store.directory}: cannot begin a log", error)
            if (
                self._writer.size_bytes >= 2 * self._log_bytes
                or self._store.view.active.size_bytes >= 2 * self._memtable_bytes
            ):
                raise refusal from error
            _logger.warning("%s", refusal)
            if self._background is not None:
                self._rotate_at = time.monotonic() + ROTATE_RETRY_SECONDS
            return
        self._look_at = self._next_look(0)
        self._store.freeze(part)
        if self._background is not None:
            self._background.wake()

    def _wait(self, kind: str, done: Callable[[], bool]) -> None:
        """Until a chore of this kind has made room."""
        if done():
            return
        self.stalls += 1
        deadline = time.monotonic() + STALL_SECONDS_MAX
        while not done():
            self._writer.check()
            if self._background is None:
                if not self.work_off() and not done():
                    raise self._no_room(kind)
            elif self._is_out_of_space(kind) or time.monotonic() > deadline:
                self._background.wake()
                raise self._no_room(kind)
            else:
                self._pause(self._background, LOOK_SECONDS)

    def _pause(self, background: Background, seconds: float) -> None:
        before = time.monotonic()
        background.wait(seconds)
        self.stall_seconds += time.monotonic() - before

    def _is_out_of_space(self, kind: str) -> bool:
        trouble = self._chores.trouble.get(kind)
        return trouble is not None and trouble.full

    def _no_room(self, kind: str) -> StorageError:
        where = self._store.directory
        trouble = self._chores.trouble.get(kind)
        if trouble is not None and trouble.full:
            return DiskFull(f"{where}: a {kind} needs space on the disk: {trouble.reason}")
        because = f" ({trouble.reason})" if trouble is not None else ""
        return StorageError(
            f"{where}: {len(self._store.view.frozen)} memtables and {self._level0()} tables of "
            f"level 0 wait for a {kind}{because}; try again later"
        )
