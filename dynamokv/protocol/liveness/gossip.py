"""What members tell each other about who answers: the news in their messages, and what is still to
be told.

Knows nothing of probes, timers and verdicts.

Rules:
    - News of a member is ordered by incarnation, then by state; the greater one wins everywhere, so
      the order in which news arrives does not matter.
    - Only a member itself raises its incarnation; its own word is ``ALIVE`` or ``SLOW``.
    - Every message starts with its sender's own word, so a probe and its answer are news too.
    - Each holder tells a piece of news so many times, what was told least often first, and then no
      more. What got lost on the way comes with the next exchange of everything (``Probe.full``).

Sources: Das, Gupta, Motivala, "SWIM" (2002); Dadgar, Phillips, Currey, "Lifeguard" (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nsmallest
from typing import NamedTuple, TypeAlias

from dynamokv.types import NodeId
from dynamokv.wire.probes import BOOT_MS_MAX, COUNTER_MAX, LivenessMessage


class Incarnation(NamedTuple):
    """One claim of a member to be alive: when it started, and how often it had to say so since."""

    boot_ms: int
    counter: int

    def next(self) -> Incarnation:
        """The next higher one; the highest has none."""
        if self.counter < COUNTER_MAX:
            return Incarnation(self.boot_ms, self.counter + 1)
        if self.boot_ms < BOOT_MS_MAX:
            return Incarnation(self.boot_ms + 1, 0)
        return self


NEVER = Incarnation(0, 0)
"""Of a member that nothing was heard of."""


class News(NamedTuple):
    """What somebody (``by``) says of a member. ``lag_ms`` is how late its loop ran, by its own
    word."""

    id: NodeId
    boot_ms: int
    counter: int
    state: int
    lag_ms: int
    by: NodeId

    @property
    def incarnation(self) -> Incarnation:
        """The claim that this is about."""
        return Incarnation(self.boot_ms, self.counter)

    @property
    def rank(self) -> tuple[int, int, int]:
        """Of two pieces of news of one member, the one of higher rank holds."""
        return self.boot_ms, self.counter, self.state


Columns: TypeAlias = tuple[list[bytes], list[int], list[int], list[int], list[int], list[bytes]]


def columns(news: Sequence[News]) -> Columns:
    """The lists that a message carries."""
    # All at once, since the fields of news stand in the order of the columns.
    return tuple(map(list, zip(*news, strict=True)))  # type: ignore[return-value]


def news_of(message: LivenessMessage) -> list[News]:
    """The news that a message carries; its sender's own word is the first."""
    rows = zip(
        message.ids,
        message.boots,
        message.counters,
        message.states,
        message.lags,
        message.accusers,
        strict=True,
    )
    return list(map(News._make, rows))


class Retelling:
    """Whom there is news of, and how often it was told."""

    def __init__(self) -> None:
        self._told: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._told)

    def add(self, id: NodeId) -> None:
        """There is news of this member."""
        self._told[id] = 0

    def again(self, id: NodeId, times: int) -> None:
        """Somebody does not know yet: once more, of the so many ``times``."""
        self._told.setdefault(id, times - 1)

    def forget(self, id: NodeId) -> None:
        """This member is none any more."""
        self._told.pop(id, None)

    def take(
        self, count: int, times: int, without: NodeId, gravity: Callable[[NodeId], int]
    ) -> list[NodeId]:
        """Whom to tell of now, at most ``count``: what was told least often first, and of that the
        gravest. Whoever was told of so many ``times`` is left out from then on."""
        told = self._told
        if not told:
            return []
        chosen = nsmallest(
            count,
            (id for id in told if id != without),
            key=lambda id: (told[id], -gravity(id)),
        )
        for id in chosen:
            told[id] += 1
            if told[id] >= times:
                del told[id]
        return chosen
