"""What many runs came to, added up, and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

from dynamokv.testing.campaign import rare
from dynamokv.testing.campaign.findings import Finding
from dynamokv.testing.campaign.run import Outcome

COLUMNS = 3


class Pace(NamedTuple):
    """What was played in what time; real seconds are those of one core, and the chaos is a part.

    Attributes:
        seconds: simulated.
        chaos_seconds: of these while everything goes wrong.
        real_seconds: what that took.
        chaos_real_seconds: of these for the chaos.
    """

    seconds: float = 0.0
    chaos_seconds: float = 0.0
    real_seconds: float = 0.0
    chaos_real_seconds: float = 0.0

    def plus(self, other: Pace) -> Pace:
        """Both, one after the other."""
        return Pace(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def over_all(self) -> float:
        """Simulated seconds per real one."""
        return self.seconds / max(self.real_seconds, 1e-9)

    @property
    def in_the_chaos(self) -> float:
        """The same, of the chaos alone."""
        return self.chaos_seconds / max(self.chaos_real_seconds, 1e-9)

    @property
    def all_for_the_chaos(self) -> float:
        """Seconds of chaos per real second of all phases."""
        return self.chaos_seconds / max(self.real_seconds, 1e-9)


@dataclass(slots=True)
class Summary:
    """Sums; ``add`` takes in one more run, ``merge`` the sums of others.

    Attributes:
        paces: of the rings with so many members.
        failed: seeds with findings.
    """

    seeds: int = 0
    durable: int = 0
    writes: int = 0
    reads: int = 0
    paces: dict[int, Pace] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[Finding]] = field(default_factory=dict)

    def add(self, outcome: Outcome, real_seconds: float) -> None:
        """One more run."""
        plan = outcome.plan
        pace = Pace(
            outcome.simulated_seconds, plan.seconds, real_seconds, outcome.chaos_real_seconds
        )
        self.merge(
            Summary(
                seeds=1,
                durable=int(plan.durable),
                writes=outcome.writes,
                reads=outcome.reads,
                paces={plan.members: pace},
                struck=outcome.struck,
                happened=outcome.happened,
                failed={plan.seed: outcome.findings} if outcome.findings else {},
            )
        )

    def merge(self, other: Summary) -> None:
        """What somebody else has added up."""
        self.seeds += other.seeds
        self.durable += other.durable
        self.writes += other.writes
        self.reads += other.reads
        for members, pace in other.paces.items():
            self.paces[members] = self.paces.get(members, Pace()).plus(pace)
        self.struck.update(other.struck)
        self.happened.update(other.happened)
        self.failed.update(other.failed)

    @property
    def pace(self) -> Pace:
        """Of all rings."""
        return reduce(Pace.plus, self.paces.values(), Pace())

    def missing(self) -> list[str]:
        """Rare states that should have come up in so many seeds, and did not."""
        return rare.missing(self.happened) if self.seeds >= rare.SEEDS_ENOUGH else []

    def lines(self, elapsed_seconds: float) -> Iterator[str]:
        """As text."""
        lossy = self.seeds - self.durable
        yield f"seeds                 {self.seeds:,} ({lossy:,} of them lose data on purpose)"
        yield f"faults injected       {self.struck.total():,}"
        yield from _table(self.struck)
        yield f"requests              {self.happened['requests']:,}"
        yield f"acknowledged writes   {self.writes:,} checked"
        yield f"answered reads        {self.reads:,} checked"
        reached = {name: self.happened[name] for name in rare.STATES}
        count = sum(1 for times in reached.values() if times)
        yield f"rare states reached   {count} of {len(reached)}"
        yield from _table(reached)
        pace = self.pace
        yield f"simulated time        {pace.seconds / 3600:,.2f} hours"
        yield f"seeds per second      {self.seeds / max(elapsed_seconds, 1e-9):,.1f}"
        yield (
            f"simulated seconds     {pace.over_all:,.0f} per real second and core; "
            f"{pace.in_the_chaos:,.0f} in the chaos, "
            f"{pace.all_for_the_chaos:,.0f} if the real time of all phases counts for it"
        )
        for members, pace in sorted(self.paces.items()):
            yield (
                f"    of {members} members      {pace.over_all:,.0f}; {pace.in_the_chaos:,.0f} in "
                f"the chaos, {pace.all_for_the_chaos:,.0f} so counted"
            )


def _table(counts: Counter[str] | dict[str, int]) -> Iterator[str]:
    """Names and how often, some beside each other."""
    entries = [f"{name} {times:,}" for name, times in counts.items()]
    wide = max((len(entry) for entry in entries), default=0) + 2
    for start in range(0, len(entries), COLUMNS):
        row = entries[start : start + COLUMNS]
        yield "    " + "".join(entry.ljust(wide) for entry in row).rstrip()
