"""The threads that do a store's chores, and how writers wait for them.

Knows: threads and waiting. Must not know: what a chore does.

A flush and a merge run at once, each in a child process of its own, so their threads mostly wait
for a pipe; the third has the log synced ahead, and waits for the disk. Nothing here holds a lock
while it works.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

IDLE_SECONDS: Final = 60.0
"""Without being woken, a thread looks this often whether a table is due for scrubbing."""

_logger = logging.getLogger("dynamokv.storage")


class Steps(Protocol):
    """What ``Chores`` shows to its threads."""

    retry_at: dict[str, float]

    def flush_step(self) -> bool:
        """One flush; False when there is none, or it failed."""
        ...

    def merge_step(self) -> bool:
        """One merge, or whatever else is due; False as above."""
        ...


class Background:
    """Runs the steps in threads until ``close``."""

    def __init__(self, steps: Steps, sync: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._steps = steps
        self._clock = clock
        self._changed = threading.Condition()
        self._round = 0
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, args=(kind, step), name=name, daemon=True)
            for kind, step, name in (
                ("flush", steps.flush_step, "dynamokv-flush"),
                ("sync", sync, "dynamokv-sync"),
                ("merge", steps.merge_step, "dynamokv-merge"),
            )
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        with self._changed:
            self._round += 1
            self._changed.notify_all()

    def wait(self, timeout_seconds: float) -> None:
        """Until a step was done, or this time has passed."""
        with self._changed:
            if not self._closing:
                self._changed.wait(timeout_seconds)

    def close(self) -> None:
        """No more steps; returns when the last one has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def _run(self, kind: str, step: Callable[[], bool]) -> None:
        seen = -1
        while True:
            with self._changed:
                pause = self._pause(kind, idle=seen == self._round)
                if pause and not self._closing:
                    self._changed.wait(pause)
                if self._closing:
                    return
                if self._pause(kind, idle=False):
                    # Woken early. What failed is not tried again at every knock.
                    continue
                seen = self._round
            # Spent by this try; another failure sets it anew.
            self._steps.retry_at[kind] = 0.0
            try:
                worked = True
                while worked and not self._closing:
                    worked = step()
                    if worked:
                        # Writers may be waiting for it, and another thread for its result.
                        self.wake()
            except Exception:  # a bug; the store goes on without this step until it is due again
                _logger.exception("a %s ended in an error", kind)
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, IDLE_SECONDS)

    def _pause(self, kind: str, *, idle: bool) -> float:
        """How long to wait, unless woken: until the next try of what failed, or a long time."""
        retry_at = self._steps.retry_at.get(kind, 0.0)
        if retry_at:
            return min(max(retry_at - self._clock(), 0.0), IDLE_SECONDS)
        return IDLE_SECONDS if idle else 0.0
