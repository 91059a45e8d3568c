"""A store whose writes are done when the test says so."""

from __future__ import annotations

from dynamokv.protocol.effects import After
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.types import Durability


class Store(CommitQueue):
    """The way of writes to a dict, a batch at a time: begun, then finished.

    Attributes:
        disk: where they go; it can be made to fail.
        rows: what is applied, and so visible.
    """

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.rows = self.disk.rows
        self._job: Job | None = None
        super().__init__(self.disk, Durability.FSYNC)

    def _start(self, job: Job) -> None:
        self._job = job

    def begin(self) -> bool:
        """Whether a batch is on its way, now that what was taken in may leave."""
        self.commit()
        return self._job is not None

    def finish(self) -> list[After]:
        """The batch on its way is applied, or refused; what that releases."""
        released: list[After] = []
        self.release = released.extend
        assert self._job is not None
        write, tell = self._job
        self._job = None
        tell(write())
        return released
