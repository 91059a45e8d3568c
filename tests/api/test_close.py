"""Handles that are closed: every call says so, at once, on every face, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dynamokv
from dynamokv import limits
from dynamokv.api.asynchronous import AsyncStore
from dynamokv.api.blocking import BlockingStore
from dynamokv.errors import ClosedError, DataDirLocked, DynamoKVError, UsageError
from dynamokv.storage.lsm.engine import LSMEngine
from tests.chaos.ring import free_addresses
from tests.transport.ends import native_threads, open_descriptors
from tests.waiting import until, until_async

NOBODY = "127.0.0.1:1"

CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda kv: kv.get("k"),
    "get here": lambda kv: kv.get("k", consistency="ONE"),
    "read": lambda kv: kv.read("k"),
    "put": lambda kv: kv.put("k", 1),
    "delete": lambda kv: kv.delete("k"),
    "update": lambda kv: kv.update("k", lambda value: 1),
    "batch_get": lambda kv: kv.batch_get(["k"]),
    "batch_get of nothing": lambda kv: kv.batch_get([]),
    "batch_put": lambda kv: kv.batch_put({"k": 1}),
    "batch_delete": lambda kv: kv.batch_delete(["k"]),
    "bucket": lambda kv: kv.bucket("b").get("k"),
    "status": lambda kv: kv.status(),
    "metrics": lambda kv: kv.metrics(),
    "ring": lambda kv: kv.ring(),
}
MAPPING: dict[str, Callable[[Any], Any]] = {
    "kv[k]": lambda kv: kv["k"],
    "kv[k] = v": lambda kv: kv.__setitem__("k", 1),
    "del kv[k]": lambda kv: kv.__delitem__("k"),
    "k in kv": lambda kv: "k" in kv,
}
MEMBER: dict[str, Callable[[Any], Any]] = {
    "address": lambda kv: kv.address,
    "node_id": lambda kv: kv.node_id,
}


def test_a_closed_member_refuses_every_call() -> None:
    kv = dynamokv.join()
    bucket = kv.bucket("early")
    kv.close()
    for name, call in {**CALLS, **MAPPING, **MEMBER}.items():
        with pytest.raises(ClosedError, match="open a new one"):
            pytest.fail(f"{name} gave {call(kv)!r}")
    with pytest.raises(ClosedError):
        bucket.get("k")
    kv.close()


def test_a_closed_client_refuses_every_call(node: dynamokv.Node) -> None:
    kv = dynamokv.connect([node.address])
    kv.close()
    for name, call in {**CALLS, **MAPPING}.items():
        with pytest.raises(ClosedError, match="open a new one"):
            pytest.fail(f"{name} gave {call(kv)!r}")
    kv.close()


async def outcome(call: Callable[[Any], Any], kv: Any) -> Any:
    found = call(kv)
    return await found if asyncio.iscoroutine(found) else found


@pytest.mark.asyncio
async def test_a_closed_asyncio_member_refuses_every_call() -> None:
    kv = await dynamokv.join_async()
    bucket = kv.bucket("early")
    await kv.aclose()
    for name, call in {**CALLS, **MEMBER}.items():
        with pytest.raises(ClosedError, match="open a new one"):
            pytest.fail(f"{name} gave {await outcome(call, kv)!r}")
    with pytest.raises(ClosedError):
        await bucket.get("k")
    with pytest.raises(ClosedError):
        await kv.start()
    await kv.aclose()


@pytest.mark.asyncio
async def test_a_closed_asyncio_client_refuses_every_call() -> None:
    async with dynamokv.AsyncNode() as node:
        for opened in (True, False):
            kv = dynamokv.DistributedKVStore([node.address])
            if opened:
                await kv.start()
            await kv.aclose()
            for name, call in CALLS.items():
                with pytest.raises(ClosedError, match="open a new one"):
                    pytest.fail(f"{name} gave {await outcome(call, kv)!r}")


@pytest.mark.asyncio
async def test_a_member_that_was_not_started_says_how_to() -> None:
    kv = dynamokv.AsyncNode()
    for name, call in {**CALLS, **MEMBER}.items():
        with pytest.raises(ClosedError, match="async with"):
            pytest.fail(f"{name} gave {await outcome(call, kv)!r}")


@pytest.mark.asyncio
async def test_a_client_connects_at_its_first_call() -> None:
    async with dynamokv.AsyncNode() as node:
        for name, call in CALLS.items():
            kv: AsyncStore = dynamokv.DistributedKVStore([node.address])
            assert name
            await outcome(call, kv)
            await kv.aclose()  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_many_first_calls_connect_once() -> None:
    async with dynamokv.AsyncNode() as node:
        kv = dynamokv.DistributedKVStore([node.address])
        await asyncio.gather(*(kv.put(f"k{n}", n) for n in range(50)))
        assert len((await kv.batch_get([f"k{n}" for n in range(50)])).keys()) == 50
        status = await kv.status()
        assert status["state"] == "serving"
        await kv.aclose()


@pytest.mark.asyncio
async def test_a_first_call_that_fails_may_be_tried_again() -> None:
    kv = dynamokv.DistributedKVStore([NOBODY], timeout=0.1)
    for _ in range(2):
        with pytest.raises(dynamokv.JoinTimeout):
            await kv.get("k")
    await kv.aclose()


def test_a_with_block_closes_also_after_an_error(tmp_path: Path) -> None:
    (address,) = free_addresses(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), dynamokv.join(address, data_dir=tmp_path):
            raise ZeroDivisionError
    assert free(tmp_path)


@pytest.mark.asyncio
async def test_a_close_ends_a_join_that_still_waits(tmp_path: Path) -> None:
    kv = dynamokv.AsyncNode(seeds=[NOBODY], data_dir=tmp_path)
    starting = asyncio.create_task(kv.start())
    await until_async(lambda: kv._session._attempt is not None, "it waits for a ring")
    await kv.aclose()
    with pytest.raises(ClosedError):
        await starting
    await until_async(lambda: free(tmp_path), "its directory is free")


@pytest.mark.parametrize("rounds", [0, 1, 2, 5, 20, 100])
@pytest.mark.asyncio
async def test_a_close_at_any_moment_of_a_join_leaves_nothing(rounds: int, tmp_path: Path) -> None:
    kv = dynamokv.AsyncNode(data_dir=tmp_path)
    starting = asyncio.create_task(kv.start())
    for _ in range(rounds):
        await asyncio.sleep(0)
    await kv.aclose()
    outcome = (await asyncio.gather(starting, return_exceptions=True))[0]
    assert outcome is kv or isinstance(outcome, ClosedError)
    await until_async(lambda: free(tmp_path), "its directory is free")


def free(data_dir: Path) -> bool:
    """Whether nobody has this directory open. One that is still opening is let go of soon."""
    try:
        LSMEngine(data_dir).close()
    except DataDirLocked:
        return False
    return True


@pytest.mark.asyncio
async def test_a_close_that_is_given_up_still_closes() -> None:
    kv = await dynamokv.join_async()
    address = kv.address
    task = asyncio.create_task(kv.aclose())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await kv.aclose()

    def free() -> bool:
        try:
            dynamokv.join(address).close()
        except dynamokv.AddressInUse:
            return False
        return True

    await until_async(free, "its address is free")


@pytest.mark.asyncio
async def test_everyone_who_closes_waits_for_the_end() -> None:
    kv = await dynamokv.join_async()
    address = kv.address
    await asyncio.gather(*(kv.aclose() for _ in range(5)))
    async with dynamokv.AsyncNode(address) as again:
        assert again.address == address


def test_calls_under_way_are_told_of_the_close() -> None:
    """From eight threads, with three of them closing: nobody hangs, nobody gets a strange error."""
    for _ in range(10):
        kv = dynamokv.join(durability="os")
        strange: list[BaseException] = []
        slow: list[float] = []
        begun = threading.Barrier(9)

        def work(
            call: Callable[[BlockingStore], object],
            kv: dynamokv.Node = kv,
            strange: list[BaseException] = strange,
            slow: list[float] = slow,
            begun: threading.Barrier = begun,
        ) -> None:
            begun.wait()
            while True:
                started = time.monotonic()
                try:
                    call(kv)
                except ClosedError:
                    break
                except BaseException as error:
                    strange.append(error)
                    break
                finally:
                    slow.append(time.monotonic() - started)

        calls = [CALLS[name] for name in ("get", "put", "status", "batch_put", "read", "ring")]
        threads = [threading.Thread(target=work, args=(call,)) for call in [*calls, *calls[:2]]]
        for thread in threads:
            thread.start()
        begun.wait()
        until(lambda slow=slow: len(slow) > 50, "some calls went well")  # type: ignore[misc]
        closers = [threading.Thread(target=kv.close) for _ in range(3)]
        for thread in closers:
            thread.start()
        for thread in [*closers, *threads]:
            thread.join(20.0)
            assert not thread.is_alive()
        assert not strange
        assert max(slow) < limits.CLOSE_SECONDS_MAX + 1.0


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (address,) = free_addresses(1)

    def once() -> None:
        with (
            dynamokv.join(address, data_dir=tmp_path) as kv,
            dynamokv.connect([kv.address]) as client,
        ):
            client.put("k", 1)
            with pytest.raises(DynamoKVError):
                dynamokv.join(data_dir=tmp_path)
            with pytest.raises(DynamoKVError):
                dynamokv.join(kv.address)

    once()
    gc.collect()
    descriptors, threads = open_descriptors(), native_threads()
    for _ in range(3):
        once()
    gc.collect()
    until(lambda: open_descriptors() <= descriptors, "no descriptor is left")
    until(lambda: native_threads() <= threads, "no thread is left")


def test_a_handle_of_a_finished_loop_can_still_be_closed(tmp_path: Path) -> None:
    kv = dynamokv.AsyncNode(data_dir=tmp_path)
    asyncio.run(kv.start())
    asyncio.run(kv.aclose())
    assert free(tmp_path)


@pytest.mark.asyncio
async def test_a_handle_is_closed_where_it_lives() -> None:
    async with dynamokv.AsyncNode() as kv:
        await kv.put("k", 1)
        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, kv.aclose())
        assert await kv.get("k") == 1, "and it is as it was"
