"""What the collecting of tombstones has to know of trees and hints, and no more."""

from __future__ import annotations

from typing import Protocol


class Trees(Protocol):
    """What this node's store shows."""

    def root(self, partition: int) -> bytes | None:
        """All of a partition in a few bytes; ``None`` while that is not known."""
        ...

    def passing(self, partition: int) -> int:
        """Rows of a partition in which nothing is there to stay; 0 while that is not known."""
        ...


class Hints(Protocol):
    """What this node keeps for others."""

    def holds(self, partition: int) -> bool:
        """Whether something of this partition waits here, or that is not known yet."""
        ...
