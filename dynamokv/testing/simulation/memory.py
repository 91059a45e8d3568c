"""A disk that is a dict: for simulations that want the rows of a store to survive, and no files.

Rules:

- A row applied without a sync is lost with the power unless a later batch was synced; a kill loses
  nothing.
- It fails as a whole: refused batches change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from dynamokv.errors import DiskFull
from dynamokv.ports import Row
from dynamokv.storage.memory import MemoryEngine
from dynamokv.testing.disk_loss import Kill, Loss, PowerCut


class MemoryDisk(MemoryEngine):
    """``ports.StorageEngine`` that is its own disk.

    Attributes:
        failing: why every batch is refused; nothing while it works.
    """

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        super().__init__(dict(rows or {}))
        self.failing = ""
        self._durable = dict(self.rows)
        self._unsynced: list[Row] = []

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        """All rows, or an error.

        Raises:
            DiskFull: it is failing.
        """
        if self.failing:
            raise DiskFull(self.failing)
        super().apply(batch, sync=sync)
        self._unsynced += batch
        if sync:
            self.flush()

    def flush(self) -> None:
        """What was applied survives everything from now on."""
        if self.failing:
            raise DiskFull(self.failing)
        _put(self._durable, self._unsynced)
        self._unsynced = []

    def survivor(self, loss: Loss) -> MemoryDisk:
        """What the next process finds, if this one is lost now. A ``Scatter`` is the worst case
        here: all that is unsynced is gone."""
        if isinstance(loss, Kill):
            left = MemoryDisk(self.rows)
            left._durable, left._unsynced = dict(self._durable), list(self._unsynced)
            return left
        share = loss.contents if isinstance(loss, PowerCut) else 0.0
        rows = dict(self._durable)
        _put(rows, self._unsynced[: int(len(self._unsynced) * share)])
        return MemoryDisk(rows)


def _put(rows: dict[bytes, bytes], batch: Sequence[Row]) -> None:
    for key, value in batch:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
