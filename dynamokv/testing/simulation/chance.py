"""Whether something happens, and how long it takes: each with a random stream of its own, so that
one fault more or less leaves all others as they were.

Only ``Random.random`` is used, and the four rules of arithmetic: the same everywhere.
"""

from __future__ import annotations

from random import Random


class Chance:
    """How often something happens: ``share`` of all times, 0.0 never, 1.0 always.

    Attributes:
        struck: how often it did.
    """

    __slots__ = ("random", "share", "struck")

    def __init__(self, random: Random, share: float = 0.0) -> None:
        self.random = random
        self.share = share
        self.struck = 0

    def strikes(self) -> bool:
        """Whether it happens this time. Asked only where ``share`` is not 0, it costs nothing where
        nothing is to happen."""
        struck = self.random.random() < self.share
        self.struck += struck
        return struck


class Delay:
    """How long something takes, from ``low_ns`` to ``high_ns``; ``tail``: how rare the long ones
    are, from 1, where all are alike, upwards."""

    __slots__ = ("high_ns", "low_ns", "random", "tail")

    def __init__(self, random: Random, low_ns: int, high_ns: int, tail: int = 1) -> None:
        self.random = random
        self.low_ns = low_ns
        self.high_ns = high_ns
        self.tail = tail

    def sample(self) -> int:
        """One of them."""
        low_ns, high_ns = self.low_ns, self.high_ns
        if low_ns == high_ns:
            return low_ns
        share = drawn = self.random.random()
        for _ in range(self.tail - 1):
            share *= drawn
        return low_ns + int((high_ns - low_ns) * share)

    def set(self, low_ns: int, high_ns: int, tail: int = 1) -> None:
        """From now on it takes this long."""
        self.low_ns, self.high_ns, self.tail = low_ns, high_ns, tail
