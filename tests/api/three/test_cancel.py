"""Calls given up at any moment: no value reaches another call, and nothing stays under way."""

from __future__ import annotations

import asyncio
import random
import threading
from functools import partial
from pathlib import Path

import pytest

import dynamokv
from tests import waiting

KEYS = 40
ROUNDS = 2500


async def give_up(kv: dynamokv.AsyncNode | dynamokv.DistributedKVStore, seed: int) -> int:
    """Random calls, most of them cancelled or timed out; how many were answered."""
    rng = random.Random(seed)
    answered = 0

    async def one(key: str) -> None:
        nonlocal answered
        action = rng.random()
        if action < 0.5:
            assert await kv.get(key) == own(key)
        elif action < 0.7:
            await kv.put(key, own(key))
        elif action < 0.85:
            names = rng.sample([f"k{n}" for n in range(KEYS)], 5)
            assert await kv.batch_get(names) == {name: own(name) for name in names}
        else:
            await kv.update(key, lambda value: own(key) if value == own(key) else "wrong")
        answered += 1

    async def limited(key: str) -> None:
        try:
            async with asyncio.timeout(rng.choice([0, 0.0005, 0.002, 5])):
                await one(key)
        except TimeoutError as error:
            if isinstance(error, dynamokv.DynamoKVError):
                raise

    running: set[asyncio.Task[None]] = set()
    for _ in range(ROUNDS):
        running.add(asyncio.create_task(limited(f"k{rng.randrange(KEYS)}")))
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        if rng.random() < 0.5:
            rng.choice(sorted(running, key=lambda task: task.get_name())).cancel()
        if len(running) > 50:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            check(done)
    check((await asyncio.wait(running))[0])
    return answered


def idle(node: dynamokv.AsyncNode) -> bool:
    return bool(node.metrics()["in_flight"] == 0)


def own(key: str) -> list[str]:
    return [key, key * 3]


def check(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        if not task.cancelled():
            task.result()


@pytest.mark.asyncio
async def test_calls_that_are_given_up(tmp_path: Path) -> None:
    async with (
        dynamokv.AsyncNode("127.0.0.1:0", data_dir=tmp_path / "a", durability="os") as a,
        dynamokv.AsyncNode("127.0.0.1:0", seeds=[a.address]) as b,
        dynamokv.DistributedKVStore([a.address, b.address]) as client,
    ):
        names = [f"k{n}" for n in range(KEYS)]
        (await a.batch_put({name: own(name) for name in names})).raise_for_errors()
        answered = await asyncio.gather(give_up(a, 1), give_up(client, 2))
        assert min(answered) > ROUNDS // 20
        for node in (a, b):
            await waiting.until_async(partial(idle, node), "idle")
        expected = {name: own(name) for name in names}
        for kv in (a, b, client):
            assert await kv.batch_get(names, consistency="ALL") == expected


def test_many_threads(members: list[dynamokv.Node]) -> None:
    node = members[0]
    wrong: list[object] = []

    def work(number: int) -> None:
        rng = random.Random(number)
        try:
            for count in range(150):
                key = f"t{number}-{rng.randrange(5)}"
                node.put(key, [number, count])
                if node.get(key) != [number, count]:
                    wrong.append(key)
                if count % 10 == 0:
                    node.batch_put({f"{key}-{n}": n for n in range(5)}).raise_for_errors()
                    if node.batch_get([f"{key}-3", key]) != {f"{key}-3": 3, key: [number, count]}:
                        wrong.append((key, "batch"))
        except dynamokv.DynamoKVError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)
    waiting.until(lambda: node.metrics()["in_flight"] == 0, "idle")
