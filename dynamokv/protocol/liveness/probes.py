"""The probes under way, whose turn it is, and how far to trust an ear.

Knows nothing of what is believed, and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Generic, TypeVar

from dynamokv.ports import Rng
from dynamokv.types import NodeId


class Asked:
    """A probe of this member's own.

    Attributes:
        helpers: who was asked to help; empty as long as only the target was asked.
        quiet: those of them that said nothing yet.
        full: an exchange of everything.
        thorough: without an answer of the target, others are asked, and then it is accused.
    """

    __slots__ = ("deadline", "full", "helpers", "quiet", "target", "thorough")

    def __init__(self, target: NodeId, deadline: float, *, full: bool, thorough: bool) -> None:
        self.target = target
        self.deadline = deadline
        self.full = full
        self.thorough = thorough
        self.helpers: list[NodeId] = []
        self.quiet: list[NodeId] = []

    def nack(self, helper: NodeId) -> bool:
        """A helper had no answer; whether this is the first that it says."""
        if helper not in self.quiet:
            return False
        self.quiet.remove(helper)
        return True


class Relay:
    """A probe for another member, which knows it by its own id."""

    __slots__ = ("asker", "deadline", "id", "target")

    def __init__(self, asker: NodeId, id: int, target: NodeId, deadline: float) -> None:
        self.asker = asker
        self.id = id
        self.target = target
        self.deadline = deadline


ProbeT = TypeVar("ProbeT", Asked, Relay)


class Table(Generic[ProbeT]):
    """Probes under way, by the id that the target was asked with."""

    def __init__(self) -> None:
        self._probes: dict[int, ProbeT] = {}

    def __len__(self) -> int:
        return len(self._probes)

    def __getitem__(self, id: int) -> ProbeT:
        return self._probes[id]

    def __setitem__(self, id: int, probe: ProbeT) -> None:
        self._probes[id] = probe

    def get(self, id: int) -> ProbeT | None:
        """This one, as long as it is under way."""
        return self._probes.get(id)

    def pop(self, id: int) -> ProbeT:
        """It is over."""
        return self._probes.pop(id)

    def expired(self, now: float) -> list[int]:
        """Those that nobody answered in time."""
        return [id for id, probe in self._probes.items() if probe.deadline <= now]

    def of(self, target: NodeId) -> list[int]:
        """Those of one target."""
        return [id for id, probe in self._probes.items() if probe.target == target]

    def keep(self, members: Mapping[NodeId, object]) -> None:
        """Drop those of targets that are no members any more."""
        self._probes = {id: p for id, p in self._probes.items() if p.target in members}

    def extend(self, seconds: float) -> None:
        """All get more time."""
        for probe in self._probes.values():
            probe.deadline += seconds

    def next_deadline(self) -> float:
        """When the first one expires."""
        if not self._probes:
            return inf
        return min(probe.deadline for probe in self._probes.values())


class Turns:
    """Whose turn it is to be probed: all members in some order, and then again in another."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._left: list[NodeId] = []

    def become(self, members: Mapping[NodeId, object], added: Iterable[NodeId]) -> None:
        """These are the members. The new ones get a turn in the round that is under way, as if it
        had been shuffled with them."""
        self._left = [id for id in self._left if id in members]
        for id in added:
            self._left.insert(int(self._rng.random() * (len(self._left) + 1)), id)

    def next(self, members: Iterable[NodeId]) -> NodeId:
        """Whose turn it is. There has to be somebody."""
        if not self._left:
            self._left = shuffled(members, self._rng)
        return self._left.pop()


class Health:
    """Lifeguard's local health: 0 while all is well. Who hears less than others waits longer before
    it blames them."""

    def __init__(self, limit: int) -> None:
        self.score = 0
        self._limit = limit

    def change(self, by: int) -> None:
        """Up is worse."""
        self.score = min(self._limit, max(0, self.score + by))

    @property
    def patience(self) -> int:
        """So many times as long."""
        return self.score + 1


class Lateness:
    """Whether something is late as a rule. One time is none, and it takes as many times on time to
    be trusted again, so that what is late every other time does not flap."""

    LIMIT = 3

    def __init__(self) -> None:
        self.slow = False
        self._level = 0

    def note(self, late: bool) -> bool:
        """One more observation; whether ``slow`` changed."""
        self._level = min(self.LIMIT, max(0, self._level + (1 if late else -1)))
        before = self.slow
        self.slow = self._level == self.LIMIT or (before and self._level > 0)
        return self.slow != before


def shuffled(ids: Iterable[NodeId], rng: Rng) -> list[NodeId]:
    """In an order of its own each time."""
    return [id for _, id in sorted((rng.random(), id) for id in ids)]
