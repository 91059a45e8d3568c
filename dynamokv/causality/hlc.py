"""Hybrid logical time: one unsigned 64-bit integer, 44 bits of milliseconds since 1970 above a
20-bit counter.

It follows the wall clock, never goes back, and is greater than every time it was shown, so it
orders causally related events and lets "latest" mean something across machines (Kulkarni et al.
2014). It knows no clock of its own: the wall time is handed in.

Invariants:
    - ``tick`` returns a time above every earlier result and above every time observed.
    - The wall clock alone never carries it above ``ceiling``, which its owner makes durable first,
      so it does not go back across a restart either. While the ceiling lags (a long pause), time
      goes on in the counter.
    - A time more than the allowed drift ahead of the wall clock is never taken over: one bad clock
      stays one bad clock.
"""

from __future__ import annotations

COUNTER_BITS = 20
TIME_MAX = (1 << 64) - 1


def time_at(wall_ms: int) -> int:
    """The first hybrid time of a millisecond."""
    return wall_ms << COUNTER_BITS


def wall_ms_of(time: int) -> int:
    """The millisecond of a hybrid time."""
    return time >> COUNTER_BITS


class HybridClock:
    """The clock of one node."""

    __slots__ = ("ceiling", "drift_max_ms", "last")

    def __init__(self, *, last: int, drift_max_ms: int) -> None:
        """Start above ``last``, the ceiling that an earlier life made durable; 0 for a new node."""
        self.last = last
        self.ceiling = last
        self.drift_max_ms = drift_max_ms

    def tick(self, wall_ms: int, above: int = 0) -> int:
        """A new time, above ``above`` and everything returned or observed before."""
        after = (self.last if self.last > above else above) + 1
        time = time_at(wall_ms)
        if time < after or time > self.ceiling:
            time = after
        self.last = time
        return time

    def observe(self, time: int, wall_ms: int) -> bool:
        """Move past a time from elsewhere; False, and nothing changed, when it is too far ahead of
        the wall clock."""
        if time <= self.last:
            return True
        if wall_ms_of(time) - wall_ms > self.drift_max_ms:
            return False
        self.last = time
        return True

    def pass_by(self, time: int) -> None:
        """Move past a time that all members have agreed upon, however far ahead it is."""
        self.last = max(self.last, time)

    def raise_ceiling(self, ceiling: int) -> None:
        """Allow times up to ``ceiling``, which is durable now."""
        self.ceiling = max(self.ceiling, ceiling)
