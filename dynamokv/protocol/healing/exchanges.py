"""Anti-entropy: which partitions are compared with which of their other owners, and when.

Knows: who owns what, who came back, how much may be under way. Must not know: what is said in an
exchange (``exchange``, ``exchange_answers``).

Rules:
    - At once: with all others, when a tree of this node has become known, as after its start, and
      when the ring has changed; one partition, when somebody asks for it.
    - Soon: with an owner that is up again. If it was down, it asks at once, and gets all it missed
      from one peer; the others then find it equal.
    - One exchange about a partition at a time, so that nothing is fetched twice.
    - Slowly: each partition with each other owner once a round. One side of a pair drives the
      round; who it is differs between partitions, so that both do half.
    - Where both sides want the same comparison, one exchange is enough: it repairs both. The one
      with the lower id has its way.
    - An exchange that brought something, or was given up, is followed by another one a little
      later. So a difference that was left over for any reason is found soon, and it ends when both
      roots are equal.
    - A partition of which the store cannot read everything is compared as if it held only what it
      can read; it answers nobody meanwhile, and its quarantine keeps reads away from it. Only when
      that was done with all other owners since the last damage (``state.damage``) is it read again,
      without what nobody brought back: a write that this owner acknowledged may be at any of them.
    - A newcomer that is being filled gets everything anyway, and compares nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from dynamokv import limits
from dynamokv.merkle.messages import CompareRoot, Question
from dynamokv.merkle.tree import Sums, Tree
from dynamokv.protocol.effects import Effect, ExchangeStored, Mend
from dynamokv.protocol.healing.exchange import Talk
from dynamokv.protocol.healing.exchange_answers import Answers
from dynamokv.protocol.state.home import Home
from dynamokv.types import NodeId
from dynamokv.wire.messages import Refused


class Exchanges:
    """Those of one node.

    Attributes:
        asked: messages whose answers are awaited, by their ids.
        talks: exchanges under way, by peer and partition.
    """

    def __init__(self, home: Home, new_id: Callable[[], int]) -> None:
        self.home = home
        self.answers = Answers(home)
        self.asked: dict[int, Talk] = {}
        self.talks: dict[tuple[NodeId, int], Talk] = {}
        self._new_id = new_id
        self._epoch = 0
        self._wanted: dict[NodeId, dict[int, None]] = {}
        self._startable = False
        self._later: dict[tuple[NodeId, int], float] = {}
        self._later_at = math.inf
        self._under_way: Counter[NodeId] = Counter()
        self._rounds: dict[NodeId, _Round] = {}
        self._beat_at = 0.0
        self._step_at = 0.0
        self._start_at = 0.0

    # --- what is wanted ---------------------------------------------------------------------------

    def want(self, partition: int) -> None:
        """Compare this partition with all its other owners, soon."""
        for peer in self._others(partition):
            self._want(peer, partition)

    def on_return(self, peer: NodeId) -> list[Effect]:
        """A member is up that was not: it, or this node, may have missed something."""
        soon = self.home.clock.monotonic() + limits.EXCHANGE_AGAIN_SECONDS
        forest = self.home.forest
        for partition in [*forest.plots, *forest.unreadable]:
            if peer in self._others(partition):
                self._compare_later(peer, partition, soon)
        return []

    @property
    def waiting(self) -> int:
        """What may still differ from other owners, as far as this node can tell: comparisons that
        are due, or under way, and partitions that are compared as soon as their trees are known."""
        forest = self.home.forest
        due = sum(map(len, self._wanted.values())) + len(self._later)
        return due + len(self.talks) + len(forest.fresh) + len(forest.unknown)

    def compared_at(self) -> float | None:
        """When the last round with each peer was through, of the peer for whom that is longest ago;
        None while some round never was."""
        ends = [each.ended for each in self._rounds.values()]
        known = [end for end in ends if end is not None]
        return min(known) if known and len(known) == len(ends) else None

    def _others(self, partition: int) -> list[NodeId]:
        home = self.home
        if home.topology is None or partition >= len(home.owners):
            return []
        filling, owners = home.topology.change, home.owners[partition]
        if home.node_id not in owners or filling == home.node_id:
            return []
        return [owner for owner in owners if owner not in (home.node_id, filling)]

    def _want(self, peer: NodeId, partition: int) -> None:
        self._wanted.setdefault(peer, {}).setdefault(partition)
        self._startable = True

    def _compare_later(self, peer: NodeId, partition: int, soon: float) -> None:
        self._later[peer, partition] = soon
        self._later_at = min(self._later_at, soon)

    # --- time -------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When ``tick`` has something to do, in the clock's monotonic seconds."""
        home = self.home
        if home.forest.fresh or home.epoch != self._epoch:
            return self._step_at
        due = min(self._beat_at, self._later_at, self.answers.due)
        if self._startable:
            due = min(due, self._start_at)
        if self.talks:
            due = min(due, min(talk.due for talk in self.talks.values()))
        return due if due > self._step_at else self._step_at

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: a bounded piece of work."""
        if now < self.due:
            return []
        self._step_at = now + limits.TREE_STEP_SECONDS
        home = self.home
        if home.epoch != self._epoch:
            self._settle()
        for partition in home.forest.fresh:
            self.want(partition)
        home.forest.fresh.clear()
        if now >= self._beat_at:
            self._beat(now)
        for at in [at for at, soon in self._later.items() if soon <= now]:
            del self._later[at]
            self._want(*at)
        self._later_at = min(self._later.values(), default=math.inf)
        effects = self.answers.step() if self.answers.due <= now else []
        readers = 1
        for talk in list(self.talks.values()):
            if talk.due > now or (talk.reads and not readers):
                continue
            readers -= talk.reads
            effects += self._after(talk, talk.step(now))
        return effects + self._start(now)

    def _settle(self) -> None:
        """The ring has changed: whatever was compared under the old one is compared again."""
        home = self.home
        self._epoch = home.epoch
        for talk in list(self.talks.values()):
            self._drop(talk)
        self._wanted, self._later = {}, {}
        for damage in home.forest.unreadable.values():
            damage.given.clear()
        rounds: dict[NodeId, list[int]] = {}
        for partition in range(len(home.owners)):
            for peer in self._others(partition):
                self._want(peer, partition)
                if (home.node_id < peer) ^ bool(partition & 1):
                    rounds.setdefault(peer, []).append(partition)
        self._rounds = {peer: _Round(partitions) for peer, partitions in rounds.items()}

    def _beat(self, now: float) -> None:
        """Go on with the slow rounds, and with what nobody keeps for those who missed it."""
        self._beat_at = now + limits.EXCHANGE_BEAT_SECONDS
        for partition in sorted(self.home.hints.unhinted):
            self.want(partition)
        self.home.hints.unhinted.clear()
        for partition in list(self.home.forest.unreadable):
            # What is lost is written again, and may be lost again: nothing of that may be missed.
            self.home.forest.unreadable.now(partition)
        for peer, each in self._rounds.items():
            if peer in self.home.up:
                for partition in each.next(now):
                    self._want(peer, partition)
        self.home.forest.compared_at = self.compared_at()

    def _start(self, now: float) -> list[Effect]:
        """Begin with what is wanted, as far as there is room, and nobody is hindered."""
        home, effects = self.home, list[Effect]()
        pressure = home.load.pressure
        if not pressure.may_work(now):
            self._start_at = now + pressure.pause(now)
            return effects
        self._startable = False
        busy = {partition for _, partition in self.talks}
        for peer, wanted in self._wanted.items():
            if peer not in home.up:
                continue
            for partition in list(wanted):
                full = self._under_way[peer] >= limits.EXCHANGES_PER_PEER
                if full or len(self.talks) >= limits.EXCHANGES_MAX:
                    break
                if partition in busy:
                    continue
                del wanted[partition]
                tree: Sums | None = home.forest.tree(partition)
                damage = home.forest.unreadable.now(partition)
                if damage is not None:
                    tree = Tree(home.forest.seed)
                if tree is None:
                    # It is compared as soon as it is known.
                    continue
                fields = (home, peer, partition, tree, self._new_id, self.asked)
                talk = Talk(*fields, damage=damage)
                self.talks[peer, partition] = talk
                busy.add(partition)
                self._under_way[peer] += 1
                effects += talk.step(now)
        return effects

    # --- what comes in ----------------------------------------------------------------------------

    def on_question(self, home: Home, peer: bytes, question: Question) -> list[Effect]:
        """Another owner compares a partition."""
        peer = NodeId(peer)
        if type(question) is CompareRoot and home.forest.tree(question.partition) is not None:
            self._wanted.get(peer, {}).pop(question.partition, None)
            talk = self.talks.get((peer, question.partition))
            if talk is not None and talk.at_the_root and peer < home.node_id:
                self._drop(talk)
        return self.answers.on_question(peer, question)

    def on_reply(self, peer: bytes, message: Any) -> list[Effect]:
        """An answer, or a refusal, to what an exchange has asked."""
        talk = self.asked.get(message.id)
        if talk is None or talk.peer != peer:
            self.home.counters["late_replies"] += 1
            return []
        now = self.home.clock.monotonic()
        if talk.at_the_root and type(message) is not Refused:
            self.home.counters["trees_compared"] += 1
        return self._after(talk, talk.on_reply(message, now)) + self._start(now)

    def on_stored(self, event: ExchangeStored) -> list[Effect]:
        """What an exchange has fetched is durable, or was refused."""
        talk = self.talks.get((NodeId(event.peer), event.partition))
        if talk is None or talk.salt != event.salt:
            return []
        now = self.home.clock.monotonic()
        return self._after(talk, talk.on_stored(stored=event.stored, now=now))

    def on_peer_down(self, peer: NodeId) -> None:
        """It answers nothing any more, and waits for nothing; it is compared when it is back."""
        self.answers.forget(peer)
        for talk in [talk for talk in self.talks.values() if talk.peer == peer]:
            self._drop(talk)

    def _after(self, talk: Talk, effects: list[Effect]) -> list[Effect]:
        """What follows if that was its end."""
        if not talk.over or self.talks.get((talk.peer, talk.partition)) is not talk:
            return effects
        failed = talk.failed
        if not failed and not talk.skipped:
            effects = effects + self._brought_back(talk)
        self._drop(talk)
        self.home.counters["exchanges_given_up" if failed else "exchanges"] += 1
        now = self.home.clock.monotonic()
        # Whoever has no tree asks when it has one, but not somebody who cannot read everything.
        if talk.repaired or (failed and (talk.damage or not talk.refused)):
            again = now + limits.EXCHANGE_AGAIN_SECONDS
            self._compare_later(talk.peer, talk.partition, again)
        elif talk.damage and talk.skipped:
            # As often as it is tried to read everything; the slow round would take a minute.
            self._compare_later(talk.peer, talk.partition, now + limits.TREE_RETRY_SECONDS_MAX)
        return effects

    def _brought_back(self, talk: Talk) -> list[Effect]:
        """An owner may have given what it has of a damaged partition; was it the last one?"""
        forest, partition = self.home.forest, talk.partition
        damage = forest.unreadable.now(partition)
        if damage is None or talk.damage is not damage:
            # It could be read after all, or more has been lost since this owner was asked.
            return []
        damage.given.add(talk.peer)
        if not damage.given.issuperset(self._others(partition)):
            return []
        del forest.unreadable[partition]
        self.home.counters["partitions_mended"] += 1
        return [Mend(damage.lost)]

    def _drop(self, talk: Talk) -> None:
        talk.give_up()
        del self.talks[talk.peer, talk.partition]
        self._under_way[talk.peer] -= 1
        self._startable = True


class _Round:
    """The slow round with one peer: partitions that this side drives, in turn."""

    def __init__(self, partitions: list[int]) -> None:
        self.ended: float | None = None
        self._partitions = partitions
        self._at = 0
        self._share = 0.0

    def next(self, now: float) -> list[int]:
        """Those whose turn it is, as many as one beat's share of the round."""
        self._share += (
            len(self._partitions) * limits.EXCHANGE_BEAT_SECONDS / limits.EXCHANGE_ROUND_SECONDS
        )
        due: list[int] = []
        while self._share >= 1.0:
            self._share -= 1.0
            due.append(self._partitions[self._at])
            self._at = (self._at + 1) % len(self._partitions)
            if not self._at:
                self.ended = now
        return due
