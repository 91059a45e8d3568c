"""What happens when: virtual time, and all that is due in it.

Rules:

- Time is an integer of nanoseconds, and goes on only from one thing that is due to the next.
- What is due at the same moment happens in an order that the seed chooses: nothing may depend on
  it. Without a random source it is the order in which it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Final, TypeAlias

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000

Action: TypeAlias = Callable[[], None]


def nanoseconds(seconds: float) -> int:
    """The nearest whole number of them."""
    return round(seconds * SECOND)


class Schedule:
    """The only source of time in a simulation.

    Attributes:
        now_ns: since the beginning.
    """

    def __init__(self, ties: Random | None = None) -> None:
        self.now_ns = 0
        self._tie = ties.random if ties is not None else _in_order
        self._sequence = 0
        self._heap: list[tuple[int, float, int, Action]] = []

    def after(self, delay_ns: int, action: Action) -> None:
        """Do this so much later; a delay below zero is none."""
        self._sequence = sequence = self._sequence + 1
        due_ns = self.now_ns + delay_ns if delay_ns > 0 else self.now_ns
        heappush(self._heap, (due_ns, self._tie(), sequence, action))

    def next_due(self) -> int | None:
        """When something is due next; ``None``: never."""
        return self._heap[0][0] if self._heap else None

    def once(self) -> bool:
        """Do what is due next, when that may be; False when there is nothing."""
        if not self._heap:
            return False
        self.now_ns, _, _, action = heappop(self._heap)
        action()
        return True

    def run_until(self, end_ns: int) -> None:
        """Do all that is due up to this moment, which then is now."""
        heap = self._heap
        while heap and heap[0][0] <= end_ns:
            self.now_ns, _, _, action = heappop(heap)
            action()
        self.now_ns = max(self.now_ns, end_ns)


def _in_order() -> float:
    return 0.0
