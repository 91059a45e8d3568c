"""What a checker found: one typed object each."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Rule(Enum):
    """What was broken. The letters are those of the test plan."""

    ACKNOWLEDGED = "a"
    """Every acknowledged write is present, or was overwritten by one that had seen it."""
    ERASURE = "b"
    """A version disappears only for a write whose author had seen it, and none is invented."""
    QUORUM = "c"
    """A quorum is one, and a read after an acknowledged write sees it or something newer."""
    DELETES = "d"
    """What was deleted, or overwritten, stays so."""
    CONVERGENCE = "e"
    """After healing all replicas of a key are equal, and reads find nothing to repair."""
    TREES = "trees"
    """A tree says what its store holds, at any moment."""
    HINTS = "hints"
    """A receipt says who stood in for whom; after healing everybody has what was kept for it."""
    MEMBERSHIP = "membership"
    """An epoch names one ring, and an identity one member."""
    LIVENESS = "liveness"
    """After healing everything works again; every request has one answer, in time."""
    HUNG = "hung"
    """A run is over in a reasonable time."""
    CRASH = "crash"
    """No exception leaves a core, an engine or a runtime."""


class Finding(NamedTuple):
    """One breach.

    Attributes:
        at_ns: the virtual time at which it was noticed.
        key: the row, or nothing when it is about no row.
    """

    rule: Rule
    at_ns: int
    key: bytes
    text: str

    def __str__(self) -> str:
        about = f" key {self.key[4:].decode(errors='replace')!r}" if self.key else ""
        return f"({self.rule.value}) at {self.at_ns / 1e9:.3f} s{about}: {self.text}"
