"""Causal histories written out in full: what versions and contexts stand for, and are checked by.

Every write is an event that knows all events its writer had seen. A view is a state together with
the set of events that led to it. What a state must hold then needs no dots and no contexts: the
events of its history that no other event of its history has seen. Sets of events are bits of an
integer, event i being bit i, because a campaign makes a million of them.

The world below is one key on several replicas. Every view that ever existed stays in ``views`` and
may be delivered, read or restored later, any number of times: that is reordering, duplication and
delay of whatever length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from hypothesis import strategies as st

from dynamokv.causality.versions import (
    EMPTY,
    Context,
    Dot,
    KeyState,
    Version,
    covers,
    join,
    update,
)
from dynamokv.types import Actor

GAPS = (1, 1, 2, 1000, 1 << 20, 1 << 30)
"""How far a new time is above the last one of its actor: times have gaps, since a clock serves many
keys."""

Step = tuple[int, int, int, int]
"""Which operation, where, on what, and how far the clock went; any integers make a valid step."""


OPERATIONS = 18
STEPS = st.tuples(
    st.integers(0, OPERATIONS - 1), st.integers(0, 3), st.integers(0, 63), st.integers(0, 5)
)


class View(NamedTuple):
    """A state, and the events that it has seen."""

    state: KeyState
    seen: int


class Event(NamedTuple):
    """A write, and the events that its writer had seen."""

    dot: Dot
    seen: int


BLANK = View(EMPTY, 0)


def actor(number: int) -> Actor:
    """Ids whose order is not the order of their making."""
    return Actor((number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8))


class World:
    """One key on several replicas. After each operation the touched view is held against its
    history."""

    def __init__(self, replicas: int) -> None:
        self._names = count()
        self.events: list[Event] = []
        self.replicas = [BLANK] * replicas
        self.actors = [actor(next(self._names)) for _ in range(replicas)]
        self.views = [BLANK]
        self.receipts = [(BLANK, -1)]
        self.used: list[Context] = []
        self.replaced: set[Dot] = set()
        self.counts: Counter[str] = Counter()

    def put(self, at: int, client: View | None, gap: int, own: int = -1) -> View:
        """A write at a replica by a client that read ``client``, and then wrote event ``own`` if
        there is one; ``None`` stands for a put without context.

        A replica that never heard of ``own`` cannot say that it was replaced: there both stay.
        """
        mine = self.replicas[at]
        context = None if client is None else client.state.context
        before = None if own < 0 else self.events[own].dot
        name = self.actors[at]
        above = max(mine.state.context.get(name, 0), (context or {}).get(name, 0))
        dot = Dot(name, above + gap)
        new = len(self.events)
        self.used.append(mine.state.context if context is None else context)
        if before is not None:
            self.replaced.add(before)
        saw = mine.seen if client is None else client.seen
        self.events.append(Event(dot, saw | (mine.seen & 1 << own if own >= 0 else 0)))
        deleted = new % 5 == 4
        version = Version(dot, b"" if deleted else b"%d" % new, deleted)
        if client is not None:
            self.receipts.append((client, new))
        self.counts["put"] += 1
        state = update(mine.state, context, version, before)
        return self._settle(at, View(state, mine.seen | saw | 1 << new))

    def deliver(self, at: int, view: View) -> View:
        """A replica gets somebody's state, of now or of long ago."""
        return self._settle(at, self.join(self.replicas[at], view))

    def join(self, a: View, b: View) -> View:
        """What a read makes of two answers."""
        self.counts["join"] += 1
        return self.checked(View(join(a.state, b.state), a.seen | b.seen))

    def restore(self, at: int, view: View) -> View:
        """A replica falls back to an old state, or to nothing, and takes a name never used
        before."""
        self.counts["restore"] += 1
        self.actors[at] = actor(next(self._names))
        return self._settle(at, view)

    def take(self, step: Step) -> None:
        """One operation out of four integers."""
        operation, where, what, gap = step
        at = where % len(self.replicas)
        view = self.views[what % len(self.views)]
        apart = GAPS[gap % len(GAPS)]
        match operation % OPERATIONS:
            case 0 | 1 | 2:
                self.put(at, None, apart)
            case 3 | 4:
                self.put(at, self.replicas[at], apart)
            case 5 | 6:
                self.put(at, self.replicas[what % len(self.replicas)], apart)
            case 7 | 8:
                self.put(at, view, apart)
            case 9:
                self.put(at, BLANK, apart)
            case 10 | 11:
                client, own = self.receipts[what % len(self.receipts)]
                self.put(at, client, apart, own)
            case 12 | 13 | 14:
                self.deliver(at, self.replicas[what % len(self.replicas)])
            case 15:
                self.deliver(at, view)
            case 16:
                self.views.append(self.join(view, self.replicas[at]))
            case _:
                self.restore(at, view)

    def checked(self, view: View) -> View:
        """The view, which holds exactly what its history says."""
        state, seen = view
        times: dict[Actor, int] = {}
        overwritten = 0
        for event in self.among(seen):
            overwritten |= event.seen
            name, time = event.dot
            if times.get(name, 0) < time:
                times[name] = time
        expected = sorted(event.dot for event in self.among(seen & ~overwritten))
        assert [version.dot for version in state.versions] == expected
        assert dict(state.context) == times
        siblings = len(expected)
        if siblings > 2:
            self.counts["siblings"] += 1
        return view

    def covered_exactly(self, view: View) -> None:
        """The context covers what was seen, and nothing else that was ever written."""
        for number, event in enumerate(self.events):
            assert covers(view.state.context, event.dot) == bool(view.seen >> number & 1)

    def among(self, seen: int) -> Iterator[Event]:
        """The events of a set."""
        while seen:
            yield self.events[(seen & -seen).bit_length() - 1]
            seen &= seen - 1

    def everything(self) -> View:
        """All views joined: what the replicas come to once all messages have arrived."""
        whole = BLANK
        for view in self.views:
            whole = self.join(whole, view)
        assert whole.seen == (1 << len(self.events)) - 1
        return whole

    def _settle(self, at: int, view: View) -> View:
        self.replicas[at] = self.checked(view)
        self.views.append(view)
        return view


def play(replicas: int, steps: Iterable[Step]) -> World:
    """A world after these steps."""
    world = World(replicas)
    for step in steps:
        world.take(step)
    return world


def worlds() -> st.SearchStrategy[World]:
    """Any world after a few steps."""
    return st.builds(play, st.integers(1, 4), st.lists(STEPS, max_size=40))
