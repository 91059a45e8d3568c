"""What goes wrong between machines."""

from __future__ import annotations

from dynamokv.testing.campaign.family import Family
from dynamokv.testing.simulation.chance import Chance, Delay
from dynamokv.testing.simulation.schedule import MILLISECOND


class _Share(Family):
    """A chance for every frame, all the time."""

    share = 0.0

    def begin(self) -> None:
        """From now on."""
        self._chance().share = min(0.5, self.share * self.strength)

    def end(self) -> None:
        """No more."""
        self.struck = self._chance().struck
        self._chance().share = 0.0

    def _chance(self) -> Chance:
        raise NotImplementedError


class Loss(_Share):
    """Frames get lost."""

    name = "loss"
    share = 0.03

    def _chance(self) -> Chance:
        return self.world.network.drop


class Duplication(_Share):
    """Frames arrive twice."""

    name = "duplication"
    repeats = True
    share = 0.03

    def _chance(self) -> Chance:
        return self.world.network.duplicate


class Reordering(_Share):
    """Frames overtake each other."""

    name = "reordering"
    share = 0.1

    def _chance(self) -> Chance:
        return self.world.network.reorder


class VeryLate(_Share):
    """Frames arrive when nobody waits for them any more."""

    name = "very late"
    share = 0.02

    def begin(self) -> None:
        """From now on."""
        super().begin()
        self.world.network.lateness.set(300 * MILLISECOND, 8_000 * MILLISECOND, 2)

    def _chance(self) -> Chance:
        return self.world.network.late


class FullQueues(_Share):
    """Queues are full: a frame does not leave, and its sender knows."""

    name = "full queues"
    share = 0.02

    def _chance(self) -> Chance:
        return self.world.network.refuse


class OneWayCut(Family):
    """One machine does not hear another, which hears it."""

    name = "one-way cut"
    period_seconds = 1.5

    def strike(self) -> bool:
        """Cut, and mend a little later."""
        pair = self.world.two_addresses(self.random)
        if pair is None:
            return False
        network = self.world.network
        network.cut_one_way(*pair)
        self.world.during_chaos(self._some_seconds(), lambda: network.mend(*pair))
        return True


class Partition(Family):
    """The machines fall apart into two sides."""

    name = "partition"
    period_seconds = 3.0

    def strike(self) -> bool:
        """Part them, and bring them together again."""
        sides: tuple[list[str], list[str]] = ([], [])
        for address in self.world.addresses():
            sides[self.random.random() < 0.5].append(address)
        if not sides[0] or not sides[1]:
            return False
        network = self.world.network
        network.partition(*sides)
        self.world.during_chaos(self._some_seconds(), lambda: network.reunite(*sides))
        return True


class SlowLinks(Family):
    """One way between two machines is slow."""

    name = "slow links"
    period_seconds = 1.0

    def strike(self) -> bool:
        """Slow, for a while."""
        pair = self.world.two_addresses(self.random)
        if pair is None:
            return False
        latencies = self.world.network.latencies
        slow_ns = self.random.choice((20, 200, 1_000)) * MILLISECOND
        latencies[pair] = Delay(self.random, slow_ns // 2, slow_ns)

        def mend() -> None:
            latencies.pop(pair, None)

        self.world.during_chaos(self._some_seconds(), mend)
        return True


class BrokenLinks(Family):
    """Connections break, and are made again."""

    name = "broken links"
    period_seconds = 0.7

    def strike(self) -> bool:
        """Break one."""
        pair = self.world.two_addresses(self.random)
        if pair is None:
            return False
        self.world.network.break_links(*pair)
        return True
