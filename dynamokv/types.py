"""The vocabulary that every layer shares: ids, consistency levels, durability.

Knows nothing above it. An id is plain ``bytes`` under a name of its own, so that the type checker
keeps them apart and the wire carries them as they are.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NewType

from dynamokv.errors import UsageError

NodeId = NewType("NodeId", bytes)
"""16 random bytes, minted once and kept in the data directory. The address is an attribute, never
the identity."""

Actor = NewType("Actor", bytes)
"""8 opaque bytes for (node id, storage epoch): the left half of a dot. See ``causality.versions``.
"""

ClusterId = NewType("ClusterId", bytes)
"""16 random bytes, minted by the founder of a ring."""

NODE_ID_BYTES = 16
CLUSTER_ID_BYTES = 16
ACTOR_BYTES = 8


class Consistency(IntEnum):
    """How many replicas must answer. Any number from 1 to n may stand in its place.

    The numbers travel on the wire: append, never change.
    """

    QUORUM = 0
    ONE = 1
    TWO = 2
    ALL = 255

    @classmethod
    def parse(cls, value: Consistency | str | int) -> int:
        """The wire number of a level given as a member, a name in any case, or a count of replicas.

        Raises:
            UsageError: for anything else, naming what is allowed.
        """
        if type(value) is cls:
            return int(value)
        if isinstance(value, str) and value.upper() in cls.__members__:
            return int(cls[value.upper()])
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < cls.ALL:
            return value
        raise UsageError(
            f"consistency must be ONE, TWO, QUORUM, ALL or a number of replicas, not {value!r}"
        )


def replicas_needed(level: int, replicas: int) -> int:
    """How many of ``replicas`` must answer at ``level``; above ``replicas`` means that it cannot be
    met."""
    if level == Consistency.QUORUM:
        return replicas // 2 + 1
    if level == Consistency.ALL:
        return replicas
    return level


class Durability(Enum):
    """When an acknowledged write is safe from a crash of this member's machine. A killed process
    loses nothing at any."""

    FSYNC = "fsync"
    """Before the acknowledgement: one shared fsync for all writes that arrived while the last one
    ran."""

    INTERVAL = "interval"
    """Within ``fsync_interval`` seconds: a power cut loses that much of this member's own copy."""

    OS = "os"
    """Whenever the kernel writes back (seconds): for data that is replicated on machines which do
    not fail together."""
