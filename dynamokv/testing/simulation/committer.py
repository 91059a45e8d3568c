"""``CommitQueue`` without a thread: a job takes some virtual time, at whose end it is done.

Until then nothing of a batch is in the store. What a crash within that time makes of it is decided
by whoever has the disk (``machine``).
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv.ports import StorageEngine
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.testing.simulation.chance import Delay
from dynamokv.testing.simulation.schedule import Action, nanoseconds
from dynamokv.types import Durability

Later = Callable[[int, Action], None]


class SimulatedCommitter(CommitQueue):
    """The way of one process's writes.

    Args:
        latency: of a job.
        later: does something after so many nanoseconds, unless the process has ended by then.

    Attributes:
        held: nothing is sent on its way before ``let_go``.
    """

    def __init__(
        self, engine: StorageEngine, durability: Durability, latency: Delay, later: Later
    ) -> None:
        super().__init__(engine, durability)
        self.held = False
        self._latency = latency
        self._later = later
        self._job: Job | None = None

    def commit(self) -> None:
        """Send on its way what has been taken in, unless it is held."""
        if self._queue and not self.held:
            super().commit()

    def let_go(self) -> None:
        """What was held is done at once."""
        self.held = False
        self.commit()
        self.finish()

    def finish(self) -> None:
        """What is under way is done now, and what follows from it."""
        while self._job is not None:
            self._do()

    def sync_every(self, seconds: float) -> None:
        """fsync what was written without one, now and then."""

        def sync() -> None:
            self.flush_soon()
            self.sync_every(seconds)

        self._later(nanoseconds(seconds), sync)

    def chores_every(self, seconds: float) -> None:
        """Have a store of files do now and then what its threads would do all the time: set aside
        what is damaged, merge, scrub."""
        engine = self.engine
        if not isinstance(engine, LSMEngine):
            return

        def work() -> None:
            self.at_rest(engine.pressure.work_off)
            self.chores_every(seconds)

        self._later(nanoseconds(seconds), work)

    def abandon(self) -> Callable[[], str]:
        """Its process is dead. Returns the job that was under way, which may or may not reach the
        disk."""
        job, self._job = self._job, None
        return job[0] if job is not None else _nothing

    def _start(self, job: Job) -> None:
        self._job = job

        def when_due() -> None:
            # It may have been done before its time.
            if self._job is job:
                self._do()

        self._later(self._latency.sample(), when_due)

    def _do(self) -> None:
        assert self._job is not None
        write, tell = self._job
        self._job = None
        tell(write())


def _nothing() -> str:
    return ""
