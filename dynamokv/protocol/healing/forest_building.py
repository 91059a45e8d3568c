"""Building trees in the background: those that are not known, and, slowly, each one anew, which
reads all of the store and so finds what has gone wrong in it unnoticed.

Knows: when, how much at a time, and what a difference means. Must not know: what a tree is made
of.

Rules:
    - One partition at a time, a bounded piece a step, nothing while the foreground is
      hindered (``home.load.pressure``).
    - Those that are not known come first.
    - A partition that cannot be read is tried again, less often each time, and holds up no other;
      that is said once. Its tree is not known meanwhile, because it would promise rows that nobody
      can read. Other owners bring them back (``exchanges``).
    - A tree that differs from the one built anew was wrong: that is counted, said, and mended.
"""

from __future__ import annotations

import math

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import Effect, Report
from dynamokv.protocol.state.forest import Build
from dynamokv.protocol.state.home import Home


class Builder:
    """What a node does for its forest now and then."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._step_at = 0.0
        self._check_at = home.clock.monotonic() + home.settings.tree_check_interval
        self._last_checked = -1
        # Of partitions that cannot be read: when each is tried again, and the pause before that.
        self._again: dict[int, tuple[float, float]] = {}

    @property
    def due(self) -> float:
        """When the next step is, in the clock's monotonic seconds."""
        forest = self.home.forest
        if forest.build is not None or (forest.unknown and not self._again):
            return self._step_at
        due = self._check_at if forest.plots else math.inf
        if forest.unknown:
            due = min(due, min(map(self._begins, forest.unknown)))
        return due if due > self._step_at else self._step_at

    def _begins(self, partition: int) -> float:
        """When a partition without a tree is due."""
        return self._again[partition][0] if partition in self._again else 0.0

    def tick(self, now: float) -> list[Effect]:
        """A step, if it is time for one."""
        if now < self.due:
            return []
        self._step_at = now + limits.TREE_STEP_SECONDS
        forest, effects = self.home.forest, list[Effect]()
        if not self.home.load.pressure.may_work(now):
            self._check_at = max(self._check_at, self._step_at)
            return effects
        left = limits.TREE_STEP_ROWS
        while left > 0:
            build = forest.build or self._begin(now)
            left -= limits.TREE_BEGIN_ROWS
            if build is None or (build.rows is None and not build.error):
                break
            left = self._grow(build, left, effects, now)
        return effects

    def _begin(self, now: float) -> Build | None:
        forest = self.home.forest
        for partition in forest.unknown:
            if self._begins(partition) <= now:
                return forest.begin(partition)
        if now < self._check_at or not forest.plots:
            return None
        self._check_at = now + self.home.settings.tree_check_interval
        later = [partition for partition in forest.plots if partition > self._last_checked]
        self._last_checked = min(later or forest.plots)
        return forest.begin(self._last_checked)

    def _grow(self, build: Build, left: int, effects: list[Effect], now: float) -> int:
        """Go on with a partition; how many rows may still be read in this step."""
        forest = self.home.forest
        try:
            if build.error:
                raise StorageError(build.error)
            count = max(1, left)
            taken = forest.grow(build, count)
        except StorageError as error:
            forest.forget(build.partition)
            self.home.horizons.doubt(build.partition)
            forest.cannot_read(build.partition)
            self.home.counters["trees_unreadable"] += 1
            _, pause = self._again.get(build.partition, (0.0, limits.TREE_RETRY_SECONDS / 2))
            if build.partition not in self._again:
                text = f"partition {build.partition} cannot be read, so it has no tree: {error}"
                effects.append(Report("trees", "WARNING", text))
            pause = min(pause * 2, limits.TREE_RETRY_SECONDS_MAX)
            self._again[build.partition] = now + pause, pause
            return 0
        if taken < count:
            self._finish(build, effects, now)
        return left - taken

    def _finish(self, build: Build, effects: list[Effect], now: float) -> None:
        forest, counters = self.home.forest, self.home.counters
        before = forest.finish()
        self._again.pop(build.partition, None)
        counters["trees_built"] += 1
        if before is None:
            return
        if before != build.plot:
            counters["tree_mismatches"] += 1
            text = f"the tree of partition {build.partition} was wrong, and was replaced"
            effects.append(Report("trees", "ERROR", text))
        if build.partition == max(forest.plots):
            forest.checked_at = now
