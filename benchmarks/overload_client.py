"""A client in a process of its own, which asks without waiting for answers; told line by line what
to do."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any, Final

from benchmarks.child import say
from benchmarks.workload import KEYS, VALUE
from dynamokv import ClientConfig, DistributedKVStore, Overloaded
from dynamokv.errors import QuorumError

CALLERS: Final = 32
"""Of a closed loop, in each client."""

TIMEOUT_SECONDS: Final = 1.0
STEP_SECONDS: Final = 0.005
"""Calls begin in small groups, because a timer is not exact."""


class Offered:
    """Calls that were begun, and what became of them.

    Attributes:
        ended: for each second since the beginning, how many ended in what way.
    """

    def __init__(self, store: DistributedKVStore, seconds: int) -> None:
        self.store = store
        self.ended = [Counter[str]() for _ in range(seconds)]
        self.began = time.perf_counter()
        self.number = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """One call more."""
        task = asyncio.ensure_future(self.one())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def one(self) -> None:
        """A put or a get, in turn."""
        self.number += 1
        key, put = KEYS[self.number // 2 % len(KEYS)], self.number % 2
        try:
            if put:
                await self.store.put(key, VALUE, timeout=TIMEOUT_SECONDS)
            else:
                await self.store.get(key, timeout=TIMEOUT_SECONDS)
            how = "done"
        except Overloaded:
            how = "refused"
        except QuorumError:
            how = "failed"
        second = int(time.perf_counter() - self.began)
        if second < len(self.ended):
            self.ended[second][how] += 1

    async def over(self) -> None:
        """All of them have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def closed(store: DistributedKVStore, seconds: float) -> float:
    """Calls a second of ``CALLERS`` callers that wait for their answers."""
    offered = Offered(store, int(seconds) + 2)
    end = offered.began + seconds

    async def caller() -> None:
        while time.perf_counter() < end:
            await offered.one()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    done = sum(second["done"] for second in offered.ended)
    return done / (time.perf_counter() - offered.began)


async def opened(store: DistributedKVStore, rate: float, seconds: int) -> list[dict[str, int]]:
    """So many calls a second: how they ended, second by second."""
    offered = Offered(store, seconds)
    begun = 0
    while (passed := time.perf_counter() - offered.began) < seconds:
        for _ in range(int(passed * rate) - begun):
            offered.begin()
        begun = int(passed * rate)
        await asyncio.sleep(STEP_SECONDS)
    await offered.over()
    return [dict(second) for second in offered.ended]


JOBS: Final[dict[str, Any]] = {"closed": closed, "open": opened}


async def main() -> None:
    """Connect, answer until stdin ends."""
    config = ClientConfig(nodes=tuple(sys.argv[1:]))
    async with DistributedKVStore(config=config) as store:
        say("connected")
        while line := await asyncio.to_thread(sys.stdin.readline):
            do, arguments = json.loads(line)
            say(await JOBS[do](store, **arguments))


if __name__ == "__main__":
    asyncio.run(main())
