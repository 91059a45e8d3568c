"""The healing workload: three members in processes of their own, a client that goes on calling, and
one member that is killed, or loses its disk, and comes back.

Rules:
    - Every member syncs each write, as is the default.
    - The client calls at a steady rate all the time, so that its latencies before and meanwhile can
      be compared; they come from one process and one run.
    - Whole means looked at: the member's own copy has each value that was acknowledged.
    - What is never whole ends the run as an error, after ``PATIENCE_SECONDS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import healing_simulated
from benchmarks.child import Child, running
from benchmarks.figures import Row, Samples
from benchmarks.healing_figures import FIGURES
from benchmarks.healing_member import value_of
from dynamokv import ClientConfig, DistributedKVStore, DynamoKVError, Indeterminate
from dynamokv.runtime.latency import percentile

PATIENCE_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.1
MILLISECONDS: Final = 1e3
"""In a second."""

BATCH: Final = 1000
CALLS_A_SECOND: Final = 200
"""Of the client in the foreground: every other one a put."""


class NotWhole(Exception):
    """A member does not hold what it should, long after it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything is done.

    Attributes:
        missed: writes while a member is away.
        away: seconds that it is.
        rows: of the ring whose member loses its disk.
        settle: seconds that the stores have after those rows.
        idle: seconds in which the client's latencies are taken before.
    """

    missed: int
    away: float
    rows: int
    settle: float
    idle: float


FULL: Final = Counts(missed=10_000, away=30.0, rows=100_000, settle=5.0, idle=10.0)
QUICK: Final = Counts(missed=200, away=1.0, rows=1_000, settle=0.0, idle=1.0)


async def run(counts: Counts, progress: Callable[[str], None]) -> list[Row]:
    """Both parts, each on a ring of its own."""
    samples = Samples(FIGURES)
    for part in (_missed, _wiped):
        with tempfile.TemporaryDirectory(prefix="dynamokv-bench-") as folder:
            async with _Ring(Path(folder)) as ring:
                await part(ring, counts, samples, progress)
    progress("in virtual time")
    healing_simulated.run(counts.rows, counts.missed, samples)
    return samples.rows()


async def _missed(
    ring: _Ring, counts: Counts, samples: Samples, progress: Callable[[str], None]
) -> None:
    async with _Foreground(ring.store) as foreground:
        progress("calls of a client, nothing else")
        await foreground.take("idle", counts.idle)
        progress(f"a member is killed, and misses {counts.missed:,} writes")
        await ring.kill()
        await _write(ring.store, counts.missed, counts.away)
        progress("it comes back")
        foreground.begin("busy")
        started = time.perf_counter()
        await ring.start()
        ready = time.perf_counter()
        samples.add("healing.missed.ready", ready - started)
        await _until_whole(ring.last, "missed", counts.missed)
        samples.add("healing.missed.whole", time.perf_counter() - ready)
        for member in ring.others:
            await _until(partial(member.ask, "hints"))
        samples.add("healing.missed.drained", time.perf_counter() - ready)
        foreground.end()
    samples.add("healing.missed.writes", counts.missed)
    foreground.report("healing.missed", samples)


async def _wiped(
    ring: _Ring, counts: Counts, samples: Samples, progress: Callable[[str], None]
) -> None:
    progress(f"{counts.rows:,} rows are put")
    for first in range(0, counts.rows, BATCH):
        numbers = range(first, min(first + BATCH, counts.rows))
        await ring.store.batch_put({f"row-{n}": value_of(n) for n in numbers})
    progress("until the stores have sorted them")
    await asyncio.sleep(counts.settle)
    async with _Foreground(ring.store) as foreground:
        progress("calls of a client, nothing else")
        await foreground.take("idle", counts.idle)
        progress("a member loses its disk")
        await ring.kill()
        ring.wipe()
        foreground.begin("busy")
        started = time.perf_counter()
        await ring.start()
        await _until_whole(ring.last, "row", counts.rows)
        samples.add("healing.wiped.whole", time.perf_counter() - started)
        foreground.end()
    samples.add("healing.wiped.rows", counts.rows)
    foreground.report("healing.wiped", samples)


async def _write(store: DistributedKVStore, count: int, seconds: float) -> None:
    """So many writes, spread over so many seconds; each is acknowledged."""
    started = time.perf_counter()
    for number in range(count):
        await _acknowledged(store, f"missed-{number}", value_of(number))
        ahead = started + seconds * number / count - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)


async def _acknowledged(store: DistributedKVStore, key: str, value: bytes) -> None:
    """A put that may be lost with the member that worked at it, and is then made again."""
    while True:
        try:
            await store.put(key, value)
            return
        except Indeterminate:
            continue


async def _until_whole(member: Child, prefix: str, count: int) -> None:
    await _until(lambda: member.ask("missing", prefix=prefix, count=count))


async def _until(look: Callable[[], Awaitable[int]]) -> None:
    """Return when nothing is left."""
    ends = time.perf_counter() + PATIENCE_SECONDS
    while left := await look():
        if time.perf_counter() > ends:
            raise NotWhole(f"{left} are missing after {PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(LOOK_SECONDS)


class _Ring:
    """Three members, the last of which comes and goes, and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: DistributedKVStore
        self.others: list[Child] = []
        self.last: Child
        self._addresses: list[str] = []
        self._stack = contextlib.AsyncExitStack()
        self._starts = itertools.count(1)

    async def __aenter__(self) -> _Ring:
        await self._stack.__aenter__()
        try:
            for name in ("a", "b"):
                child, _ = await self._member(name, "127.0.0.1:0")
                self.others.append(child)
            self.last, _ = await self._member("c", "127.0.0.1:0")
            config = ClientConfig(nodes=tuple(self._addresses))
            self.store = await self._stack.enter_async_context(DistributedKVStore(config=config))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        """The last member's process is gone, without a warning."""
        await self.last.kill()

    def wipe(self) -> None:
        """And its disk."""
        shutil.rmtree(self.folder / "c")

    async def start(self) -> None:
        """It is ready again, at its address."""
        self.last, _ = await self._member("c", self._addresses.pop())

    async def _member(self, name: str, address: str) -> tuple[Child, str]:
        log = self.folder / f"{name}{next(self._starts)}.stderr"
        arguments = (address, str(self.folder / name), *self._addresses[:2])
        found = await self._stack.enter_async_context(
            running("healing_member", *arguments, log=log)
        )
        self._addresses.append(found[1])
        return found


class _Foreground:
    """A client that calls at a steady rate, and how long each call took, by phase."""

    def __init__(self, store: DistributedKVStore) -> None:
        self.store = store
        self.failed = 0
        self._taken: dict[str, list[float]] = {}
        self._phase = ""
        self._task: asyncio.Task[None]
        self._calls: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> _Foreground:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await asyncio.gather(*self._calls)

    async def take(self, phase: str, seconds: float) -> None:
        """A phase of so many seconds."""
        self.begin(phase)
        await asyncio.sleep(seconds)
        self.end()

    def begin(self, phase: str) -> None:
        """What is called from now on belongs to this phase."""
        self._phase = phase

    def end(self) -> None:
        """And from now on to none."""
        self._phase = ""

    def report(self, name: str, samples: Samples) -> None:
        """The figures."""
        p99 = {phase: percentile(taken, 0.99) for phase, taken in self._taken.items()}
        for phase in ("idle", "busy"):
            samples.add(f"{name}.{phase}.p99", p99[phase] * MILLISECONDS)
        samples.add(f"{name}.busy.over_idle", p99["busy"] / p99["idle"])
        samples.add(f"{name}.failed", self.failed)

    async def _run(self) -> None:
        due = time.perf_counter()
        for number in itertools.count():
            task = asyncio.create_task(self._call(number, self._phase))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            due += 1 / CALLS_A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _call(self, number: int, phase: str) -> None:
        key = f"foreground-{number // 2 % BATCH}"
        started = time.perf_counter()
        try:
            if number % 2:
                await self.store.get(key)
            else:
                await self.store.put(key, value_of(number))
        except DynamoKVError:
            self.failed += 1
        if phase:
            self._taken.setdefault(phase, []).append(time.perf_counter() - started)
