"""One of three is killed: the others go on, nothing acknowledged is lost, and it catches up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

import dynamokv
from tests import waiting
from tests.chaos.member import Load
from tests.chaos.ring import Member, Ring

CALL_SECONDS_MAX = 1.0
NOTICED_SECONDS = 1.5
"""After which the survivors have noticed a death, however it came."""


def begin_loads(members: list[Member], name: str) -> list[tuple[Member, str]]:
    """Writes and reads of their own at each of the members."""
    loads = []
    for number, member in enumerate(members):
        for load, reads in ((f"{name}{number}", False), (f"{name}{number}?", True)):
            member.ask("load", load, 2, reads)
            loads.append((member, load))
    return loads


def assert_untroubled(loads: list[tuple[Member, str]]) -> None:
    """No call of the loads failed, and none took long."""
    for member, load in loads:
        found: dict[str, Any] = member.ask("end_load", load)
        assert found["calls"] > 100
        assert not found["errors"], (load, found)
        assert found["longest"] < CALL_SECONDS_MAX, (load, found)


@pytest.mark.parametrize("victim", [0, 2], ids=["founder", "last"])
def test_two_go_on_while_the_third_is_killed(tmp_path: Path, victim: int) -> None:
    with Ring(tmp_path) as ring:
        dead = ring.members[victim]
        survivors = [member for member in ring.members if member is not dead]
        loads = begin_loads(survivors, "a")
        dead.ask("load", "dead", 2, False)
        ring.wait_acks(300)
        dead.kill()
        ring.wait_acks(100)
        waiting.pass_time(NOTICED_SECONDS)
        dead.restart()
        waiting.until(ring.linked, "the killed member is back")
        assert_untroubled(loads)
        ring.assert_nothing_lost()


def test_a_client_sees_only_writes_in_flight_end_unknown(tmp_path: Path) -> None:
    acked: dict[str, str] = {}
    with Ring(tmp_path) as ring, dynamokv.connect(ring.seeds) as client:
        writes = Load(client, "w", 4, False, acked.__setitem__)
        reads = Load(client, "w?", 4, True, acked.__setitem__)
        waiting.until(lambda: len(acked) > 100, "the client writes")
        for _ in range(2):
            ring.members[1].kill()
            waiting.pass_time(NOTICED_SECONDS)
            ring.members[1].restart()
            waiting.until(ring.linked, "the killed member is back")
        wrote, read = writes.stop(), reads.stop()
        assert set(wrote["errors"]) <= {"Indeterminate"}, wrote
        assert wrote["errors"].get("Indeterminate", 0) <= 8, wrote  # a call per thread and kill
        assert not read["errors"], read
        assert max(wrote["longest"], read["longest"]) < CALL_SECONDS_MAX, (wrote, read)
        for key, value in client.batch_get(sorted(acked)).items():
            assert int(value) >= int(acked[str(key)])


def test_an_async_client_as_well(tmp_path: Path) -> None:
    with Ring(tmp_path) as ring:
        asyncio.run(asyncio.wait_for(_async_client(ring), 30))


async def _async_client(ring: Ring) -> None:
    acked: dict[str, int] = {}
    unknown: list[dynamokv.Indeterminate] = []
    on = True

    async def write(kv: dynamokv.DistributedKVStore, number: int) -> None:
        turn = 0
        while on:
            turn += 1
            key = f"k{number}-{turn % 50}"
            try:
                await kv.put(key, turn)
            except dynamokv.Indeterminate as error:
                unknown.append(error)
            else:
                acked[key] = turn

    async def read(kv: dynamokv.DistributedKVStore) -> None:
        while on:
            await asyncio.sleep(0)
            for key, value in list(acked.items()):
                assert await kv.get(key) >= value

    async with dynamokv.DistributedKVStore(ring.seeds) as kv, asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(write(kv, number))
            group.create_task(read(kv))
        await waiting.until_async(lambda: len(acked) >= 100, "the client writes")
        await asyncio.to_thread(ring.members[2].kill)
        await asyncio.to_thread(waiting.pass_time, NOTICED_SECONDS)
        on = False
    assert len(unknown) <= 4, unknown
    found = await asyncio.to_thread(ring.members[0].ask, "get_many", sorted(acked))
    assert all(found[key] >= value for key, value in acked.items())


def test_quorum_reads_elsewhere_bring_the_returned_up_to_date(tmp_path: Path) -> None:
    keys = [f"key-{number}" for number in range(50)]
    with Ring(tmp_path) as ring:
        writer, reader, returned = ring.members
        for key in keys:
            writer.ask("put", key, "old", consistency="ALL")
        returned.kill()
        for key in keys:
            writer.ask("put", key, "new")
        returned.restart()
        waiting.until(ring.linked, "the killed member is back")
        for key in keys:
            assert reader.ask("get", key) == "new"

        def behind() -> list[str]:
            return [key for key in keys if returned.ask("get", key, consistency="ONE") != "new"]

        waiting.until(lambda: not behind(), "all keys were repaired", 5.0)


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, durability: str) -> None:
    lose_nothing(tmp_path, durability, rounds=3, seed=7)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("durability", ["os", "interval", "fsync"])
def test_nothing_acknowledged_is_lost_in_many_rounds(
    tmp_path: Path, durability: str, seed: int
) -> None:
    lose_nothing(tmp_path, durability, rounds=20, seed=seed)


def lose_nothing(folder: Path, durability: str, rounds: int, seed: int) -> None:
    """Kill any one at any moment, and bring it back, while all three write."""
    rng = random.Random(seed)
    with Ring(folder, durability=durability) as ring:
        for turn in range(rounds):
            victim = rng.choice(ring.members)
            for number, member in enumerate(ring.members):
                member.ask("load", f"t{turn}-{number}", 2, False)
            ring.wait_acks(rng.randrange(20, 400))
            victim.kill()
            ring.wait_acks(rng.randrange(20, 200))
            victim.restart()
            ring.wait_acks(rng.randrange(20, 200))
            for number, member in enumerate(ring.members):
                if member is not victim:
                    found = member.ask("end_load", f"t{turn}-{number}")
                    assert not found["errors"], (turn, found)
            waiting.until(ring.linked, "the killed member is back")
            ring.assert_nothing_lost()
