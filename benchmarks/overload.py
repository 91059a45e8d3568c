"""The overload workload: three members in processes of their own, and users who do not wait.

First clients find out what the ring sustains, with a bounded number of calls at once. Then requests
come as they come: 0.6 of that for a while, three times that, and 0.6 again. What is demanded is
that goodput is back within ten seconds, and that no member grows without bound.

Rules:
    - An open loop: a request begins at its time, whatever became of those before. So the clients
      refuse as well, once they have too many under way, and that counts as refused.
    - Goodput counts calls that succeeded within their timeout, by the second in which they ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks import cpu
from benchmarks.child import Child, running
from benchmarks.figures import Figure, Row, Samples
from benchmarks.memory import resident_bytes
from dynamokv.limits import MiB

Progress = Callable[[str], None]

CLIENTS: Final = 2
USUAL: Final = 0.6
"""Of what the ring sustains."""

TIMES: Final = 3.0
"""Of what the ring sustains, while there is too much."""

WITHIN_SECONDS: Final = 10
"""From the end of it until goodput is back."""

SAMPLE_SECONDS: Final = 0.5

GROUP: Final = "three members in processes, two clients, half puts of 1 KB and half gets at QUORUM"

FIGURES: Final[dict[str, Figure]] = {
    "overload.sustained": Figure(GROUP, "what 64 calls at once get from the ring", "ops/s"),
    "overload.before": Figure(GROUP, "goodput at 0.6 of that", "ops/s"),
    "overload.during": Figure(GROUP, "goodput at 3 times that", "ops/s"),
    "overload.after": Figure(GROUP, "goodput at 0.6 again, ten seconds later", "ops/s"),
    "overload.after.over_before": Figure(GROUP, "after / before", "x"),
    "overload.recovery": Figure(GROUP, "until a second has 0.95 of it again", "s"),
    "overload.refused": Figure(GROUP, "refused of what came meanwhile", "%"),
    "overload.memory.before": Figure(GROUP, "the largest member, before", "MiB"),
    "overload.memory.peak": Figure(GROUP, "the largest member, at most", "MiB"),
    "overload.memory.growth": Figure(GROUP, "growth of the member that grew most", "MiB"),
}
"""Every figure, in the order of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Seconds of each phase; ``settled``: how far into the last one all has to be well."""

    finding: float
    before: int
    during: int
    after: int
    settled: int = WITHIN_SECONDS


FULL: Final = Counts(finding=10.0, before=15, during=60, after=25)
SHORT: Final = Counts(finding=5.0, before=8, during=10, after=18)
QUICK: Final = Counts(finding=1.0, before=2, during=2, after=4, settled=2)


@dataclass(slots=True)
class Memory:
    """What members hold, looked at now and then.

    Attributes:
        peaks: the most of each so far, by pid.
    """

    pids: list[int]
    peaks: dict[int, int] = field(default_factory=dict)

    def look(self) -> dict[int, int]:
        """What they hold now."""
        if not cpu.AVAILABLE:
            return {}
        found = {pid: resident_bytes(pid) for pid in self.pids}
        self.peaks = {pid: max(held, self.peaks.get(pid, 0)) for pid, held in found.items()}
        return found

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(SAMPLE_SECONDS)


class Ring:
    """What is running."""

    def __init__(self, clients: list[Child], pids: list[int]) -> None:
        self.clients = clients
        self.memory = Memory(pids)

    async def sustained(self, seconds: float) -> float:
        """Calls a second of a bounded number at once, all clients together."""
        rates: list[float] = await self._all("closed", seconds=seconds)
        return sum(rates)

    async def offer(self, rate: float, seconds: int) -> list[Counter[str]]:
        """So many calls a second, whatever becomes of them: what ended in each second, by what."""
        found = await self._all("open", rate=rate / len(self.clients), seconds=seconds)
        return [
            sum((Counter(second) for second in same), Counter[str]())
            for same in zip(*found, strict=True)
        ]

    async def _all(self, do: str, **arguments: Any) -> list[Any]:
        return await asyncio.gather(*(client.ask(do, **arguments) for client in self.clients))


async def run(counts: Counts, progress: Progress) -> list[Row]:
    """The rows of the table."""
    samples = Samples(FIGURES)
    with tempfile.TemporaryDirectory(prefix="dynamokv-bench-") as folder:
        async with _started(Path(folder)) as ring:
            progress("finding out what the ring sustains")
            await ring.sustained(counts.finding / 2)
            sustained = await ring.sustained(counts.finding)
            samples.add("overload.sustained", sustained)
            progress(f"{USUAL} of {sustained:,.0f} calls a second")
            before = await ring.offer(USUAL * sustained, counts.before)
            held = ring.memory.look()
            watching = asyncio.ensure_future(ring.memory.watch())
            progress(f"{TIMES} times as many as it sustains")
            during = await ring.offer(TIMES * sustained, counts.during)
            progress(f"{USUAL} again")
            after = await ring.offer(USUAL * sustained, counts.after)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            _judge(samples, before, during, after, counts.settled)
            _weigh(samples, held, ring.memory.peaks)
    return samples.rows()


def _judge(
    samples: Samples,
    before: list[Counter[str]],
    during: list[Counter[str]],
    after: list[Counter[str]],
    settled: int,
) -> None:
    # The first second of a phase has what was under way.
    usual = mean(_goodput(before[1:]))
    back = mean(_goodput(after[settled:]))
    enough = [at for at, good in enumerate(_goodput(after)) if good >= 0.95 * usual]
    came, refused = sum(during, Counter[str]()).total(), sum(one["refused"] for one in during)
    samples.add("overload.before", usual)
    samples.add("overload.during", mean(_goodput(during[1:])))
    samples.add("overload.after", back)
    samples.add("overload.after.over_before", back / usual)
    samples.add("overload.recovery", enough[0] + 1 if enough else 2 * len(after))
    samples.add("overload.refused", 100 * refused / came)


def _goodput(seconds: list[Counter[str]]) -> list[int]:
    return [second["done"] for second in seconds]


def _weigh(samples: Samples, before: dict[int, int], peaks: dict[int, int]) -> None:
    if before:
        samples.add("overload.memory.before", max(before.values()) / MiB)
        samples.add("overload.memory.peak", max(peaks.values()) / MiB)
        growth = max(peaks[pid] - held for pid, held in before.items())
        samples.add("overload.memory.growth", growth / MiB)


@contextlib.asynccontextmanager
async def _started(folder: Path) -> AsyncIterator[Ring]:
    async with contextlib.AsyncExitStack() as stack:

        async def child(name: str, module: str, *arguments: str) -> tuple[Child, Any]:
            log = folder / f"{name}.stderr"
            return await stack.enter_async_context(running(module, *arguments, log=log))

        a, address = await child("a", "member", str(folder / "a"))
        b, other = await child("b", "member", str(folder / "b"), address)
        c, third = await child("c", "member", str(folder / "c"), address)
        clients = [
            (await child(f"client-{number}", "overload_client", address, other, third))[0]
            for number in range(CLIENTS)
        ]
        yield Ring(clients, [a.pid, b.pid, c.pid])
