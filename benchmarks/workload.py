"""What is put and got, and how calls are timed: the same for every face and every process.

The timer stands right around the call. Nothing here knows what is called.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from dynamokv.runtime.latency import percentile

VALUE_BYTES: Final = 1000
VALUE: Final = random.Random(0).randbytes(VALUE_BYTES)
KEYS: Final = tuple(f"key-{number}" for number in range(1000))
CALLERS: Final = 64
THREADS: Final = 8
REPETITIONS: Final = 5
"""Of work that only noise can slow down; the fastest one counts."""

MICROSECONDS: Final = 1e6
"""In a second."""


def keys(count: int) -> Iterator[str]:
    """So many keys, round and round."""
    return itertools.islice(itertools.cycle(KEYS), count)


async def latencies(call: Callable[[str], Awaitable[object]], count: int) -> list[float]:
    """Seconds of each call, one awaited after the other."""
    durations = []
    for key in keys(count):
        started = time.perf_counter()
        await call(key)
        durations.append(time.perf_counter() - started)
    return durations


async def rate(call: Callable[[str], Awaitable[object]], count: int) -> float:
    """Calls a second while ``CALLERS`` tasks share the work."""
    work = keys(count)

    async def caller() -> None:
        for key in work:
            await call(key)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.perf_counter() - started)


def blocking_latencies(call: Callable[[str], object], count: int) -> list[float]:
    """Seconds of each call, one after the other."""
    durations = []
    for key in keys(count):
        started = time.perf_counter()
        call(key)
        durations.append(time.perf_counter() - started)
    return durations


def blocking_rate(call: Callable[[str], object], count: int) -> float:
    """Calls a second while ``THREADS`` threads each make their part."""
    part = count // THREADS

    def caller() -> None:
        for key in keys(part):
            call(key)

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        callers = [pool.submit(caller) for _ in range(THREADS)]
    took = time.perf_counter() - started
    for done in callers:
        done.result()
    return part * THREADS / took


def p50_p99(durations: Iterable[float]) -> tuple[float, float]:
    """Two percentiles, in microseconds."""
    ordered = sorted(durations)
    return percentile(ordered, 0.50) * MICROSECONDS, percentile(ordered, 0.99) * MICROSECONDS
