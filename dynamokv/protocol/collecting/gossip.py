"""What members tell each other of their horizons, and how one that is behind catches up.

Rules:
    - Who is behind, and holds the very same as a member that is not, knows all that its horizon
      says: it takes the horizon over. It fences first, and looks again once all that was written
      before is applied.
    - Who is behind and holds something else is rebuilt from the other one (``catching_up``).
    - Whoever is ahead says so, once.
    - A newcomer takes a floor over whatever its own clock says: it was not asked when the others
      promised it. It is written before the first page of its copy is. Everybody else has promised
      for itself, and a clock that is far ahead must not carry it along.
    - A horizon is another matter: nobody has one that not all have promised. Whoever is told of one
      above its own floor has lost that promise, with its disk or in a backup, and takes it over
      again, however slow its clock is. Else the others would drop what it writes as deleted.
    - A statement says what was so when it was sent. If its sender has lost something since, what it
      said of its tree then was true all the same.
"""

from __future__ import annotations

from dynamokv.ports import Row
from dynamokv.protocol.collecting.catching_up import CatchingUp
from dynamokv.protocol.collecting.sweeper import Sweeper
from dynamokv.protocol.collecting.views import Trees
from dynamokv.protocol.effects import Effect, Passed, Send, Write
from dynamokv.protocol.state.home import Home
from dynamokv.types import NodeId
from dynamokv.wire.rounds import Horizons


class Teller:
    """The statements of one member, and what it makes of those of others."""

    def __init__(self, home: Home, trees: Trees, sweeper: Sweeper, catching_up: CatchingUp) -> None:
        self.home = home
        self.trees = trees
        self.sweeper = sweeper
        self.catching_up = catching_up

    def show(self, peer: NodeId) -> list[Effect]:
        """What this member can say of partitions that both own, if it can say anything."""
        horizons = self.home.horizons
        if not horizons.floor:
            return []
        shared = [p for p in horizons.adopted if self._both_own(p, peer)]
        return [Send(peer, self._statement(sorted(shared)))]

    def show_somebody(self) -> list[Effect]:
        """The same, to a member that chance chooses."""
        peers = sorted(self.home.up - {self.home.node_id})
        return self.show(peers[int(self.home.rng.random() * len(peers))]) if peers else []

    def _statement(self, partitions: list[int]) -> Horizons:
        horizons = self.home.horizons
        return Horizons(
            self.home.epoch,
            horizons.floor,
            partitions,
            [horizons.adopted[p] for p in partitions],
            [horizons.collected.get(p, 0) for p in partitions],
            [self.trees.root(p) or b"" for p in partitions],
        )

    def on_horizons(self, peer: bytes, message: Horizons) -> list[Effect]:
        """What another member says of its own."""
        home, horizons = self.home, self.home.horizons
        if not home.is_member(peer):
            home.counters["unexpected_messages"] += 1
            return []
        horizons.heard.add(peer)
        rows = self._floor(message.floor, max(message.horizons, default=0))
        effects: list[Effect] = []
        same = self._same(peer, message) if message.epoch == home.epoch else []
        if rows or same:
            then = Passed(peer, _part(message, same), horizons.drawn) if same else None
            effects.append(Write(rows, then, synced=bool(rows)))
        if message.epoch != home.epoch:
            return effects
        ours = horizons.adopted
        theirs = list(zip(message.partitions, message.horizons, strict=True))
        equal = {
            p: collected
            for (p, horizon), collected in zip(theirs, message.collected, strict=True)
            if horizon == ours.get(p)
        }
        ahead = [p for p, horizon in theirs if horizon < ours.get(p, 0) and self._both_own(p, peer)]
        effects += self.collect(equal)
        return effects + ([Send(peer, self._statement(ahead))] if ahead else [])

    def _floor(self, floor: int, agreed: int) -> list[Row]:
        """Rows that say that this member, too, makes no write below this floor, or at least below
        what all have ``agreed`` upon."""
        home = self.home
        if floor <= home.horizons.floor:
            return []
        if home.topology is not None and home.topology.change == home.node_id:
            home.hybrid.pass_by(floor)
        elif not home.hybrid.observe(floor, home.clock.wall_ms()):
            if agreed <= home.horizons.floor:
                return []
            floor = agreed
            home.hybrid.pass_by(floor)
            home.counters["promises_recalled"] += 1
        return home.horizons.promise(floor)

    def _same(self, peer: bytes, message: Horizons) -> list[int]:
        """The places of partitions in which this member is behind, and holds the same."""
        horizons, same = self.home.horizons, []
        for at, (partition, root) in enumerate(zip(message.partitions, message.trees, strict=True)):
            horizon = message.horizons[at]
            if horizon <= horizons.adopted.get(partition, 0) or not self._both_own(partition, peer):
                continue
            if self.trees.root(partition) == root:
                horizons.fence(partition, horizon, peer)
                same.append(at)
            else:
                self.home.counters["behind"] += 1
                self.catching_up.begin(peer, partition, horizon)
        return same

    def on_passed(self, peer: bytes, message: Horizons, drawn: int) -> list[Effect]:
        """This member was behind, and held the same as one that is not. Does it still, now that
        nothing old can come in?"""
        home, horizons = self.home, self.home.horizons
        if message.epoch != home.epoch:
            return []
        rows: list[Row] = []
        times: dict[int, int] = {}
        for at, partition in enumerate(message.partitions):
            horizon = message.horizons[at]
            if not horizons.is_fenced(partition, horizon, peer, drawn):
                continue
            if self.trees.root(partition) == message.trees[at]:
                rows.append(horizons.adopt(partition, horizon))
                times[partition] = message.collected[at]
            else:
                horizons.lift(partition, horizon, peer)
        home.counters["horizons_taken_over"] += len(rows)
        return [Write(rows, synced=True), *self.collect(times)] if rows else []

    def collect(self, times: dict[int, int]) -> list[Effect]:
        """All owners have these horizons, by partition: what is dead below them goes."""
        rows: list[Row] = []
        for partition, time in times.items():
            risen = self.home.horizons.collect(partition, time)
            if risen:
                rows += risen
                self.sweeper.begin(partition)
        return [Write(rows)] if rows else []

    def _both_own(self, partition: int, peer: bytes) -> bool:
        owners = self.home.owners_of(partition)
        return self.home.node_id in owners and peer in owners


def _part(message: Horizons, places: list[int]) -> Horizons:
    """What it says of the partitions at these places."""
    epoch, floor, partitions, horizons, collected, trees = message
    return Horizons(
        epoch,
        floor,
        [partitions[at] for at in places],
        [horizons[at] for at in places],
        [collected[at] for at in places],
        [trees[at] for at in places],
    )
