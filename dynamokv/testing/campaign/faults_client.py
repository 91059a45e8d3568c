"""What users do to a ring."""

from __future__ import annotations

from dynamokv.testing.campaign.family import Family


class _Habit(Family):
    """A habit of the workload's users; how often is the workload's to count."""

    share = 0.0

    def begin(self) -> None:
        """Take it up."""
        self.world.workload.habits[self.name] = min(0.6, self.share * self.strength)

    def end(self) -> None:
        """Give it up."""
        self.struck = self.world.workload.happened[self.name]
        self.world.workload.habits.pop(self.name, None)


class Abandoned(_Habit):
    """Callers stop waiting."""

    name = "abandoned requests"
    share = 0.15


class StaleContexts(_Habit):
    """Writes with contexts of long ago."""

    name = "stale contexts"
    share = 0.3


class WrongContexts(_Habit):
    """Writes with a context of another key, or with one that was tampered with."""

    name = "wrong contexts"
    share = 0.05


class Bursts(Family):
    """Many requests at once, most of them for one key."""

    name = "bursts"
    period_seconds = 2.0

    def strike(self) -> bool:
        """Ask."""
        return self.world.workload.burst(self.random.randint(10, 40))
