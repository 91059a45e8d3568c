"""One run of a simulated ring: its cluster, who may let its time pass, and what was done to it.

Rules:
    - Time stands still while nobody waits.
    - One thread at a time lets time pass. Threads are served, but their order is theirs: a test
      that is to do the same in every run uses one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final

from dynamokv.errors import ClosedError
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.network import NOTICE_NS
from dynamokv.testing.simulation.schedule import SECOND

REMEMBERED: Final = 40
"""Lines that a test which fails shows of what happened last."""

SILENCE_NOTICED_NS: Final = 1 * SECOND
"""How long members take to notice that they hear nothing of another, as in production. (A process
that ends is noticed at once, by its broken connections.)"""


class Run:
    """A cluster, who may let its time pass, and what was done to it.

    Attributes:
        log: what happened last, a line each.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lock = RLock()
        self.closed = False
        self.log: deque[str] = deque(maxlen=REMEMBERED)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Nobody else lets time pass meanwhile. Raises ``ClosedError`` when all is over."""
        with self.lock:
            self.check_open()
            yield

    def check_open(self) -> None:
        """Raises ``ClosedError`` when all is over."""
        if self.closed:
            raise ClosedError("this ring was closed: make a new one")

    @property
    def seconds(self) -> float:
        """Virtual time since the beginning."""
        return self.cluster.now_ns / SECOND

    def note(self, who: str, what: str) -> None:
        """For the log."""
        self.log.append(f"{self.seconds:10.4f}  {who:<4}  {what}")

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until it is so; False when it is not after so much."""
        schedule = self.cluster.schedule
        end_ns = schedule.now_ns + round(seconds * SECOND)
        while not done():
            if schedule.now_ns >= end_ns:
                return False
            self.step(end_ns)
        return True

    def step(self, end_ns: int) -> None:
        """What is due next, or nothing until this moment."""
        schedule = self.cluster.schedule
        due_ns = schedule.next_due()
        if due_ns is None or due_ns > end_ns:
            schedule.run_until(end_ns)
        else:
            schedule.once()

    @contextmanager
    def silently(self) -> Iterator[None]:
        """What breaks meanwhile breaks without a word, and is noticed by the silence."""
        network = self.cluster.network
        network.notice_ns = SILENCE_NOTICED_NS
        try:
            yield
        finally:
            network.notice_ns = NOTICE_NS
