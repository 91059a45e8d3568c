"""asyncio: handles stay on their loop, and a call that is given up leaves nothing to anyone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import dynamokv
from dynamokv.api.asynchronous import AsyncStore
from dynamokv.errors import ClosedError, UsageError
from dynamokv.runtime.loop import Runtime
from tests.waiting import until_async

KEYS = 200


@asynccontextmanager
async def store(kind: str) -> AsyncIterator[tuple[dynamokv.AsyncNode, AsyncStore]]:
    """A member, and itself or a client of it."""
    async with dynamokv.AsyncNode(durability="os") as node:
        if kind == "member":
            yield node, node
        else:
            async with dynamokv.DistributedKVStore([node.address]) as client:
                yield node, client


def in_flight(kv: AsyncStore) -> int:
    runtime = kv._session.running()
    assert isinstance(runtime, Runtime)
    core = runtime.core
    return len(runtime._waiters) + len(core.table.operations)  # type: ignore[attr-defined]


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.right = 0
        self.wrong: list[object] = []
        self.given_up = 0

    def see(self, key: str, value: object) -> None:
        if key == f"k{value}":
            self.right += 1
        else:
            self.wrong.append((key, value))


async def one_call(kv: AsyncStore, rng: random.Random, tally: Tally) -> None:
    number = rng.randrange(KEYS)
    key, how = f"k{number}", rng.randrange(6)
    if how == 0:
        tally.see(key, await kv.get(key))
    elif how == 1:
        tally.see(key, await asyncio.wait_for(kv.get(key), rng.random() * 0.004))
    elif how == 2:
        tally.see(key, await kv.get(key, timeout=0.001 + rng.random() * 0.003))
    elif how == 3:
        tally.see(key, (await kv.read(key)).value)
    elif how == 4:
        await kv.put(key, number)
        tally.right += 1
    else:
        keys = [f"k{(number + step) % KEYS}" for step in range(10)]
        for found, value in (await kv.batch_get(keys)).items():
            tally.see(str(found), value)


async def caller(kv: AsyncStore, seed: int, calls: int, tally: Tally) -> None:
    rng = random.Random(seed)
    for _ in range(calls):
        task = asyncio.create_task(one_call(kv, rng, tally))
        if rng.random() < 0.3:
            for _ in range(rng.randrange(8)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            await task
        except (asyncio.CancelledError, TimeoutError):
            tally.given_up += 1


@pytest.mark.parametrize("kind", ["member", "client"])
@pytest.mark.asyncio
async def test_a_call_given_up_leaves_its_reply_to_nobody(kind: str) -> None:
    """Thousands of random cancels and timeouts under load, and every value belongs to its key."""
    async with store(kind) as (node, kv):
        await node.batch_put({f"k{number}": number for number in range(KEYS)})
        tally = Tally()
        await asyncio.gather(*(caller(kv, seed, 150, tally) for seed in range(40)))
        assert not tally.wrong
        assert tally.right > 1000
        assert tally.given_up > (1000 if kind == "client" else 100)
        await until_async(lambda: in_flight(kv) == in_flight(node) == 0, "nothing is left over")
        assert await kv.get("k7") == 7


@pytest.mark.asyncio
async def test_a_call_given_up_at_once_is_over_at_once() -> None:
    async with store("client") as (_node, kv):
        task = asyncio.create_task(kv.put("k", 1))
        await asyncio.sleep(0)
        assert in_flight(kv) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert in_flight(kv) == 0
        assert await kv.get("other") is None


@pytest.mark.asyncio
async def test_a_batch_given_up_gives_up_all_its_requests() -> None:
    async with store("client") as (_, kv):
        task = asyncio.create_task(kv.batch_put({f"k{n}": bytes(200_000) for n in range(50)}))
        await asyncio.sleep(0)
        assert in_flight(kv) > 10
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert in_flight(kv) == 0


@pytest.mark.asyncio
async def test_a_close_during_a_batch_is_one_error_and_no_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with store("client") as (_, kv):
        assert isinstance(kv, dynamokv.DistributedKVStore)
        task = asyncio.create_task(kv.batch_put({f"k{n}": bytes(200_000) for n in range(50)}))
        await asyncio.sleep(0)
        await kv.aclose()
        with pytest.raises(ClosedError):
            await task
        del task
        assert "never retrieved" not in caplog.text


@pytest.mark.asyncio
async def test_many_calls_at_once_each_get_their_own() -> None:
    async with store("client") as (_, kv):
        await asyncio.gather(*(kv.put(f"k{number}", number) for number in range(2000)))
        found = await asyncio.gather(*(kv.get(f"k{number}") for number in range(2000)))
        assert found == list(range(2000))


@pytest.mark.parametrize("kind", ["member", "client"])
@pytest.mark.asyncio
async def test_another_loop_is_refused(kind: str) -> None:
    async with store(kind) as (_, kv):
        await kv.put("k", 1)
        for call in (kv.get, kv.read, kv.delete):
            with pytest.raises(UsageError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, call("k"))
        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, kv.batch_get(["k"]))
        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, kv.bucket("b").put("k", 1))
        assert await kv.get("k") == 1


def test_a_loop_that_is_over_is_refused_too() -> None:
    with dynamokv.join() as node:
        kv = dynamokv.DistributedKVStore([node.address])

        async def put() -> None:
            await kv.put("k", 1)

        asyncio.run(put())
        with pytest.raises(UsageError, match="another event loop"):
            asyncio.run(put())
        asyncio.run(kv.aclose())


@pytest.mark.asyncio
async def test_overload_is_said_before_any_work() -> None:
    async with dynamokv.AsyncNode(in_flight_max=10) as kv:
        outcomes = await asyncio.gather(
            *(kv.put(f"k{n}", n) for n in range(50)), return_exceptions=True
        )
        refused = [error for error in outcomes if isinstance(error, BaseException)]
        assert len(refused) == 40
        assert {type(error) for error in refused} == {dynamokv.Overloaded}
        found = await kv.batch_get([f"k{n}" for n in range(50)])
        assert sum(value is not None for value in found.values()) == 10
        assert (await kv.put("k", 1)).acks == 1
