"""Hunting mutants: seeds are played without a safeguard until something is found.

Knows: campaigns, mutants, processes. Must not know: what any mutant does.

Rules:
    - Seeds are those of ``make sim``, in order, with nothing turned on for the mutant's sake. Only
      what no history shows, because it costs work and nothing else, has a scenario of its own.
    - A finding counts only if the same seed finds nothing in the product as it is.
    - A mutant lives in a process that plays one seed at a time, and only while it plays it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from typing import Final, TextIO

from dynamokv.testing.campaign.many import quietly
from dynamokv.testing.campaign.plan import draw
from dynamokv.testing.campaign.run import play
from tests.sim.mutants_collecting import COLLECTING
from tests.sim.mutants_hints import HINTS
from tests.sim.mutants_liveness import LIVENESS
from tests.sim.mutants_load import LOAD
from tests.sim.mutants_patch import Mutant
from tests.sim.mutants_protocol import PROTOCOL
from tests.sim.mutants_repair import REPAIR
from tests.sim.mutants_replacement import REPLACEMENT
from tests.sim.mutants_stopping import STOPPING
from tests.sim.mutants_storage import STORAGE

KINDS: Final = (
    *(PROTOCOL, LIVENESS, HINTS, REPAIR, REPLACEMENT),
    *(COLLECTING, STOPPING, STORAGE, LOAD),
)
MUTANTS: Final[dict[str, Mutant]] = {mutant.name: mutant for kind in KINDS for mutant in kind}

AHEAD: Final = 4
"""Seeds that each process has before it: so many may be played for nothing when one finds."""


@dataclass(frozen=True, slots=True)
class Hunted:
    """What came of one mutant.

    Attributes:
        seeds: how many it took, from the first on; or all, in vain.
        dirty: seeds among them that find something without the mutant as well.
        finding: the first of the last seed; nothing when the mutant survives.
    """

    mutant: Mutant
    seeds: int
    dirty: int
    rule: str
    finding: str
    seconds: float

    def __str__(self) -> str:
        if not self.finding:
            return f"{self.seeds:>6}  SURVIVES     {self.seconds:>7.1f} s  {self.mutant.name}"
        return f"{self.seeds:>6}  {self.rule:<11}  {self.seconds:>7.1f} s  {self.mutant.name}"


def try_seed(name: str, seed: int) -> tuple[str, str, bool]:
    """Play a seed without a safeguard: which rule is found to be broken, and how; and whether it is
    so with the safeguard, too."""
    trial = MUTANTS[name].trial
    if trial is not None:
        with MUTANTS[name].applied():
            wrong = "; ".join(trial(seed)[1])
        return ("trial", wrong, bool(trial(seed)[1])) if wrong else ("", "", False)
    with MUTANTS[name].applied():
        findings = play(draw(seed)).findings
    if not findings:
        return "", "", False
    dirty = bool(play(draw(seed)).findings)
    return findings[0].rule.value, str(findings[0]), dirty


class Hunters:
    """Processes that play.

    Args:
        jobs: how many; with one it is this process.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    @contextmanager
    def at_work(self) -> Iterator[Hunters]:
        """While they are there."""
        if self.jobs == 1:
            yield self
            return
        context = get_context("spawn")
        with ProcessPoolExecutor(self.jobs, mp_context=context, initializer=quietly) as pool:
            self._pool = pool
            yield self
            self._pool = None

    def hunt(self, mutant: Mutant, seeds: range) -> Hunted:
        """Play these seeds, in order, until one finds the mutant."""
        began = time.perf_counter()
        dirty = 0
        for at, (rule, finding, is_dirty) in enumerate(self._tries(mutant.name, seeds)):
            dirty += is_dirty
            if finding and not is_dirty:
                seconds = time.perf_counter() - began
                return Hunted(mutant, at + 1, dirty, rule, finding, seconds)
        return Hunted(mutant, len(seeds), dirty, "", "", time.perf_counter() - began)

    def _tries(self, name: str, seeds: range) -> Iterator[tuple[str, str, bool]]:
        if self._pool is None:
            for seed in seeds:
                yield try_seed(name, seed)
            return
        waiting: deque[Future[tuple[str, str, bool]]] = deque()
        try:
            for seed in seeds:
                waiting.append(self._pool.submit(try_seed, name, seed))
                if len(waiting) == AHEAD * self.jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def hunt_all(mutants: Sequence[Mutant], seeds: range, jobs: int, out: TextIO) -> int:
    """Hunt them one after the other, tell, and return the exit code."""
    out.write(" seeds  broken rule     time     mutant\n")
    hunted: list[Hunted] = []
    with Hunters(jobs).at_work() as hunters:
        for mutant in mutants:
            hunted.append(hunters.hunt(mutant, seeds))
            out.write(f"{hunted[-1]}\n")
            out.flush()
    found = [each for each in hunted if each.finding]
    if found:
        took = [each.seeds for each in found]
        out.write(
            f"{len(found)} of {len(hunted)} mutants found; seeds until then: half of them within "
            f"{median(took):.0f}, all within {max(took)}\n"
        )
    dirty = sum(each.dirty for each in hunted)
    if dirty:
        out.write(f"{dirty} tries did not count: their seeds fail without a mutant as well\n")
    for each in hunted:
        if not each.finding:
            out.write(f"{each.mutant.name} survives {each.seeds} seeds: {each.mutant.rule}\n")
    return 0 if len(found) == len(hunted) else 1
