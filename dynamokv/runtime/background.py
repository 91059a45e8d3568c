"""Background work of one node: recurring jobs that survive their own failures, in one registry.

A job that raises is logged, counted, and runs again at its next turn; ``healthy`` is false while
the last run of any job failed. There are no loose tasks: whatever recurs is here, and ``stop`` ends
all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("dynamokv.runtime")

LAG_PROBE_SECONDS = 0.5


class Background:
    """The recurring jobs of one node, on its loop.

    Attributes:
        loop_lag: seconds by which the loop was late, the last time it was looked at.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.loop_lag = 0.0
        self.failures: dict[str, int] = {}
        self._failing: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def every(self, name: str, seconds: float, job: Callable[[], None]) -> None:
        """Run a job now and then, ``seconds`` after its last run ended."""
        self.failures[name] = 0
        self._timers[name] = self.loop.call_later(seconds, self._run, name, seconds, job)

    def watch_lag(self) -> None:
        """Keep ``loop_lag`` current: what the host application does to this loop."""
        due = [self.loop.time() + LAG_PROBE_SECONDS]

        def probe() -> None:
            now = self.loop.time()
            self.loop_lag = max(0.0, now - due[0])
            due[0] = now + LAG_PROBE_SECONDS

        self.every("loop_lag", LAG_PROBE_SECONDS, probe)

    @property
    def healthy(self) -> bool:
        """Whether every job's last run went well."""
        return not self._failing

    def stop(self) -> None:
        """No job runs any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _run(self, name: str, seconds: float, job: Callable[[], None]) -> None:
        try:
            job()
            self._failing.discard(name)
        except Exception:  # counted, shown by health, and tried again
            self.failures[name] += 1
            self._failing.add(name)
            log.exception("background job %s failed", name)
        if name in self._timers:
            self._timers[name] = self.loop.call_later(seconds, self._run, name, seconds, job)
