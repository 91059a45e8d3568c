"""Which requests are let in: bounded by count and by bytes, refused before any work.

What counts: every request that this process coordinates or passes on, whether its application, a
client or another member asked: its names and values, and the answers that it holds. What does not
count: what this node does for other coordinators, which their credit bounds (``credit.py``), and
background work, which has tables and a rate of its own (``pressure.py``).

Rules:
    - A read that was answered and waits for a late owner in order to repair it is background: it
      takes no place of a request, it has a bound of its own, and it goes first when bytes are
      short.
    - A read reserves what reads brought lately, because its answers cannot be refused any more.
    - A request that finds nothing else under way is let in, however large.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from dynamokv import limits


class Refusal(NamedTuple):
    """Why a request is not let in: the name of a counter, and a text."""

    counter: str
    text: str


BEHIND: Final = Refusal("overloaded_queue", "requests wait for too long before they are read")
"""Of requests from elsewhere, while this node does not keep up (``transit.py``)."""


class _Held:
    """What one request holds."""

    __slots__ = ("answers", "began", "reads", "request", "reserved")

    def __init__(self, began: float, request: int, reserved: int, reads: bool) -> None:
        self.began = began
        self.request = request
        self.reserved = reserved
        self.reads = reads
        self.answers = 0

    @property
    def weight(self) -> int:
        """In bytes, with what may still come."""
        return self.request + max(self.reserved, self.answers)


class Admission:
    """The requests under way of one process.

    Attributes:
        requests: that wait for their answer.
        bytes: that all of them hold, also those that are only trailing.
        trailing: ids of reads that were answered, the oldest first.
    """

    def __init__(self, requests_max: int, bytes_max: int) -> None:
        self.requests = 0
        self.bytes = 0
        self.trailing: OrderedDict[int, None] = OrderedDict()
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._held: dict[int, _Held] = {}
        self._typical_answers = 0.0

    def refusal(self, weight: int, *, reads: bool) -> Refusal | None:
        """Why a request of this weight is not let in; ``None`` when it is."""
        if self.requests >= self._requests_max:
            return Refusal("overloaded_requests", f"{self._requests_max} requests are under way")
        if reads:
            weight += int(self._typical_answers)
        if self._held and self.bytes + weight > self._bytes_max:
            text = f"requests under way hold {self.bytes:,} of {self._bytes_max:,} bytes"
            return Refusal("overloaded_bytes", text)
        return None

    def enter(self, id: int, now: float, weight: int, *, reads: bool) -> None:
        """A request is under way."""
        reserved = int(self._typical_answers) if reads else 0
        self._held[id] = _Held(now, weight, reserved, reads)
        self.requests += 1
        self.bytes += weight + reserved

    def grow(self, id: int, weight: int) -> None:
        """An answer of this weight came for it."""
        held = self._held[id]
        before = held.weight
        held.answers += weight
        self.bytes += held.weight - before

    def trail(self, id: int) -> float:
        """It is answered and goes on in the background. Returns when it began."""
        self.requests -= 1
        self.trailing[id] = None
        return self._held[id].began

    def leave(self, id: int) -> float | None:
        """It is over. Returns when it began, unless it is answered since a while."""
        held = self._held.pop(id)
        self.bytes -= held.weight
        if held.reads:
            self._typical_answers += (held.answers - self._typical_answers) / (
                limits.ANSWER_SMOOTHING
            )
        if id in self.trailing:
            del self.trailing[id]
            return None
        self.requests -= 1
        return held.began

    @property
    def can_give_way(self) -> bool:
        """Whether a request that is refused could be let in without what is trailing."""
        return bool(self.trailing) and self.requests < self._requests_max

    @property
    def too_many_trail(self) -> bool:
        """Whether the oldest trailing one has to go."""
        return len(self.trailing) > limits.TRAILING_MAX
