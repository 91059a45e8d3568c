"""``CommitQueue`` with a thread of its own, on an asyncio loop.

Rules:
    - The engine is used by one thread at a time: by the committer's, or, for batches that need no
      fsync, by the loop's while the other rests. So neither an fsync nor an engine that is
      congested ever holds the loop, and an unsynced write costs no hand-over.
    - Everything else happens on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from queue import SimpleQueue

from dynamokv.ports import StorageEngine
from dynamokv.protocol.effects import Write
from dynamokv.runtime.commit_queue import CommitQueue, Job, text_of
from dynamokv.types import Durability

log = logging.getLogger("dynamokv.storage")


class Committer(CommitQueue):
    """The way of one node's writes."""

    def __init__(
        self,
        engine: StorageEngine,
        durability: Durability,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(engine, durability)
        self.loop = loop
        self._settled = asyncio.Event()
        # A thread of its own, not a pool's: pools take no work while the interpreter shuts down.
        # It does not hold the committer, so that one that was lost open can be collected.
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=_work, args=(self._jobs, loop, engine), name="dynamokv-commit", daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self._jobs.put, None).atexit = False

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

    def _start(self, job: Job) -> None:
        self._jobs.put(job)

    def _committed(self, batch: list[Write], error: str) -> None:
        """Back on the loop."""
        super()._committed(batch, error)
        self._settled.set()


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
        log.error("closing the store failed: %s", text_of(raised))
