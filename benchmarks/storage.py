"""The storage workload: our LSM engine beside RocksDB called from Python, by the package rocksdict.

Each is alone in a process of its own, and they take turns, first the one and in the next step the
other. They get the same rows, the same memory and the same promises (see ``storage_engines``). No
member, no network: what is measured is what a member asks of its engine.

Rules:
    - Everything is measured once a round, on a fresh store, and compared within its round.
    - A step ends when the engine's background work does, so that it does not run in the next one,
      or while the other is measured.
    - An error ends the run. A get that brings another value than was put is an error.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import cpu
from benchmarks.child import Child, running
from benchmarks.figures import STORAGE_SIZES, Row, Samples
from benchmarks.memory import resident_bytes, with_peak
from benchmarks.storage_engines import Budget
from benchmarks.storage_figures import ENGINES, FIGURES, MIXED
from dynamokv.limits import KiB, MiB

Progress = Callable[[str], None]

KEY_BYTES: Final = 23
CACHE_SHARE: Final = 4
"""The data are so many times the cache."""

MEMORY_TIMES: Final = 5
"""The memory step loads so many times the rows."""

ANSWER_SECONDS: Final = 3600.0
"""A step may be five gigabytes of puts, and the compactions behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything is done.

    Attributes:
        rounds: how often all of it is done.
        rows: put into each store.
        calls: gets of each kind, and the puts of the idle store.
        scans: partitions that are scanned, of 512.
        groups: puts of 64 rows that are synced.
        overwrites: of all rows.
        steady: puts at a steady rate before that.
    """

    rounds: int
    rows: int
    calls: int
    scans: int
    groups: int
    overwrites: int
    steady: int


FULL: Final = Counts(
    rounds=1,
    rows=1_000_000,
    calls=100_000,
    scans=512,
    groups=500,
    overwrites=5,
    steady=400_000,
)
QUICK: Final = Counts(rounds=1, rows=2000, calls=400, scans=10, groups=4, overwrites=2, steady=400)


def budget_for(rows: int, value_bytes: int) -> Budget:
    """A quarter of the data for the cache; memtables that a store of this size fills some times."""
    data_bytes = rows * (KEY_BYTES + value_bytes)
    memtable_bytes = min(Budget().memtable_bytes, data_bytes // 8)
    return Budget(max(64 * KiB, memtable_bytes), max(64 * KiB, data_bytes // CACHE_SHARE))


async def run(counts: Counts, progress: Progress) -> list[Row]:
    """All rounds: the rows of the table."""
    samples = Samples(FIGURES)
    for number in range(counts.rounds):
        for size, value_bytes in STORAGE_SIZES.items():
            progress(f"round {number + 1} of {counts.rounds}, values of {size}")
            with _folder() as folder:
                async with _children(folder, counts.rows, value_bytes) as children:
                    compared = _Round(children, counts, size, samples, number)
                    await compared.run(budget_for(counts.rows, value_bytes))
    if cpu.AVAILABLE:
        for engine in ENGINES:
            progress(f"memory of {engine}")
            with _folder() as folder:
                await _memory(engine, folder, counts.rows * MEMORY_TIMES, samples)
    return samples.rows()


class _Round:
    """One round of one size."""

    def __init__(
        self,
        children: Mapping[str, Child],
        counts: Counts,
        size: str,
        samples: Samples,
        turn: int,
    ) -> None:
        self._children = children
        self._counts = counts
        self._size = size
        self._samples = samples
        self._turn = turn

    async def run(self, budget: Budget) -> None:
        """Everything once."""
        counts = self._counts
        await self._ask("open", **asdict(budget))
        await self._compare("put")
        await self._compare("random", calls=counts.calls)
        await self._compare("absent", calls=counts.calls)
        await self._compare("hot", calls=counts.calls)
        await self._compare("scan", calls=counts.scans)
        await self._compare("synced", calls=counts.groups)
        idle = await self._ask("mixed", puts=counts.calls // 10, gets_per_put=1.0)
        busy = await self._ask("overwritten", times=counts.overwrites, steady=counts.steady)
        opened = await self._ask("reopen")
        for engine in ENGINES:
            name = f"storage.{self._size}.overwritten.{engine}"
            for call in MIXED:
                self._samples.add(f"{name}.{call}.idle", idle[engine][call])
                self._samples.add(f"{name}.{call}.busy", busy[engine][call])
                ratio = busy[engine][call] / idle[engine][call]
                self._samples.add(f"{name}.{call}.over_idle", ratio)
                self._samples.add(f"{name}.{call}.fast", busy[engine][f"{call}.fast"])
            self._samples.add(f"{name}.working", busy[engine]["working"])
            if busy[engine]["amplification"] is not None:
                self._samples.add(f"{name}.amplification", busy[engine]["amplification"])
            self._samples.add(f"{name}.open", opened[engine])

    async def _compare(self, workload: str, **arguments: int) -> None:
        found = await self._ask(workload, **arguments)
        name = f"storage.{self._size}.{workload}"
        for engine, values in found.items():
            for what, value in values.items():
                self._samples.add(f"{name}.{engine}.{what}", value)
        ratio = found["lsm"]["rate"] / found["rocksdict"]["rate"]
        self._samples.add(f"{name}.over_rocksdict", ratio)

    async def _ask(self, do: str, **arguments: float) -> dict[str, Any]:
        """The answer of each, asked in turns."""
        order = ENGINES if self._turn % 2 else tuple(reversed(ENGINES))
        self._turn += 1
        return {engine: await self._children[engine].ask(do, **arguments) for engine in order}


async def _memory(engine: str, folder: Path, rows: int, samples: Samples) -> None:
    """What it holds at most, beyond what its process held before it opened the store."""
    budget = Budget()
    async with _child(engine, folder, rows, STORAGE_SIZES["100B"]) as child:
        before = resident_bytes(child.pid)
        await child.ask("open", **asdict(budget))
        _, peak = await with_peak(child.pid, child.ask("fill"))
    samples.add(f"storage.memory.{engine}", (peak - before) / MiB)
    if engine == "lsm":
        samples.add("storage.memory.lsm.over_bound", (peak - before) / budget.bytes_max)


@contextlib.asynccontextmanager
async def _children(
    folder: Path, rows: int, value_bytes: int
) -> AsyncIterator[Mapping[str, Child]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {
            engine: await stack.enter_async_context(_child(engine, folder, rows, value_bytes))
            for engine in ENGINES
        }


@contextlib.asynccontextmanager
async def _child(engine: str, folder: Path, rows: int, value_bytes: int) -> AsyncIterator[Child]:
    arguments = (engine, str(folder / engine), str(rows), str(value_bytes))
    async with running(
        "storage_child", *arguments, log=folder / f"{engine}.stderr", answer_seconds=ANSWER_SECONDS
    ) as (child, _):
        yield child


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dynamokv-bench-") as folder:
        yield Path(folder)
