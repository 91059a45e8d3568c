"""Writes on their way to the engine: one batch at a time, one fsync for all that came while the
last one ran.

Two views of the store follow from that (``ports.Reader``):

``visible``  what the engine has applied, at the durability that this node promises. Reads see this.
``newest``   the same, under the writes that are still on their way. Writes build on this.

Rules:
    - Order is kept: batches reach the engine in the order in which the core decided them.
    - ``then`` is released after its batch is applied, ``otherwise`` when it was refused; each write
      gets exactly one.
    - The engine is used by one thread at a time: by the committer's, or, for batches that need no
      fsync, by the loop's while the other rests. So neither an fsync nor an engine that is
      congested ever holds the loop, and an unsynced write costs no hand-over.
    - Whatever the engine raises is a failed write, never a dead node.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from dynamokv.errors import StorageError
from dynamokv.ports import Row, StorageEngine
from dynamokv.protocol.effects import After, Write, WriteFailed
from dynamokv.types import Durability

log = logging.getLogger("dynamokv.storage")

Job: TypeAlias = tuple[Callable[[], str], Callable[[str], None]]
"""What goes to the disk and says why that failed, or nothing; and who is told on the loop."""

ERROR_TEXT_MAX = 300
"""Of what an engine says went wrong: it travels in messages, which have limits of their own."""


class Committer:
    """The way of one node's writes."""

    def __init__(
        self,
        engine: StorageEngine,
        durability: Durability,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.engine = engine
        self.synced_always = durability is Durability.FSYNC
        self.loop = loop
        self.release: Callable[[list[After]], None] = lambda _: None
        self.commits = 0
        self.failures = 0
        self.last_error = ""
        """Why the last batch was refused; nothing when it was not."""
        self._newest: dict[bytes, bytes] = {}
        self._queue: list[Write] = []
        self._busy = False
        self._closed = False
        self._flush_wanted = False
        self._settled = asyncio.Event()
        # A thread of its own, not a pool's: pools take no work while the interpreter shuts down.
        # It does not hold the committer, so that one that was lost open can be collected.
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=_work, args=(self._jobs, loop, engine), name="dynamokv-commit", daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self._jobs.put, None).atexit = False

    # --- ports.Reader -----------------------------------------------------------------------------

    def visible(self, key: bytes) -> bytes | None:
        """What reads may show."""
        return self.engine.get(key)

    def newest(self, key: bytes) -> bytes | None:
        """What writes build on."""
        return self._newest.get(key) or self.engine.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The newest rows of a range, in key order."""
        pending = sorted(key for key in self._newest if start <= key < end)
        at = 0
        for key, value in self.engine.scan(start, end):
            while at < len(pending) and pending[at] < key:
                yield pending[at], self._newest[pending[at]]
                at += 1
            if at < len(pending) and pending[at] == key:
                yield key, self._newest[key]
                at += 1
            else:
                yield key, value
        for key in pending[at:]:
            yield key, self._newest[key]

    # --- writing ----------------------------------------------------------------------------------

    def write(self, effect: Write) -> None:
        """Take a write in; ``commit`` sends it on its way."""
        self._newest.update(effect.rows)
        self._queue.append(effect)

    def commit(self) -> None:
        """Send on its way what has been taken in, unless something is on its way already."""
        if self._busy or self._closed or not self._queue:
            return
        batch, self._queue = self._queue, []
        synced = self.synced_always or any(effect.synced for effect in batch)
        if not synced and not self.engine.congested:
            self._done(batch, self._apply(batch, sync=False))
            return
        self._busy = True
        self._jobs.put((lambda: self._apply(batch, sync=synced), partial(self._committed, batch)))

    def flush_soon(self) -> None:
        """fsync what was written without one, in the committer's thread."""
        if self._busy or self._closed:
            self._flush_wanted = not self._closed
            return
        self._busy = True
        self._flush_wanted = False
        self._jobs.put((self._flush, partial(self._committed, [])))

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._busy and not self._queue

    async def wait_idle(self) -> None:
        """Return when nothing is on its way."""
        while not self.idle:
            self._settled.clear()
            await self._settled.wait()

    def close(self) -> None:
        """End the thread, which closes the engine; blocks as long as the disk does. Whatever is
        still queued is never written, and was never acknowledged."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _apply(self, batch: list[Write], *, sync: bool) -> str:
        """Why the engine refused the batch, or nothing. May run in the committer's thread."""
        rows: list[Row] = [row for effect in batch for row in effect.rows]
        try:
            self.engine.apply(rows, sync=sync)
        except Exception as error:  # a foreign engine may raise anything; the node lives
            return _text_of(error)
        return ""

    def _flush(self) -> str:
        try:
            self.engine.flush()
        except Exception as error:  # as above
            return _text_of(error)
        return ""

    def _committed(self, batch: list[Write], error: str) -> None:
        """Back on the loop."""
        self._busy = False
        self._done(batch, error)
        self.commit()
        if self._flush_wanted:
            self.flush_soon()
        self._settled.set()

    def _done(self, batch: list[Write], error: str) -> None:
        newest = self._newest
        for effect in batch:
            for key, record in effect.rows:
                if newest.get(key) is record:
                    del newest[key]
        self.commits += 1
        if not error:
            self.last_error = ""
            self.release([effect.then for effect in batch if effect.then is not None])
            return
        self.failures += 1
        if error != self.last_error:
            # Once for a full disk, not for every write that it refuses.
            log.error("a write to the local store failed: %s", error)
        self.last_error = error
        self.release(
            [_blamed(effect.otherwise, error) for effect in batch if effect.otherwise is not None]
        )


def _work(
    jobs: SimpleQueue[Job | None], loop: asyncio.AbstractEventLoop, engine: StorageEngine
) -> None:
    """The committer's thread: one job at a time, and the engine's end at last."""
    while (job := jobs.get()) is not None:
        write, tell = job
        error = write()
        with contextlib.suppress(RuntimeError):  # the loop ended first: nobody waits any more
            loop.call_soon_threadsafe(tell, error)
        del job, write, tell
    try:
        engine.close()
    except Exception as raised:  # its files are let go of all the same; it had its last chance
        log.error("closing the store failed: %s", _text_of(raised))


def _text_of(error: Exception) -> str:
    if not isinstance(error, StorageError):
        log.error("the storage engine raised something that is no StorageError", exc_info=error)
    return f"{type(error).__name__}: {error}"[:ERROR_TEXT_MAX]


def _blamed(after: After, error: str) -> After:
    return after._replace(reason=error) if type(after) is WriteFailed else after
