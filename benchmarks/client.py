"""The asyncio client in a process of its own; told line by line what to measure."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import workload
from benchmarks.child import say
from dynamokv import ClientConfig, DistributedKVStore


def _calls(store: DistributedKVStore) -> dict[str, Callable[[str], Awaitable[object]]]:
    return {"get": store.get, "put": lambda key: store.put(key, workload.VALUE)}


async def latencies(store: DistributedKVStore, call: str, count: int) -> tuple[float, float]:
    """p50 and p99 at QUORUM, in microseconds."""
    return workload.p50_p99(await workload.latencies(_calls(store)[call], count))


async def rate(store: DistributedKVStore, call: str, count: int) -> float:
    """Calls a second at QUORUM, many at once."""
    return await workload.rate(_calls(store)[call], count)


JOBS: dict[str, Callable[..., Awaitable[Any]]] = {"latencies": latencies, "rate": rate}


async def main() -> None:
    """Connect, answer until stdin ends."""
    async with DistributedKVStore(config=ClientConfig(nodes=tuple(sys.argv[1:]))) as store:
        say("connected")
        while line := await asyncio.to_thread(sys.stdin.readline):
            do, arguments = json.loads(line)
            say(await JOBS[do](store, **arguments))


if __name__ == "__main__":
    asyncio.run(main())
