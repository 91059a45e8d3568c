"""Going through a partition, page by page, and taking away what is dead below its horizon.

Rules:
    - A row is looked at in the very step that takes it away, so nothing can come in between.
    - A pass also finds out when it is worth to come again: which rows may go one day, and from
      which horizon on.
    - What cannot be read is left for a later pass.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.ports import Row
from dynamokv.protocol.collecting.views import Trees
from dynamokv.protocol.effects import Effect, Write
from dynamokv.protocol.state.home import Home
from dynamokv.wire import collecting
from dynamokv.wire import keys as row_keys

NEVER: Final = float("inf")


class Survey(NamedTuple):
    """What the last pass over a partition has found: the first of its rows may go at the horizon
    ``ripe_at``. It began at the hybrid time ``at``, when the tree had this root."""

    at: int
    root: bytes | None
    ripe_at: float

    def next_at(self, root: bytes | None) -> float:
        """The least horizon at which something may go, now that the tree has this root."""
        return self.ripe_at if root == self.root else min(self.ripe_at, self.at)


class _Pass:
    """A pass over a partition, under way."""

    __slots__ = ("at", "cursor", "ripe_at", "root")

    def __init__(self, cursor: bytes, at: int, root: bytes | None) -> None:
        self.cursor = cursor
        self.at = at
        self.root = root
        self.ripe_at = NEVER


class Sweeper:
    """The passes of one node.

    Attributes:
        surveys: what the last pass over each partition has found.
        due: when ``step`` has something to do.
    """

    def __init__(self, home: Home, trees: Trees) -> None:
        self.home = home
        self.trees = trees
        self.surveys: dict[int, Survey] = {}
        self.due = NEVER
        self._passes: dict[int, _Pass] = {}

    def begin(self, partition: int) -> None:
        """Go through it, from its first row."""
        start = row_keys.partition_range(partition)[0]
        root = self.trees.root(partition)
        self._passes[partition] = _Pass(start, self.home.hybrid.last, root)
        self.due = min(self.due, self.home.clock.monotonic())

    def is_under_way(self, partition: int) -> bool:
        """Whether a pass over it has not come to its end."""
        return partition in self._passes

    def step(self, now: float) -> list[Effect]:
        """Some rows of a partition, if it is time."""
        if now < self.due:
            return []
        pressure = self.home.load.pressure
        if not pressure.turn(now, "sweeping"):
            self.due = now + pressure.pause(now)
            return []
        partition, under_way = next(iter(self._passes.items()))
        end = row_keys.partition_range(partition)[1]
        count = limits.COLLECT_STEP_ROWS
        gone: list[Row] = []
        try:
            page = list(islice(self.home.reader.scan(under_way.cursor, end), count))
        except StorageError:
            self.home.counters["damaged_reads"] += 1
            self._end(partition, None)
        else:
            gone = self._dead(under_way, page, self.home.horizons.collected.get(partition, 0))
            if len(page) == count:
                under_way.cursor = page[-1][0] + b"\0"
            else:
                self._end(partition, Survey(under_way.at, under_way.root, under_way.ripe_at))
        self.due = now + limits.COLLECT_STEP_SECONDS if self._passes else NEVER
        self.home.counters["collected"] += len(gone)
        return [Write(gone)] if gone else []

    def _end(self, partition: int, survey: Survey | None) -> None:
        del self._passes[partition]
        self.surveys.pop(partition, None)
        if survey is not None:
            self.surveys[partition] = survey

    def _dead(self, under_way: _Pass, page: list[tuple[bytes, bytes]], collected: int) -> list[Row]:
        gone: list[Row] = []
        for key, record in page:
            ripe_at = collecting.ripe_at(record)
            if ripe_at is None:
                continue
            if ripe_at <= collected:
                gone.append((key, None))
            else:
                under_way.ripe_at = min(under_way.ripe_at, ripe_at)
        return gone
