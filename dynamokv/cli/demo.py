"""``dynamokv demo``: a ring of three processes, and what it does when one of them dies.

Every statement is looked at before it is printed; the first that does not hold ends the demo with
status 1. Everything it makes lies in one temporary folder, and goes with it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dynamokv
from dynamokv.cli.process import (
    CallRefused,
    MemberFailed,
    MemberProcess,
    cpu_count,
    exit_on_sigterm,
)
from dynamokv.cli.text import NotAsStated, Story, milliseconds, table
from dynamokv.cli.writer import Writer

HELP = "start a ring of three on this machine and show what it does"
SOON_SECONDS = 10.0
"""What is to happen "soon" happens within this, also on a machine that is busy."""

WRITES_BEFORE, WRITES_AFTER = 50, 200
CALLS_MEASURED, MEASURING_SECONDS = 2000, 0.7


@dataclass
class Ring:
    """Three members, ``a`` the founder."""

    a: MemberProcess
    b: MemberProcess
    c: MemberProcess

    @property
    def members(self) -> tuple[MemberProcess, MemberProcess, MemberProcess]:
        """All three."""
        return self.a, self.b, self.c


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    """Show all of it, and leave nothing behind."""
    started = time.perf_counter()
    story = Story(sys.stdout)
    story.end(f"dynamokv {dynamokv.__version__}: three members on this machine")
    with exit_on_sigterm(), tempfile.TemporaryDirectory(prefix="dynamokv-demo-") as folder:
        ring = Ring(*(MemberProcess(name, Path(folder)) for name in "abc"))
        try:
            _tell(story, ring)
        except (NotAsStated, CallRefused, MemberFailed, dynamokv.DynamoKVError) as error:
            print(f"dynamokv: the demo failed: {error}", file=sys.stderr)
            return 1
        finally:
            for member in ring.members:
                member.discard()
    story.check(not Path(folder).exists(), f"{folder} is removed")
    story.end(f"{story.statements} statements held, in {time.perf_counter() - started:.1f} s.")
    return 0


def _tell(story: Story, ring: Ring) -> None:
    _start(story, ring)
    _ownership(story, ring)
    _levels(story, ring)
    asyncio.run(_client(story, ring))
    _conflict(story, ring)
    written = _kill(story, ring)
    _one_short(story, ring, written)
    _restart(story, ring, written)
    _apart(story, ring)
    _wipe(story, ring, written)
    _latency(story, ring)
    _stop(story, ring)


def _start(story: Story, ring: Ring) -> None:
    story.step("Start three members: processes with a port and a data directory each")
    began = time.perf_counter()
    ring.a.spawn(seeds=())
    ring.a.ready()
    for member in (ring.b, ring.c):
        member.spawn(seeds=(ring.a.address,))
    for member in (ring.b, ring.c):
        member.ready()
    for member in ring.members:
        story.say(
            f"{member.name}  process {member.pid}, member {member.node_id[:8]} at {member.address}"
        )
    story.say(f"ready after {time.perf_counter() - began:.2f} s")
    ids = {member.node_id for member in ring.members}
    for member in ring.members:
        states = member.call("ring")["states"]
        if states != dict.fromkeys(ids, "up"):
            story.check(False, f"{member.name} knows all three members, and reaches them", states)
    story.check(len(ids) == 3, "a founded a ring, b and c joined it, and each reaches the others")


def _ownership(story: Story, ring: Ring) -> None:
    story.step("Who owns what")
    found = ring.b.call("ring")
    partitions, first = found["partitions"], found["first"]
    shares = ", ".join(f"{m.name} {first.get(m.node_id, 0)}" for m in ring.members)
    story.say(
        f"{partitions} partitions, {found['replicas']} copies of each; first in line: {shares}"
    )
    story.check(
        found["replicas"] == 3 and found["owned"] == {m.node_id: partitions for m in ring.members},
        "with three members and three copies, each member owns every partition",
        found["owned"],
    )
    story.check(sum(first.values()) == partitions, "each partition has one first owner", first)


def _levels(story: Story, ring: Ring) -> None:
    story.step("Put and read at each level: the receipt tells how many answered")
    rows = []
    for level in ("ONE", "QUORUM", "ALL"):
        key, value = f"user:{level.lower()}", {"name": "Ada", "level": level}
        put = ring.a.call("put", key=key, value=value, level=level)
        read = ring.a.call("read", key=key, level=level)
        wanted = {"ONE": 1, "QUORUM": 2, "ALL": 3}[level]
        for made in (put, read):
            if made["needed"] != wanted or made["acks"] < wanted:
                story.check(False, f"{level} needs {wanted} answers, and has them", made)
        if read["value"] != value:
            story.check(False, f"the value put at {level} is read at {level}", read["value"])
        rows.append((f"put {level}", *_receipt(put)))
        rows.append((f"read {level}", *_receipt(read)))
    story.say(*table(rows))
    story.check(True, "every call had the answers that its level needs: 1, 2 and 3 of 3")
    copies = [m.call("read", key="user:all", level="ONE")["value"]["level"] for m in ring.members]
    story.check(copies == ["ALL"] * 3, "what was put at ALL is in each member's own copy", copies)


def _receipt(made: dict[str, Any]) -> tuple[str, str, str]:
    return f"needed {made['needed']}", f"had {made['acks']}", milliseconds(made["seconds"])


async def _client(story: Story, ring: Ring) -> None:
    story.step("A client, which owns nothing: DistributedKVStore(nodes=[b, c])")
    config = dynamokv.ClientConfig(nodes=(ring.b.address, ring.c.address))
    async with dynamokv.DistributedKVStore(config=config) as store:
        value = await store.get("user:quorum", consistency="QUORUM")
        story.check(
            value == {"name": "Ada", "level": "QUORUM"}, f"it reads what a put: {value}", value
        )
        batch = await store.batch_put([("city:1", "Paris"), ("city:2", "Lima")])
        batch.raise_for_errors()
    values = ring.a.call("read_many", keys=["city:1", "city:2"], level="QUORUM")["values"]
    story.check(values == ["Paris", "Lima"], f"a reads what it put in a batch: {values}", values)


def _conflict(story: Story, ring: Ring) -> None:
    story.step("Two writers who do not know of each other")
    where: dict[str, Any] = {"bucket": "carts", "key": "ada", "level": "QUORUM"}
    context = ring.a.call("put", value=["bread"], **where)["context"]
    ring.a.call("put", value=["bread", "milk"], context=context, **where)
    ring.b.call("put", value=["bread", "eggs"], context=context, **where)
    story.say("both had seen ['bread']; a put milk to it, b put eggs to it, each with that context")
    found = ring.c.call("read", **where)["values"]
    story.say(f"siblings, as c reads them: {found}")
    story.check(
        sorted(found) == [["bread", "eggs"], ["bread", "milk"]], "neither write was lost", found
    )
    ring.c.call("append", item="tea", **where)
    found = ring.a.call("read", **{**where, "level": "ALL"})["values"]
    story.say(f"after update() in a bucket with the resolver 'union': {found}")
    story.check(
        [sorted(cart) for cart in found] == [["bread", "eggs", "milk", "tea"]],
        "one value again, with both writes in it",
        found,
    )


def _kill(story: Story, ring: Ring) -> Writer:
    story.step("Kill c (SIGKILL) while a goes on writing at QUORUM")
    ring.a.call("put", key="city", value="Paris", level="ALL")
    writer = Writer(ring.a)
    writer.start()
    try:
        writer.wait_for(WRITES_BEFORE, SOON_SECONDS)
        ring.c.kill()
        before = writer.acknowledged
        writer.wait_for(before + WRITES_AFTER, SOON_SECONDS)
    finally:
        writer.finish()
    story.say(
        f"{writer.acknowledged} writes acknowledged, {writer.acknowledged - before} of them after "
        f"the kill; the longest took {milliseconds(writer.longest)}"
    )
    story.check(not writer.refusals, "no write failed", writer.refusals[:1])
    _soon(
        story,
        lambda: _states_of(ring.c, seen_by=(ring.a, ring.b)),
        ["down", "down"],
        "a and b know that c is down",
    )
    receipt = ring.a.call("put", key="city", value="Rome", level="QUORUM")
    story.say("one more write that c misses, and a notes for it: city, from Paris to Rome")
    story.check(receipt["hinted"] == [ring.c.node_id], "the receipt names c as hinted", receipt)
    kept = _hints(ring.a, ring.c)
    story.check(kept > 0, f"a keeps {kept} hints for c", kept)
    return writer


def _states_of(member: MemberProcess, seen_by: tuple[MemberProcess, ...]) -> list[str]:
    return [other.call("ring")["states"][member.node_id] for other in seen_by]


def _soon(story: Story, look: Callable[[], Any], wanted: Any, statement: str) -> float:
    """Look until it is as wanted, or ``SOON_SECONDS`` are over. Returns how long it took."""
    began = time.perf_counter()
    while (found := look()) != wanted and time.perf_counter() - began < SOON_SECONDS:
        time.sleep(0.002)
    story.check(found == wanted, statement, found)
    return time.perf_counter() - began


def _one_short(story: Story, ring: Ring, written: Writer) -> None:
    story.step("With one of three members gone")
    found = ring.b.call("read_many", keys=written.keys, level="QUORUM")["values"]
    story.check(
        found == written.values, f"b reads all {len(found)} acknowledged writes back at QUORUM"
    )
    for name, arguments in (("read", {}), ("put", {"value": "Oslo"})):
        try:
            found = ring.a.call(name, key="city", level="ALL", **arguments)
        except CallRefused as error:
            story.say(f"{name} at ALL: {error}")
            story.check(error.kind == "Unavailable", f"{name} at ALL is refused at once", error)
        else:
            story.check(False, f"{name} at ALL is refused", found)


def _restart(story: Story, ring: Ring, written: Writer) -> None:
    story.step("Start c again, on its data directory")
    node_id, address = ring.c.node_id, ring.c.address
    began = time.perf_counter()
    ring.c.spawn(seeds=(ring.a.address,))
    ring.c.ready()
    story.say(f"process {ring.c.pid}, ready after {time.perf_counter() - began:.2f} s")
    story.check(
        (ring.c.node_id, ring.c.address) == (node_id, address),
        f"it is the same member, {node_id[:8]} at {address}",
        (ring.c.node_id, ring.c.address),
    )
    keys, values = [*written.keys, "city"], [*written.values, "Rome"]
    took = _soon(
        story,
        lambda: _own_copies(ring.c, keys),
        values,
        f"c's own copy has all {len(keys)} writes, and nobody has read any of them",
    )
    story.say(f"whole {took:.2f} s after it was ready")
    _soon(
        story,
        lambda: [_hints(member, ring.c) for member in (ring.a, ring.b)],
        [0, 0],
        "a and b keep no hint for c any more: each went when c had it on its disk",
    )


def _own_copies(member: MemberProcess, keys: list[str]) -> list[Any]:
    """What the member itself holds, without asking anybody."""
    values: list[Any] = member.call("read_many", keys=keys, level="ONE")["values"]
    return values


def _hints(member: MemberProcess, target: MemberProcess) -> int:
    """How many writes a member keeps for another one."""
    count: int = member.call("hints")["counts"].get(target.node_id, 0)
    return count


def _apart(story: Story, ring: Ring) -> None:
    story.step("c on one side, a and b on the other, and both sides write")
    where: dict[str, Any] = {"bucket": "carts", "key": "bob"}
    made = ring.a.call("put", value=["bread"], level="ALL", **where)
    context = made["context"]
    ring.a.freeze()
    ring.b.freeze()
    try:
        milk = ring.c.call("put", value=["bread", "milk"], context=context, level="ONE", **where)
    finally:
        ring.c.freeze()
        ring.a.thaw()
        ring.b.thaw()
    story.say("a and b stand still (SIGSTOP), and c puts milk to ['bread'], at ONE")
    try:
        eggs = ring.a.call("put", value=["bread", "eggs"], context=context, level="QUORUM", **where)
    finally:
        ring.c.thaw()
    story.say("then c stands still, a and b go on, and a puts eggs to ['bread'], at QUORUM")
    story.check(
        (milk["acks"], eggs["acks"]) == (1, 2),
        "one write was acknowledged by c alone, the other by a and b",
        (milk["acks"], eggs["acks"]),
    )
    _soon(
        story,
        lambda: [sorted(m.call("read", level="ONE", **where)["values"]) for m in ring.members],
        [[["bread", "eggs"], ["bread", "milk"]]] * 3,
        "once all three run, each one's own copy has both carts: neither write was lost",
    )
    ring.b.call("append", item="tea", level="QUORUM", **where)
    found = ring.c.call("read", level="ALL", **where)["values"]
    story.check(
        [sorted(cart) for cart in found] == [["bread", "eggs", "milk", "tea"]],
        "and one update() with the resolver 'union' makes them one again",
        found,
    )


def _wipe(story: Story, ring: Ring, written: Writer) -> None:
    story.step("c loses its disk: its process is killed, and its directory removed")
    node_id, address = ring.c.node_id, ring.c.address
    ring.c.kill()
    shutil.rmtree(ring.c.data_dir)
    began = time.perf_counter()
    ring.c.spawn(seeds=(ring.a.address, ring.b.address))
    ring.c.ready()
    story.say(f"process {ring.c.pid}, ready after {time.perf_counter() - began:.2f} s")
    story.check(
        ring.c.address == address and ring.c.node_id != node_id,
        f"a new member, {ring.c.node_id[:8]}, has taken the place of {node_id[:8]}",
        (ring.c.node_id, ring.c.address),
    )
    keys, values = [*written.keys, "city"], [*written.values, "Rome"]
    found = _own_copies(ring.c, keys)
    story.check(
        found == values, f"its own copy has all {len(keys)} writes again, from a and b", found
    )


def _latency(story: Story, ring: Ring) -> None:
    story.step("Latency of one caller in process a")
    keys = [f"measured:{number}" for number in range(100)]
    limits = {"keys": keys, "count": CALLS_MEASURED, "seconds": MEASURING_SECONDS}
    rows = [("", "p50", "p99", "calls")]
    for title, name, level in (
        ("put QUORUM", "measure_put", "QUORUM"),
        ("get QUORUM", "measure_get", "QUORUM"),
        ("get ONE", "measure_get", "ONE"),
    ):
        found = ring.a.call(name, level=level, **limits)
        p50, p99 = milliseconds(found["p50"]), milliseconds(found["p99"])
        rows.append((title, p50, p99, str(found["calls"])))
    story.say(*table(rows))
    story.say(
        f"one call after the other, 100 bytes a value, {cpu_count()} CPUs and one disk for all "
        "three members; a put waits for fsync"
    )


def _stop(story: Story, ring: Ring) -> None:
    story.step("Stop")
    codes = [member.stop() for member in ring.members]
    story.check(codes == [0, 0, 0], "all three members stopped cleanly", codes)
