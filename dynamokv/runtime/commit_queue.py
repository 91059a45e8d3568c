"""Writes between the core and the engine: one batch at a time, one fsync for all that came while
the last one ran.

Two views of the store follow from that (``ports.Reader``):

``visible``  what the engine has applied, at the durability that this node promises. Reads see this.
``newest``   the same, under the writes that are still on their way. Writes build on this.

Knows: what waits, what is on its way, and what an outcome releases. Must not know: threads, loops,
how long a disk takes. Those are the derived class's: the real ``committer`` has a thread, the
simulator a virtual disk.

Rules:
    - Order is kept: batches reach the engine in the order in which the core decided them.
    - ``then`` is released after its batch is applied, ``otherwise`` when it was refused; each write
      gets exactly one.
    - One job is under way at a time. Batches that need no fsync are applied at once, while nothing
      else is under way and the engine has room.
    - Whatever the engine raises is a failed write, never a dead node.
    - What a batch changes is accounted for when it is applied, before anything is released; what a
      refused one would have changed is not.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import TypeAlias

from dynamokv.errors import StorageError
from dynamokv.ports import Account, Changes, Quarantines, Range, Reminds, Row, StorageEngine
from dynamokv.protocol.effects import After, Write, WriteFailed
from dynamokv.types import Durability

log = logging.getLogger("dynamokv.storage")

Job: TypeAlias = tuple[Callable[[], str], Callable[[str], None]]
"""What goes to the disk and says why that failed, or nothing; and who is told."""

ERROR_TEXT_MAX = 300
"""Of what an engine says went wrong: it travels in messages, which have limits of their own."""


class CommitQueue:
    """The way of one node's writes.

    Attributes:
        release: gets what a batch released.
        account: hears what each batch has changed.
        last_error: why the last batch was refused; nothing when it was not.
    """

    def __init__(self, engine: StorageEngine, durability: Durability) -> None:
        self.engine = engine
        self.synced_always = durability is Durability.FSYNC
        self.release: Callable[[list[After]], None] = lambda _: None
        self.account: Account | None = None
        self.commits = 0
        self.failures = 0
        self.last_error = ""
        # What is on its way; for a row that is to go, the write that says so.
        self._newest: dict[bytes, bytes | Write] = {}
        self._queue: list[Write] = []
        self._changes: Changes | None = None
        self._lost_track: list[bytes] = []
        self._quarantine = engine if isinstance(engine, Quarantines) else None
        self.quarantined: Callable[[], Sequence[Range]] = (
            self._quarantine.quarantined if self._quarantine is not None else tuple
        )
        self._errands: list[Callable[[], None]] = []
        self._at_rest: list[Callable[[], object]] = []
        self._busy = False
        self._closed = False
        self._flush_wanted = False

    def _start(self, job: Job) -> None:
        """Have the first half of the job done, which may take long, and then the second half by
        whoever may use this object."""
        raise NotImplementedError

    # --- ports.Reader -----------------------------------------------------------------------------

    def visible(self, key: bytes) -> bytes | None:
        """What reads may show."""
        return self.engine.get(key)

    def newest(self, key: bytes) -> bytes | None:
        """What writes build on."""
        found = self._newest.get(key)
        if found is None:
            return self.engine.get(key)
        return None if isinstance(found, Write) else found

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The newest rows of a range, in key order."""
        pending = sorted((key, row) for key, row in self._newest.items() if start <= key < end)
        merged = heapq.merge(pending, self.engine.scan(start, end), key=itemgetter(0))
        last = None
        for key, row in merged:
            # Of two rows of a key, the one that is on its way comes first.
            if key != last and not isinstance(row, Write):
                yield key, row
            last = key

    def scan_visible(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows of a range that reads may show."""
        return self.engine.scan(start, end)

    def scan_readable(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The same, without the ranges that the engine has quarantined."""
        scans = []
        for bad, following in sorted(self.quarantined()):
            if start < bad < end:
                scans.append(self.engine.scan(start, bad))
            if bad < end:
                start = max(start, following)
        if start < end:
            scans.append(self.engine.scan(start, end))
        return chain.from_iterable(scans)

    def at_rest(self, action: Callable[[], object]) -> None:
        """Do this while no batch is on its way and all before are accounted for."""
        if self._busy:
            self._at_rest.append(action)
        else:
            action()

    # --- writing ----------------------------------------------------------------------------------

    def write(self, effect: Write) -> None:
        """Take a write in; ``commit`` sends it on its way."""
        _show(effect, self._newest)
        self._queue.append(effect)

    def commit(self) -> None:
        """Send on its way what has been taken in, unless something is on its way already."""
        if self._busy or self._closed or not self._queue:
            return
        batch, self._queue = self._queue, []
        self._look_before(batch)
        synced = self.synced_always or any(effect.synced for effect in batch)
        if not synced and not self.engine.congested:
            self._done(batch, self._apply(batch, sync=False))
            return
        self._busy = True
        self._start((lambda: self._apply(batch, sync=synced), partial(self._committed, batch)))

    def flush_soon(self) -> None:
        """fsync what was written without one, as a job of its own."""
        if self._busy or self._closed:
            self._flush_wanted = not self._closed
            return
        self._busy = True
        self._flush_wanted = False
        self._start((partial(_failure, self.engine.flush), partial(self._committed, [])))

    def mend(self, lost: Sequence[Range]) -> None:
        """What the engine had quarantined of these ranges was brought back: read it again."""
        if self._quarantine is not None:
            self._errands.append(partial(self._quarantine.heal, lost))
            self._run_errand()

    def taken_in(self) -> None:
        """What follows from the engine having forgotten something is written."""
        if isinstance(self.engine, Reminds):
            self._errands.append(self.engine.taken_in)
            self._run_errand()

    def _run_errand(self) -> None:
        if self._errands and not self._busy and not self._closed:
            self._busy = True
            errand = self._errands.pop(0)
            self._start((partial(_failure, errand), partial(self._committed, [])))

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._busy and not self._queue

    def _look_before(self, batch: list[Write]) -> None:
        """What the batch is about to change, of what somebody keeps book of."""
        if self.account is not None:
            self._changes = self.account.about_to_change(_rows(batch), self._before)

    def _before(self, key: bytes) -> bytes | None:
        try:
            return self.engine.get(key)
        except Exception as error:  # a foreign engine may raise anything; the node lives
            log.debug("what a write replaces cannot be read: %s", text_of(error))
            self._lost_track.append(key)
            return None

    def _apply(self, batch: list[Write], *, sync: bool) -> str:
        """Why the engine refused the batch, or nothing. May run in another thread."""
        return _failure(partial(self.engine.apply, _rows(batch), sync=sync))

    def _committed(self, batch: list[Write], error: str) -> None:
        """A job was done."""
        self._busy = False
        self._done(batch, error)
        actions, self._at_rest = self._at_rest, []
        for action in actions:
            action()
        self._run_errand()
        self.commit()
        if self._flush_wanted:
            self.flush_soon()

    def _done(self, batch: list[Write], error: str) -> None:
        newest = self._newest
        for effect in batch:
            for key, record in effect.rows:
                if newest.get(key) is (effect if record is None else record):
                    del newest[key]
        self.commits += 1
        changes, self._changes = self._changes, None
        lost_track, self._lost_track = self._lost_track, []
        if not error:
            self.last_error = ""
            if self.account is not None and changes is not None:
                self.account.changed(changes)
                for key in lost_track:
                    self.account.lost_track(key)
            self.release([effect.then for effect in batch if effect.then is not None])
            return
        self.failures += 1
        for effect in self._queue:
            # A refused record may wait there once more, and is still on its way.
            _show(effect, newest)
        if error != self.last_error:
            # Once for a full disk, not for every write that it refuses.
            log.error("a write to the local store failed: %s", error)
        self.last_error = error
        self.release(
            [_blamed(effect.otherwise, error) for effect in batch if effect.otherwise is not None]
        )


def _show(effect: Write, newest: dict[bytes, bytes | Write]) -> None:
    """Its rows are the newest."""
    for key, record in effect.rows:
        newest[key] = effect if record is None else record


def _rows(batch: list[Write]) -> Sequence[Row]:
    """All of them, in order."""
    return batch[0].rows if len(batch) == 1 else [row for effect in batch for row in effect.rows]


def _failure(action: Callable[[], None]) -> str:
    """Why this could not be done, or nothing."""
    try:
        action()
    except Exception as error:  # a foreign engine may raise anything; the node lives
        return text_of(error)
    return ""


def text_of(error: Exception) -> str:
    """What an engine raised, for people. A bug of the engine is logged."""
    if not isinstance(error, StorageError):
        log.error("the storage engine raised something that is no StorageError", exc_info=error)
    return f"{type(error).__name__}: {error}"[:ERROR_TEXT_MAX]


def _blamed(after: After, error: str) -> After:
    return after._replace(reason=error) if type(after) is WriteFailed else after
