"""What time a machine believes it is.

Rules:

- The monotonic clock follows virtual time, a little fast or slow, and never goes back.
- The wall clock may be wrong, jump either way, or stand still; nobody's correctness depends on it.
- A machine keeps its clock when its processes end.
"""

from __future__ import annotations

from typing import Final

from dynamokv.testing.simulation.schedule import MILLISECOND, SECOND, Schedule

START_MS: Final = 1_700_000_000_000
"""What a right wall clock says when the simulation begins: a whole second."""

PARTS: Final = 1_000_000
"""Drift is counted in parts of a million."""

LATE_NS: Final = 1_000
"""Timers ring so much late, so that rounding never makes them early."""


class NodeClock:
    """``ports.Clock`` of one machine.

    Attributes:
        offset_ms: by how much the wall clock is wrong. A jump is a change of it.
    """

    def __init__(self, schedule: Schedule, *, offset_ms: int = 0, drift_ppm: int = 0) -> None:
        self.offset_ms = offset_ms
        self._schedule = schedule
        self._frozen_ms: int | None = None
        # Where the clock was when its drift last changed. Integers: no error adds up.
        self._since_ns = schedule.now_ns
        self._local_ns = schedule.now_ns
        self._drift_ppm = drift_ppm

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as far as this machine knows."""
        if self._frozen_ms is not None:
            return self._frozen_ms
        return START_MS + self._elapsed_ns() // MILLISECOND + self.offset_ms

    def monotonic(self) -> float:
        """Seconds since the simulation began, as this machine counts them."""
        if not self._drift_ppm and self._local_ns == self._since_ns:
            return self._schedule.now_ns / SECOND
        return self._elapsed_ns() / SECOND

    def jump(self, milliseconds: int) -> None:
        """Somebody sets the wall clock."""
        self.offset_ms += milliseconds

    def freeze(self) -> None:
        """The wall clock stands still."""
        self._frozen_ms = self.wall_ms()

    def thaw(self) -> None:
        """It is right again, or as wrong as it was before."""
        self._frozen_ms = None

    def drift(self, ppm: int) -> None:
        """From now on this clock gains so much, or loses it."""
        self._local_ns, self._since_ns = self._elapsed_ns(), self._schedule.now_ns
        self._drift_ppm = ppm

    def due_ns(self, deadline: float) -> int:
        """The moment of virtual time at which ``monotonic`` has passed a deadline."""
        left_ns = int(deadline * SECOND) - self._elapsed_ns()
        if self._drift_ppm:
            left_ns = left_ns * PARTS // (PARTS + self._drift_ppm)
        return max(0, left_ns) + self._schedule.now_ns + LATE_NS

    def _elapsed_ns(self) -> int:
        passed_ns = self._schedule.now_ns - self._since_ns
        return self._local_ns + passed_ns + passed_ns * self._drift_ppm // PARTS
