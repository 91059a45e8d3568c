"""When a read that waits may ask one owner more, and how often that may happen.

A hedge cuts the tail of a read's latency (Dean and Barroso, "The Tail at Scale", 2013), and is work
that nobody needed. Without a budget, a ring that is slow because it has too much to do gets twice
as much (scylladb/scylladb#3156).

Rules:
    - A read is late after the 95th percentile of this node's recent answers, but not before the
      floor, and in any case after ``hedge_after``.
    - Hedges are at most a tenth of the reads. Without a token the read waits for its first choice,
      and looks again after twice as long.
    - Whoever owes an answer for longer than that is asked last: what is avoided needs no hedge.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from dynamokv import limits
from dynamokv.protocol.load.budget import Budget

SAMPLES: Final = 512
"""Answers that the percentile is taken from: 25 of them are above it."""

PERCENTILE: Final = 0.95
"""Half of what the budget allows is then used in peace."""

_RECOMPUTE: Final = 32
"""Answers between two looks at the percentile."""


class Hedging:
    """Of one node.

    Attributes:
        delay: seconds after which an answer is late.
        budget: for asking one owner more.
    """

    def __init__(self, hedge_after: float) -> None:
        self.delay = hedge_after
        self.budget = Budget(limits.HEDGE_SHARE, limits.HEDGE_BURST)
        self._longest = hedge_after
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._due = _RECOMPUTE

    def answered(self, seconds: float) -> None:
        """A peer answered a read after so long."""
        self._samples.append(seconds)
        self._due -= 1
        if self._due <= 0:
            self._due = _RECOMPUTE
            ordered = sorted(self._samples)
            late = ordered[int(PERCENTILE * len(ordered))]
            floor = min(limits.HEDGE_FLOOR_SECONDS, self._longest)
            self.delay = min(self._longest, max(floor, late))
