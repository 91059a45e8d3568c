"""A store whose writes are done when the test says so, on a disk that loses what the test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.protocol.effects import After
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.types import Durability


class Disk(MemoryDisk):
    """A dict of which some rows may be in a damaged block.

    Attributes:
        damaged: their keys, but for those that were written since. Whoever comes to one of them is
            told, and has had what stands before it.
        quarantines: it says which they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[bytes] = set()
        self.quarantines = True

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        super().apply(batch, sync=sync)
        self.damaged -= {key for key, _ in batch}

    def get(self, key: bytes) -> bytes | None:
        if key in self.damaged:
            raise CorruptionError("block 7 is damaged")
        return super().get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._read(super().scan(start, end))

    def _read(self, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for key, value in rows:
            if key in self.damaged:
                raise CorruptionError("block 7 is damaged")
            yield key, value

    def quarantined(self) -> list[tuple[bytes, bytes]]:
        return [(key, key + b"\0") for key in sorted(self.damaged) if self.quarantines]

    def heal(self, ranges: Sequence[tuple[bytes, bytes]]) -> None:
        self.damaged = {k for k in self.damaged if not any(a <= k < b for a, b in ranges)}


class Store(CommitQueue):
    """The way of writes to a dict, a batch at a time: begun, then finished.

    Attributes:
        disk: where they go; it can be made to fail, and to lose rows.
        rows: what is applied, and so visible.
    """

    def __init__(self) -> None:
        self.disk = Disk()
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
