"""What a member does so that tombstones go: it drives rounds, takes their steps, shows others its
horizons, and collects what is dead below them.

Rules:
    - The first owner of a partition drives, and only while all members are up and something there
      can be collected.
    - A round asks what ``round.py`` says. Each step is answered only once what it
      promises is on the disk, and all that was written before is applied.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv import limits
from dynamokv.causality.hlc import time_at
from dynamokv.protocol.collecting.catching_up import CatchingUp
from dynamokv.protocol.collecting.gossip import Teller
from dynamokv.protocol.collecting.round import Drive, agreed
from dynamokv.protocol.collecting.sweeper import Sweeper
from dynamokv.protocol.collecting.views import Hints, Trees
from dynamokv.protocol.effects import Effect, Passed, Send, Write
from dynamokv.protocol.state.home import Home
from dynamokv.wire.rounds import Agreed, Horizons, Round, RoundStep

SHOW_GRACES = 10
"""Horizons are shown no more often than once in so many graces."""


class Collector:
    """The horizons of one member, at work.

    Attributes:
        sweeper: what takes rows away.
        teller: what talks of horizons.
        catching_up: what brings this member up to them.
    """

    def __init__(self, home: Home, trees: Trees, hints: Hints, new_id: Callable[[], int]) -> None:
        self.home = home
        self.trees = trees
        self.hints = hints
        self.sweeper = Sweeper(home, trees)
        self.catching_up = CatchingUp(home, new_id)
        self.teller = Teller(home, trees, self.sweeper, self.catching_up)
        self._new_id = new_id
        self._drive: Drive | None = None
        self._round_at = self._show_at = 0.0

    @property
    def due(self) -> float:
        """When ``tick`` has something to do."""
        due = min(self._round_at, self._show_at, self.sweeper.due, self.catching_up.due)
        return due if self._drive is None else min(due, self._drive.deadline)

    def tick(self, now: float) -> list[Effect]:
        """What is due."""
        effects: list[Effect] = []
        drive = self._drive
        if drive is not None and (now >= drive.deadline or drive.epoch != self.home.epoch):
            effects += self._after(drive.give_up())
        grace = self.home.settings.tombstone_grace
        if now >= self._round_at:
            self._round_at = now + min(limits.COLLECT_SECONDS, grace)
            effects += self._begin()
        if now >= self._show_at:
            self._show_at = now + min(limits.COLLECT_SECONDS, SHOW_GRACES * grace)
            effects += self.teller.show_somebody()
        return effects + self.sweeper.step(now) + self.catching_up.step(now)

    # --- driving ----------------------------------------------------------------------------------

    def _begin(self) -> list[Effect]:
        """A round, if something can be collected and everybody is there."""
        home, topology = self.home, self.home.topology
        if self._drive is not None or topology is None or topology.change is not None:
            return []
        grace_ms = round(home.settings.tombstone_grace * 1000)
        # No two rounds have the same time, also where a clock stands still.
        time = time_at(max(0, home.clock.wall_ms() - grace_ms)) + self._new_id() % time_at(1)
        partitions = self._ripe(time)[: limits.ROUND_PARTITIONS_MAX]
        everybody = all(home.is_up(member.node_id) for member in topology.members)
        if not partitions or not everybody or not home.writable:
            return []
        self._drive = Drive(home, self._new_id, self.trees, self.serve_round, time, partitions)
        return self._after(self._drive.start())

    def _ripe(self, time: int) -> list[int]:
        """Partitions that this member drives, and in which something may go at this horizon. One
        that nobody has looked at yet is looked at first."""
        home, sweeper, trees = self.home, self.sweeper, self.trees
        found = []
        for partition, owners in enumerate(home.owners):
            if home.node_id not in owners or not trees.passing(partition):
                continue
            if sweeper.is_under_way(partition):
                continue
            survey = sweeper.surveys.get(partition)
            if survey is None:
                sweeper.begin(partition)
            elif owners[0] == home.node_id and survey.next_at(trees.root(partition)) <= time:
                found.append(partition)
        return found

    def _after(self, effects: list[Effect]) -> list[Effect]:
        if self._drive is not None and self._drive.done:
            self._drive = None
        return effects

    def on_agreed(self, peer: bytes, message: Agreed) -> list[Effect]:
        """Somebody has taken the step of a round, or still has a horizon."""
        if self.catching_up.awaits(message.id):
            return self.catching_up.on_reply(peer, message)
        return self._after(self._drive.on_agreed(peer, message)) if self._drive else []

    # --- taking the steps of a round --------------------------------------------------------------

    def serve_round(self, peer: bytes, message: Round) -> list[Effect]:
        """One step, of a round of this epoch."""
        home = self.home
        if not home.is_member(peer):
            home.counters["unexpected_messages"] += 1
            return []
        mine = [p for p in message.partitions if home.node_id in home.owners_of(p)]
        match message.step:
            case RoundStep.SETTLE:
                return self._settle(peer, message)
            case RoundStep.CONFIRM:
                for partition in mine:
                    home.horizons.fence(partition, message.time, peer)
                return [Write([], Passed(peer, message, home.horizons.drawn))]
            case RoundStep.HOLD:
                held = [p for p in mine if home.horizons.adopted.get(p, 0) >= message.time]
                return [Send(peer, Agreed(message.id, held))]
            case RoundStep.ABANDON:
                for partition in mine:
                    home.horizons.lift(partition, message.time, peer)
                return []
            case RoundStep.ADOPT:
                return self._adopt(peer, message, mine)
            case RoundStep.COLLECT:
                return self.teller.collect(dict.fromkeys(mine, message.time))
        home.counters["unexpected_messages"] += 1
        return []

    def _settle(self, peer: bytes, message: Round) -> list[Effect]:
        home = self.home
        if not home.hybrid.observe(message.time, home.clock.wall_ms()):
            # This clock is too far behind, or the driver's too far ahead.
            home.counters["rounds_refused"] += 1
            return [Write([], agreed(home, peer, Agreed(message.id, [])))]
        free = [p for p in self._same(peer, message, message.partitions) if not self.hints.holds(p)]
        rows = home.horizons.promise(message.time)
        return [Write(rows, agreed(home, peer, Agreed(message.id, free)), synced=True)]

    def _adopt(self, peer: bytes, message: Round, partitions: list[int]) -> list[Effect]:
        horizons, time = self.home.horizons, message.time
        ours = [
            p
            for p in partitions
            if horizons.is_fenced(p, time, peer) or horizons.adopted.get(p) == time
        ]
        rows = [horizons.adopt(p, time) for p in ours]
        return [Write(rows, agreed(self.home, peer, Agreed(message.id, ours)), synced=True)]

    def on_passed(self, passed: Passed) -> list[Effect]:
        """All that was written before this message came is applied."""
        peer, message, drawn = passed
        if type(message) is Agreed:
            return self.on_agreed(peer, message)
        if type(message) is Horizons:
            return self.teller.on_passed(peer, message, drawn)
        assert type(message) is Round
        return self._confirm(peer, message, drawn) if message.epoch == self.home.epoch else []

    def _confirm(self, peer: bytes, message: Round, drawn: int) -> list[Effect]:
        horizons, time = self.home.horizons, message.time
        fenced = [p for p in message.partitions if horizons.is_fenced(p, time, peer, drawn)]
        if peer == self.home.node_id:
            return self._after(self._drive.on_fenced(message, fenced)) if self._drive else []
        same = self._same(peer, message, fenced)
        for partition in set(fenced) - set(same):
            horizons.lift(partition, time, peer)
        return [Send(peer, Agreed(message.id, same))]

    def _same(self, peer: bytes, message: Round, partitions: list[int]) -> list[int]:
        """Those of these that this member holds as the driver does, or does not own."""
        home = self.home
        if peer == home.node_id:
            return partitions
        roots = dict(zip(message.partitions, message.roots, strict=False))
        return [
            p
            for p in partitions
            if home.node_id not in home.owners_of(p) or self.trees.root(p) == roots.get(p, b"")
        ]
