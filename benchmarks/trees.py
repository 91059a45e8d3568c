"""The trees workload: what it costs a put that every owner keeps its hash trees in step.

Two rings of three members each, one as it is and one whose members keep no trees. They take turns,
a fraction of a second each, and are compared turn by turn: a busy neighbour is then busy for both.
Member *a* of each ring is an ``AsyncNode`` in this process, *b* and *c* are in processes of their
own; the ring that is not at work is at rest.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import cpu, workload
from benchmarks.child import running
from benchmarks.figures import Figure, Row, Samples
from benchmarks.member import WITHOUT_TREES, config_of, without_trees
from benchmarks.workload import KEYS, MICROSECONDS, VALUE
from dynamokv import AsyncNode

Progress = Callable[[str], None]

WORK: Final = {"put": "put, 64 at once", "batch": "batch_put of 1,000 keys"}
GROUP: Final = "AsyncNode at QUORUM, three members that keep trees, and three that do not"
SIDES: Final = ("with", "without")

FIGURES: Final[dict[str, Figure]] = {
    f"trees.{work}.{name}": figure
    for work, label in WORK.items()
    for name, figure in {
        "with": Figure(GROUP, f"{label}, with trees", "keys/s"),
        "without": Figure(GROUP, f"{label}, without", "keys/s"),
        "cost": Figure(GROUP, f"{label}, what trees take of the throughput", "%"),
        "cpu.with": Figure(GROUP, f"{label}, CPU time of all members, with trees", "us"),
        "cpu.without": Figure(GROUP, f"{label}, CPU time of all members, without", "us"),
    }.items()
}
"""Every figure, in the order of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything is done.

    Attributes:
        turns: of each ring, with each kind of work.
        puts: of a turn.
        batches: of a turn.
    """

    turns: int
    puts: int
    batches: int


FULL: Final = Counts(turns=30, puts=4000, batches=10)
QUICK: Final = Counts(turns=2, puts=300, batches=1)


@dataclass(frozen=True, slots=True)
class Ring:
    """What is running."""

    a: AsyncNode
    pids: tuple[int, ...]

    async def put(self, count: int) -> None:
        """So many, by many tasks."""
        await workload.rate(lambda key: self.a.put(key, VALUE), count)

    async def batch_put(self, count: int) -> None:
        """All keys, so many times."""
        for _ in range(count):
            (await self.a.batch_put(dict.fromkeys(KEYS, VALUE))).raise_for_errors()

    def cpu_seconds(self) -> float:
        """Of all processes; this one's other member is at rest meanwhile."""
        return sum(map(cpu.seconds_of, self.pids)) if cpu.AVAILABLE else 0.0


async def run(counts: Counts, progress: Progress) -> list[Row]:
    """The rows of the table."""
    samples = Samples(FIGURES)
    async with contextlib.AsyncExitStack() as stack:
        rings = {side: await stack.enter_async_context(_started(side)) for side in SIDES}
        progress("warming up")
        for ring in rings.values():
            await ring.batch_put(1)
            await ring.put(counts.puts)
        for turn in range(counts.turns):
            if turn % 10 == 0:
                progress(f"turn {turn + 1} of {counts.turns}")
            order = sorted(rings, reverse=bool(turn % 2))
            await _turn(samples, [(side, rings[side]) for side in order], counts)
    return samples.rows()


async def _turn(samples: Samples, rings: list[tuple[str, Ring]], counts: Counts) -> None:
    """Both rings, one after the other, with each kind of work."""
    for work, keys in (("put", counts.puts), ("batch", counts.batches * len(KEYS))):
        rates = {}
        for side, ring in rings:
            call = ring.put(counts.puts) if work == "put" else ring.batch_put(counts.batches)
            seconds, spent = await _timed(ring, call)
            rates[side] = keys / seconds
            samples.add(f"trees.{work}.{side}", rates[side])
            if cpu.AVAILABLE:
                samples.add(f"trees.{work}.cpu.{side}", spent / keys * MICROSECONDS)
        samples.add(f"trees.{work}.cost", 100 * (1 - rates["with"] / rates["without"]))


async def _timed(ring: Ring, call: Awaitable[None]) -> tuple[float, float]:
    """Seconds, and CPU seconds."""
    started, before = time.perf_counter(), ring.cpu_seconds()
    await call
    return time.perf_counter() - started, ring.cpu_seconds() - before


@contextlib.asynccontextmanager
async def _started(side: str) -> AsyncIterator[Ring]:
    options = (WITHOUT_TREES,) if side == "without" else ()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynamokv-bench-")))
        with without_trees() if options else contextlib.nullcontext():
            a = await stack.enter_async_context(AsyncNode(config=config_of(folder / "a", ())))
        pids = [os.getpid()]
        for name in ("b", "c"):
            arguments = (str(folder / name), a.address, *options)
            started = running("member", *arguments, log=folder / f"{name}.stderr")
            child, _ = await stack.enter_async_context(started)
            pids.append(child.pid)
        yield Ring(a, tuple(pids))
