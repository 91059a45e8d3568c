"""One timer for a core, whatever is under way in it: at its next deadline, or earlier."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

FINEST_SECONDS = 0.002
"""Timers of a core fire no finer than this."""


class Alarm:
    """Calls ``ring`` at the earliest time that was asked for since it last did."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    @property
    def soon(self) -> bool:
        """Whether it rings so soon that asking for more makes no difference."""
        return self._rings_at <= self._loop.time() + FINEST_SECONDS

    def within(self, seconds: float) -> None:
        """Ring no later than in so many seconds."""
        at = self._loop.time() + max(seconds, FINEST_SECONDS)
        if at >= self._rings_at:
            return
        self.cancel()
        self._rings_at = at
        self._timer = self._loop.call_at(at, self._now)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = math.inf

    def _now(self) -> None:
        self._timer = None
        self._rings_at = math.inf
        self._ring()
