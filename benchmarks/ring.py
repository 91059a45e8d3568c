"""The ring workload: three members as applications run them, beside the round trip of bare sockets.

Member *a* is an ``AsyncNode`` in this process, *b* and *c* are blocking ``Node`` objects in
processes of their own, and one more process is a client. Everything is on this machine, so three
members share cores that would be their own elsewhere.

Rules:
    - Everything is measured once a round, and compared within its round: a busy neighbour is then
      busy for both sides of a ratio. The table shows medians over the rounds.
    - Echoes and calls whose ratio is taken alternate in slices of milliseconds, the echoes before,
      between and after.
    - An error ends the run. A read that brings another value than was put is an error.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import cpu, workload
from benchmarks.child import Child, running
from benchmarks.echo import AsyncioEcho, BlockingEcho
from benchmarks.figures import MEMBERS, Row, Samples
from benchmarks.member import config_of
from benchmarks.workload import KEYS, MICROSECONDS, VALUE
from dynamokv import AsyncNode, Consistency

Progress = Callable[[str], None]


class WrongValue(Exception):
    """A read brought something else than was put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything is done.

    Attributes:
        rounds: how often all of it is done.
        slices: alternations of echoes and sequential calls in a round.
        in_slice: calls of each kind in a slice.
        sequential: calls one after the other, of the other faces.
        concurrent: calls of a throughput figure.
        batches: batch calls of 1,000 keys.
        local: reads at ONE in each of the repetitions, of which the best counts.
    """

    rounds: int
    slices: int
    in_slice: int
    sequential: int
    concurrent: int
    batches: int
    local: int


FULL: Final = Counts(
    rounds=5,
    slices=10,
    in_slice=200,
    sequential=1000,
    concurrent=10_000,
    batches=5,
    local=20_000,
)
QUICK: Final = Counts(
    rounds=2, slices=2, in_slice=50, sequential=100, concurrent=500, batches=1, local=1000
)


@dataclass(frozen=True, slots=True)
class Ring:
    """What is running."""

    a: AsyncNode
    b: Child
    client: Child
    blocking_echo: BlockingEcho
    asyncio_echo: AsyncioEcho
    pids: Mapping[str, int]


async def run(counts: Counts, progress: Progress) -> tuple[list[Row], dict[str, int]]:
    """All rounds: the rows of the table, and the counters of member *a*, in which every irregular
    event of the run stands."""
    samples = Samples()
    with tempfile.TemporaryDirectory(prefix="dynamokv-bench-") as folder:
        async with _started(Path(folder)) as ring:
            progress("warming up")
            await _load(ring)
            await _Round(ring, QUICK, Samples()).run()
            for number in range(1, counts.rounds + 1):
                progress(f"round {number} of {counts.rounds}")
                await _Round(ring, counts, samples).run()
            return samples.rows(), ring.a.metrics()["counters"]


@contextlib.asynccontextmanager
async def _started(folder: Path) -> AsyncIterator[Ring]:
    async with contextlib.AsyncExitStack() as stack:

        async def child(name: str, module: str, *arguments: str) -> tuple[Child, Any]:
            log = folder / f"{name}.stderr"
            return await stack.enter_async_context(running(module, *arguments, log=log))

        _, blocking_port = await child("echo-blocking", "echo", "blocking")
        _, asyncio_port = await child("echo-asyncio", "echo", "asyncio")
        blocking_echo, asyncio_echo = BlockingEcho(blocking_port), AsyncioEcho(asyncio_port)
        stack.callback(blocking_echo.close)
        stack.callback(asyncio_echo.close)
        a = await stack.enter_async_context(AsyncNode(config=config_of(folder / "a", ())))
        b, b_address = await child("b", "member", str(folder / "b"), a.address)
        c, c_address = await child("c", "member", str(folder / "c"), a.address)
        client, _ = await child("client", "client", a.address, b_address, c_address)
        pids = {"a": os.getpid(), "b": b.pid, "c": c.pid, "client": client.pid}
        yield Ring(a, b, client, blocking_echo, asyncio_echo, pids)


async def _load(ring: Ring) -> None:
    """Every key at every member, so that a read finds nothing to repair."""
    await _batch_put(ring, Consistency.ALL)
    found = await ring.a.batch_get(KEYS, consistency=Consistency.ALL)
    found.raise_for_errors()
    if any(found[key] != VALUE for key in KEYS):
        raise WrongValue("a read brought another value than was put")


async def _batch_put(ring: Ring, level: Consistency) -> None:
    written = await ring.a.batch_put(dict.fromkeys(KEYS, VALUE), consistency=level)
    written.raise_for_errors()


class _Round:
    """One round, in the order of ``run``."""

    def __init__(self, ring: Ring, counts: Counts, samples: Samples) -> None:
        self.ring = ring
        self.counts = counts
        self.samples = samples
        self.calls: dict[str, Callable[[str], Awaitable[object]]] = {
            "get": ring.a.get,
            "put": lambda key: ring.a.put(key, VALUE),
        }
        self._spent: dict[str, float] = {}

    async def run(self) -> None:
        """Everything once."""
        await self.sequential()
        await self.concurrent()
        await self.batches()
        await self.local()
        await self.blocking()
        await self.client()
        if await self.ring.a.get(KEYS[0]) != VALUE:
            raise WrongValue("a read brought another value than was put")
        for name, seconds in self._spent.items():
            self.samples.add(name, seconds * MICROSECONDS)

    async def sequential(self) -> None:
        """Echoes, gets, echoes, puts, and so on, echoes last; the ratios."""
        count, slices = self.counts.in_slice, self.counts.slices
        taken: dict[str, list[float]] = {name: [] for name in ("blocking", "asyncio", "get", "put")}

        async def echoes() -> None:
            taken["blocking"] += self.ring.blocking_echo.latencies(count // 2)
            taken["asyncio"] += await self.ring.asyncio_echo.latencies(count // 2)

        for _ in range(slices):
            for call in ("get", "put"):
                await echoes()
                with self._charged(f"sequential.{call}", count * slices):
                    taken[call] += await workload.latencies(self.calls[call], count)
        await echoes()

        p50, p99 = {}, {}
        for name, durations in taken.items():
            p50[name], p99[name] = workload.p50_p99(durations)
        self.samples.add("echo.asyncio.over_blocking", p50["asyncio"] / p50["blocking"])
        for yardstick in ("blocking", "asyncio"):
            self._add_pair(f"echo.{yardstick}", (p50[yardstick], p99[yardstick]))
            for call in ("get", "put"):
                ratio = p50[call] / p50[yardstick]
                self.samples.add(f"sequential.{call}.over_{yardstick}", ratio)
        for call in ("get", "put"):
            self._add_pair(f"sequential.{call}", (p50[call], p99[call]))

    async def concurrent(self) -> None:
        """Throughput of one member."""
        for call in ("get", "put"):
            with self._charged(f"concurrent.{call}", self.counts.concurrent):
                rate = await workload.rate(self.calls[call], self.counts.concurrent)
            self.samples.add(f"concurrent.{call}", rate)

    async def batches(self) -> None:
        """All keys in one call."""
        keys = len(KEYS) * self.counts.batches
        started = time.perf_counter()
        for _ in range(self.counts.batches):
            await _batch_put(self.ring, Consistency.QUORUM)
        self.samples.add("batch.put", keys / (time.perf_counter() - started))
        started = time.perf_counter()
        for _ in range(self.counts.batches):
            (await self.ring.a.batch_get(KEYS)).raise_for_errors()
        self.samples.add("batch.get", keys / (time.perf_counter() - started))

    async def local(self) -> None:
        """Reads that need nobody else: of this process's member, and of a blocking one."""
        get, one, count = self.ring.a.get, Consistency.ONE, self.counts.local
        fastest = float("inf")
        for _ in range(workload.REPETITIONS):
            started = time.perf_counter()
            for key in workload.keys(count):
                await get(key, consistency=one)
            fastest = min(fastest, time.perf_counter() - started)
        self.samples.add("local.asyncio", fastest / count * MICROSECONDS)
        self.samples.add("local.blocking", await self.ring.b.ask("local", count=count))

    async def blocking(self) -> None:
        """The blocking face, in another process."""
        b, counts = self.ring.b, self.counts
        self._add_pair("blocking.get", await b.ask("latencies", count=counts.sequential))
        rate = await b.ask("rate", count=counts.concurrent // 2)
        self.samples.add("blocking.get.threads", rate)

    async def client(self) -> None:
        """The asyncio client, in another process."""
        client, counts = self.ring.client, self.counts
        for call in ("get", "put"):
            pair = await client.ask("latencies", call=call, count=counts.sequential)
            self._add_pair(f"client.{call}", pair)
            with self._charged(f"client.{call}", counts.concurrent, only="client"):
                rate = await client.ask("rate", call=call, count=counts.concurrent)
            self.samples.add(f"client.{call}.concurrent", rate)

    def _add_pair(self, name: str, pair: tuple[float, float]) -> None:
        self.samples.add(f"{name}.p50", pair[0])
        self.samples.add(f"{name}.p99", pair[1])

    @contextlib.contextmanager
    def _charged(self, work: str, count: int, only: str = "") -> Iterator[None]:
        """Charge the CPU time of each member, or of one process only, to ``count`` operations."""
        if not cpu.AVAILABLE:
            yield
            return
        pids = self.ring.pids
        names = (
            {f"cpu.{work}": pids[only]} if only else {f"cpu.{work}.{m}": pids[m] for m in MEMBERS}
        )
        before = {name: cpu.seconds_of(pid) for name, pid in names.items()}
        yield
        for name, pid in names.items():
            spent = (cpu.seconds_of(pid) - before[name]) / count
            self._spent[name] = self._spent.get(name, 0.0) + spent
