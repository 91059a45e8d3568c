"""What many runs came to, added up, and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from dynamokv.testing.campaign import rare
from dynamokv.testing.campaign.findings import Finding
from dynamokv.testing.campaign.run import Outcome

COLUMNS = 3


@dataclass(slots=True)
class Summary:
    """Sums; ``add`` takes in one more run, ``merge`` the sums of others.

    Attributes:
        failed: seeds with findings.
        real_seconds: of one core; ``chaos_real_seconds`` of that while everything goes wrong.
    """

    seeds: int = 0
    durable: int = 0
    writes: int = 0
    reads: int = 0
    simulated_seconds: float = 0.0
    chaos_seconds: float = 0.0
    real_seconds: float = 0.0
    chaos_real_seconds: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[Finding]] = field(default_factory=dict)

    def add(self, outcome: Outcome, real_seconds: float) -> None:
        """One more run."""
        plan = outcome.plan
        self.merge(
            Summary(
                seeds=1,
                durable=int(plan.durable),
                writes=outcome.writes,
                reads=outcome.reads,
                simulated_seconds=outcome.simulated_seconds,
                chaos_seconds=plan.seconds,
                real_seconds=real_seconds,
                chaos_real_seconds=outcome.chaos_real_seconds,
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
        self.simulated_seconds += other.simulated_seconds
        self.chaos_seconds += other.chaos_seconds
        self.real_seconds += other.real_seconds
        self.chaos_real_seconds += other.chaos_real_seconds
        self.struck.update(other.struck)
        self.happened.update(other.happened)
        self.failed.update(other.failed)

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
        yield f"simulated time        {self.simulated_seconds / 3600:,.2f} hours"
        real = max(self.real_seconds, 1e-9)
        yield f"seeds per second      {self.seeds / max(elapsed_seconds, 1e-9):,.1f}"
        yield (
            f"simulated seconds     {self.simulated_seconds / real:,.0f} per real second and core; "
            f"{self.chaos_seconds / max(self.chaos_real_seconds, 1e-9):,.0f} in the chaos, "
            f"{self.chaos_seconds / real:,.0f} if the real time of all phases counts for it"
        )


def _table(counts: Counter[str] | dict[str, int]) -> Iterator[str]:
    """Names and how often, some beside each other."""
    entries = [f"{name} {times:,}" for name, times in counts.items()]
    wide = max((len(entry) for entry in entries), default=0) + 2
    for start in range(0, len(entries), COLUMNS):
        row = entries[start : start + COLUMNS]
        yield "    " + "".join(entry.ljust(wide) for entry in row).rstrip()
