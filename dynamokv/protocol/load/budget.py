"""A token bucket that fills with work instead of time: extra work is a share of the work.

Rule: tokens are earned by requests, so a budget needs no clock, and a node that does nothing saves
up no more than the burst.
"""

from __future__ import annotations


class Budget:
    """Full at first.

    Attributes:
        tokens: extra work that may be done now.
        refused: extra work that was not done for want of tokens.
    """

    __slots__ = ("burst", "refused", "share", "tokens")

    def __init__(self, share: float, burst: float) -> None:
        self.share = share
        self.burst = burst
        self.tokens = burst
        self.refused = 0

    def earn(self) -> None:
        """One request was begun."""
        self.tokens = min(self.burst, self.tokens + self.share)

    def spend(self, wanted: int) -> int:
        """How much of this extra work may be done."""
        granted = min(wanted, int(self.tokens))
        self.tokens -= granted
        self.refused += wanted - granted
        return granted
