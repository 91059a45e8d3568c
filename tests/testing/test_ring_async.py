"""Applications that await: the same ring, and time passes while tasks wait for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import dynamokv
from dynamokv.api.asynchronous import AsyncStore
from dynamokv.testing import Ring
from dynamokv.testing.ring_nodes import (
    AsyncSimulatedClient,
    AsyncSimulatedNode,
    SimulatedClient,
    SimulatedNode,
)


@pytest.fixture
def ring() -> Iterator[Ring]:
    with Ring(3) as found:
        yield found


def test_every_call_is_there(ring: Ring) -> None:
    async def application(kv: AsyncStore) -> object:
        await kv.put("key", 1)
        await kv.update("key", lambda value: value + 1)
        await kv.batch_put({"a": 1, "b": 2})
        carts = kv.bucket("carts", resolver="union")
        await carts.put("ada", ["tea"])
        await kv.delete("b")
        found = await kv.batch_get(["a", "b"])
        return await kv.get("key"), found, (await carts.read("ada")).value

    for place in (ring[0], ring.client()):
        assert asyncio.run(application(place.asynchronous)) == (2, {"a": 1, "b": None}, ["tea"])
    assert ring[1].get("key") == 2


def test_tasks_run_side_by_side_and_alike_in_every_run() -> None:
    async def writers(ring: Ring) -> None:
        stores = [node.asynchronous for node in ring]
        contexts = await asyncio.gather(*(store.read("key") for store in stores))
        await asyncio.gather(
            *(
                store.put("key", number, context=entry.context)
                for number, (store, entry) in enumerate(zip(stores, contexts, strict=True))
            )
        )

    def run() -> tuple[list[int], float, str]:
        with Ring(3, seed=4) as ring:
            began = ring.seconds
            asyncio.run(writers(ring))
            took = ring.seconds - began
            values = ring[0].read("key", consistency="ALL").values
            return values, took, ring.cluster.fingerprint()

    values, took, fingerprint = run()
    assert sorted(values) == [0, 1, 2]
    # One after the other, six requests of two messages each take longer.
    assert 0 < took < 0.05
    assert run() == (values, took, fingerprint)


def test_a_call_that_is_given_up_leaves_nothing(ring: Ring) -> None:
    async def application() -> None:
        kv = ring[0].asynchronous
        ring.partition(["n1"])
        task = asyncio.create_task(kv.get("key"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert kv.metrics()["in_flight"] == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert kv.metrics()["in_flight"] == 0

    asyncio.run(application())
    assert ring[0].session.process.replies == {}


def test_a_member_that_dies_under_a_call_says_so(ring: Ring) -> None:
    async def application() -> None:
        ring.partition(["n1"])
        call = asyncio.create_task(ring[0].asynchronous.put("key", 1))
        await asyncio.sleep(0)
        ring.crash("n1")
        with pytest.raises(dynamokv.ClosedError, match="n1 went down"):
            await call

    asyncio.run(application())


def test_a_member_that_is_paused_under_a_call_does_not_answer(ring: Ring) -> None:
    async def application() -> None:
        kv = ring[0].asynchronous
        ring.partition(["n1"])
        read = asyncio.create_task(kv.get("key", timeout=0.5))
        write = asyncio.create_task(kv.put("key", 1, timeout=0.5))
        await asyncio.sleep(0)
        ring.pause("n1")
        with pytest.raises(dynamokv.ReadFailed, match="n1 did not answer"):
            await read
        with pytest.raises(dynamokv.Indeterminate, match="n1 did not answer"):
            await write

    asyncio.run(application())


def test_faces_open_and_close_as_real_ones_do(ring: Ring) -> None:
    async def application() -> None:
        async with ring[0].asynchronous as kv:
            await kv.put("key", 1)
            assert kv.status()["state"] == "serving"
        with pytest.raises(dynamokv.ClosedError):
            await kv.get("key")
        ring.heal()
        async with ring.client().asynchronous as client:
            assert await client.get("key") == 1
            assert (await client.status())["state"] == "serving"
            assert "counters" in await client.metrics()
            assert len((await client.ring())["owned"]) == 3
        with pytest.raises(dynamokv.ClosedError):
            await client.start()

    asyncio.run(application())


def test_threads_are_served_one_at_a_time(ring: Ring) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: ring[n % 3].put(f"k{n}", n), range(40)))
    assert len(ring[0].batch_get([f"k{n}" for n in range(40)])) == 40


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_there_is_every_face_and_all_of_it() -> None:
    """What an application may call on the real thing, it may call here."""
    for real, simulated in (
        (dynamokv.Node, SimulatedNode),
        (dynamokv.AsyncNode, AsyncSimulatedNode),
        (dynamokv.Client, SimulatedClient),
        (dynamokv.DistributedKVStore, AsyncSimulatedClient),
    ):
        assert public(real) <= public(simulated)
        for name in public(real):
            one, other = getattr(real, name), getattr(simulated, name)
            if callable(one):
                assert list(inspect.signature(one).parameters) == list(
                    inspect.signature(other).parameters
                )
                assert inspect.iscoroutinefunction(one) == inspect.iscoroutinefunction(other)
