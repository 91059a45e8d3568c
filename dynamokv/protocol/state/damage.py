"""A partition of which the store cannot read everything, until other owners have helped.

Knows: what of it the store has quarantined, and who has given what it has since. Must not know:
how anybody is asked (``healing.exchanges``).

Rules:
    - Whoever gave what it has before more was lost has not given what was lost then: that is
      another damage, and all are asked again.
    - Only ranges tell that more was lost. A read, or a new attempt to build the tree, that fails at
      what is quarantined already says nothing new, or no damage that is read often would ever end.
      But a store quarantines also what nobody of the protocol has read.
    - When all have given what they have, these ranges are read again, and no others: more may be
      lost before the store gets to it.
"""

from __future__ import annotations

from dynamokv.ports import Range, Reader
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys


class Damage:
    """One damage; it is told from the next one of the same partition by its identity.

    Attributes:
        lost: ranges of the partition that the store had quarantined when somebody last looked.
        given: other owners that have given what they have since it began.
    """

    __slots__ = ("given", "lost")

    def __init__(self, lost: list[Range]) -> None:
        self.lost = lost
        self.given: set[NodeId] = set()

    def covers(self, lost: list[Range]) -> bool:
        """Whether these are no more than what was lost. What is written again goes from the middle
        of a range, so pieces of it are left."""
        return all(
            any(start <= first and last <= end for start, end in self.lost)
            for first, last in set(lost).difference(self.lost)
        )


class Damages(dict[int, Damage]):
    """Those of one node, by partition.

    Args:
        fresh: partitions with a new damage are added to these.
    """

    def __init__(self, reader: Reader, fresh: list[int]) -> None:
        super().__init__()
        self._reader = reader
        self._fresh = fresh

    def begin(self, partition: int) -> Damage:
        """Something of this partition cannot be read, and nobody has given anything yet."""
        damage = self[partition] = Damage(self._lost(partition))
        self._fresh.append(partition)
        return damage

    def now(self, partition: int) -> Damage | None:
        """The damage of a partition: another one than before if more has been lost."""
        damage = self.get(partition)
        if damage is None:
            return None
        lost = self._lost(partition)
        if not damage.covers(lost):
            return self.begin(partition)
        damage.lost = lost
        return damage

    def _lost(self, partition: int) -> list[Range]:
        first, end = row_keys.partition_range(partition)
        ranges = self._reader.quarantined()
        return [(max(a, first), min(b, end)) for a, b in ranges if a < end and first < b]
