"""Latencies over a sliding window: the last so many, sorted when somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

WINDOW = 4096
"""Requests that a percentile is taken from: p99 then stands on 40 of them."""


class Window:
    """The last ``WINDOW`` durations, in seconds."""

    __slots__ = ("add", "samples")

    def __init__(self) -> None:
        self.samples: deque[float] = deque(maxlen=WINDOW)
        self.add = self.samples.append

    def percentile(self, fraction: float) -> float:
        """The duration that this fraction of the window did not exceed; 0.0 when it is empty."""
        return percentile(self.samples, fraction)


def percentile(samples: Iterable[float], fraction: float) -> float:
    """Nearest rank, 0.0 for no samples."""
    ordered = sorted(samples)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
