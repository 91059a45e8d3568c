"""A round: how the owners of partitions come to agree that they all hold all that is older than a
moment, so that what was deleted before may be forgotten.

::

    driver                                 others
    SETTLE, C    -> all members            make no write below C; any hints? the same root?
    CONFIRM, C   -> owners                 fence; once all written before is applied: same root?
    ADOPT, C     -> owners                 the horizon is C, durably
    COLLECT, C   -> owners                 what is dead below C goes
    ABANDON, C   -> owners                 or else: nothing comes of it, take the fence down

Why it holds:
    - A write below C was made before its coordinator settled, so it was in that one's store, or was
      refused by it, when that one confirmed.
    - All owners that confirm hold the same, each at a moment after everybody settled. So each of
      them knows all writes below C that any of them knows.
    - From its fence on, an owner lets nothing older in that it does not know. A write that comes
      then is in no owner's store: nobody was told that it is done.
    - Nothing goes before all owners keep out what is older.

Rules:
    - Whatever is missing takes partitions out of the round, or ends it: an answer, a member, an
      equal root, a hint that waits, a clock that is too far behind C. There will be others.
    - No fence goes up where owners differ anyway, and none stays up for nothing: it would keep out
      the very repair that makes them equal.
    - The driver takes every step itself as well, by the same code (``collector.py``).
    - It promises to make no write below C after all others did: else a wrong clock of its own would
      stay with it.

Sources: Scylla's repair-based tombstone collection, and what was found missing there: issues 23712
(hints), 24415 (failures that counted as success), 24332 (what is collected comes back by repair).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dynamokv import limits
from dynamokv.protocol.collecting.views import Trees
from dynamokv.protocol.effects import Effect, Passed, Send
from dynamokv.protocol.state.home import Home
from dynamokv.types import NodeId
from dynamokv.wire.rounds import Agreed, Round, RoundStep

Serve = Callable[[bytes, Round], list[Effect]]


class Drive:
    """One round, at its driver.

    Attributes:
        left: partitions that are still in it.
        deadline: the present step is over then.
        done: it has come to an end, good or not.
    """

    def __init__(
        self,
        home: Home,
        new_id: Callable[[], int],
        trees: Trees,
        serve: Serve,
        time: int,
        partitions: Iterable[int],
    ) -> None:
        self.home = home
        self.epoch = home.epoch
        self.time = time
        self.left = set(partitions)
        self.step = RoundStep.SETTLE
        self.deadline = 0.0
        self.done = False
        self._new_id = new_id
        self._trees = trees
        self._serve = serve
        self._id = 0
        self._roots: dict[int, bytes] = {}
        self._asked: dict[bytes, list[int]] = {}

    def start(self) -> list[Effect]:
        """Ask all others to settle."""
        assert self.home.topology is not None
        others = [member.node_id for member in self.home.topology.members]
        others.remove(self.home.node_id)
        self.left -= self._look()
        if not self.left:
            return self.give_up()
        return self._ask(RoundStep.SETTLE, others) if others else self._settle()

    def on_agreed(self, peer: bytes, message: Agreed) -> list[Effect]:
        """Somebody, perhaps this node, has taken the step."""
        asked = self._asked.get(peer)
        if message.id != self._id or asked is None:
            return []
        del self._asked[peer]
        effects = self._drop(set(asked) - set(message.partitions))
        if not self.left:
            return effects + self.give_up()
        return effects if self._asked else effects + self._go_on(peer)

    def on_fenced(self, message: Round, fenced: list[int]) -> list[Effect]:
        """This node has its own fences up, and all that it wrote before is applied: what it holds
        now is what the others have to hold."""
        if message.id != self._id:
            return []
        effects = self._drop(self.left - set(fenced))
        effects += self._drop(self._look())
        others = [owner for owner in self._owners(self.left) if owner != self.home.node_id]
        if not self.left:
            return effects + self.give_up()
        return effects + (self._ask(RoundStep.CONFIRM, others) if others else self._adopt())

    def give_up(self) -> list[Effect]:
        """It comes to nothing."""
        self.done = True
        self.home.counters["rounds_given_up"] += 1
        return self._drop(set(self.left))

    def _look(self) -> set[int]:
        """Take down what this node holds now; the partitions of which it does not know it."""
        roots = {partition: self._trees.root(partition) for partition in self.left}
        self._roots = {partition: root for partition, root in roots.items() if root is not None}
        return roots.keys() - self._roots.keys()

    def _drop(self, partitions: set[int]) -> list[Effect]:
        """These are out of the round, and whoever has a fence up for them takes it down."""
        dropped = partitions & self.left
        fenced = self.step in (RoundStep.CONFIRM, RoundStep.ADOPT)
        effects: list[Effect] = []
        for owner in self._owners(dropped) if fenced else ():
            message = self._round(0, RoundStep.ABANDON, owner, dropped)
            here = owner == self.home.node_id
            effects += self._serve(owner, message) if here else [Send(owner, message)]
        self.left -= dropped
        return effects

    def _go_on(self, last: bytes) -> list[Effect]:
        match self.step:
            case RoundStep.SETTLE if last != self.home.node_id:
                return self._settle()
            case RoundStep.SETTLE:
                return self._ask(RoundStep.CONFIRM, [self.home.node_id])
            case RoundStep.CONFIRM:
                return self._adopt()
            case _:
                return self._collect()

    def _settle(self) -> list[Effect]:
        return self._ask(RoundStep.SETTLE, [self.home.node_id])

    def _adopt(self) -> list[Effect]:
        return self._ask(RoundStep.ADOPT, self._owners(self.left))

    def _collect(self) -> list[Effect]:
        self.home.counters["rounds"] += 1
        self.done = True
        return self._ask(RoundStep.COLLECT, self._owners(self.left))

    def _owners(self, partitions: set[int]) -> list[NodeId]:
        return sorted({owner for partition in partitions for owner in self.home.owners[partition]})

    def _ask(self, step: RoundStep, targets: list[NodeId]) -> list[Effect]:
        """The question of a step for each of these, as far as it concerns them."""
        home = self.home
        self.step, self._id = step, self._new_id()
        self.deadline = home.clock.monotonic() + limits.ROUND_STEP_SECONDS
        self._asked = {}
        effects: list[Effect] = []
        for target in targets:
            message = self._round(self._id, step, target, self.left)
            self._asked[target] = message.partitions
            here = target == home.node_id
            effects += self._serve(target, message) if here else [Send(target, message)]
        return effects

    def _round(self, id: int, step: RoundStep, target: NodeId, partitions: set[int]) -> Round:
        asked = sorted(partitions)
        if step is not RoundStep.SETTLE:
            asked = [p for p in asked if target in self.home.owners[p]]
        compared = step in (RoundStep.SETTLE, RoundStep.CONFIRM) and target != self.home.node_id
        roots = [self._roots[p] for p in asked] if compared else []
        return Round(id, self.epoch, step, self.time, asked, roots)


def agreed(home: Home, peer: bytes, message: Agreed) -> Send | Passed:
    """The answer, to whoever drives the round."""
    return Passed(peer, message) if peer == home.node_id else Send(peer, message)
