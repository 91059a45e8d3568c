"""What the families of faults have in common: a name, a random stream of their own, a beginning and
an end.

Rules:
    - A family draws from its own stream only, so that taking it out of a plan leaves the others as
      they were.
    - ``end`` undoes what can be undone: after it, this family harms nobody any more.
    - What a family destroys for ever makes it ``lossy``, and then less is demanded of the run.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from dynamokv.testing.campaign.world import World


class Family:
    """One kind of fault.

    Attributes:
        name: in plans and summaries.
        lossy: it destroys what was acknowledged.
        spares_quorums: it destroys a copy, never one that a quorum needs: so it cannot go with a
            lossy one.
        damages: it leaves rows that cannot be read.
        loses_unsynced: it destroys what no fsync has made durable.
        needs_reopening: a store that it met takes no writes before it is opened again.
        repeats: a frame may come twice, and so a request.
        wrong_clocks: stamps may be of the future, as far as a clock may be wrong.
        while_growing: only for rings that begin with one member.
        period_seconds: between two strikes of the usual strength.
        strength: 1.0 is usual.
        struck: how often it did some harm.
    """

    name: ClassVar[str] = ""
    lossy: ClassVar[bool] = False
    spares_quorums: ClassVar[bool] = False
    damages: ClassVar[bool] = False
    loses_unsynced: ClassVar[bool] = False
    needs_reopening: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    wrong_clocks: ClassVar[bool] = False
    while_growing: ClassVar[bool] = False
    period_seconds: ClassVar[float] = 2.0

    def __init__(self, world: World, strength: float) -> None:
        self.world = world
        self.strength = strength
        self.random = Random(f"{world.plan.seed} {self.name}")
        self.struck = 0

    def begin(self) -> None:
        """From now on things go wrong."""
        self._again()

    def strike(self) -> bool:
        """Do harm, once; False when there was nobody to harm."""
        raise NotImplementedError

    def end(self) -> None:
        """Everything is right again."""

    def _again(self) -> None:
        pause = self.random.uniform(0.2, 1.8) * self.period_seconds / self.strength
        self.world.during_chaos(pause, self._turn)

    def _turn(self) -> None:
        self.struck += self.strike()
        self._again()

    def _some_seconds(self) -> float:
        """How long a passing fault lasts: mostly short, sometimes long."""
        return self.random.choice((0.05, 0.3, 1.0, 3.0)) * self.random.uniform(0.5, 1.5)
