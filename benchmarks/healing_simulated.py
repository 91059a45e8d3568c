"""The same in virtual time: a ring of the simulator with many rows heals, and how long that takes
by its own clocks.

What it says does not depend on this machine: the network takes a millisecond at most, a disk as
long as it takes in the simulator, and processes no time at all. So it is a bound on how long repair
waits, and on how much it sends, not on how fast Python is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Final

from benchmarks.figures import Samples
from benchmarks.healing_member import value_of
from dynamokv.protocol.node import Node
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of

PARTITIONS: Final = 512
BATCH: Final = 500
SECONDS_MAX: Final = 600.0
LOOK_SECONDS: Final = 0.25
READS: Final = 5_000


def run(rows: int, missed: int, samples: Samples) -> None:
    """A member is killed, misses writes and comes back; then it loses its disk."""
    cluster = Cluster(seed=1, memory=True)
    first, second, last = cluster.ring(3, partitions=PARTITIONS)
    _put(cluster, first, range(rows), Consistency.ALL)
    _until_equal(cluster, [first, second, last])

    cluster.kill(last)
    cluster.run(2.0)
    _put(cluster, first, range(rows, rows + missed), Consistency.QUORUM)
    began = cluster.now_ns
    last = cluster.start(last.machine)
    _until_equal(cluster, [first, second, last])
    samples.add("healing.simulated.missed.whole", (cluster.now_ns - began) / 1e9)

    cluster.kill(last)
    last.machine.wipe()
    cluster.run(2.0)
    began = cluster.now_ns
    last = cluster.start(last.machine)
    _until_equal(cluster, [first, second, last])
    samples.add("healing.simulated.wiped.whole", (cluster.now_ns - began) / 1e9)

    members = [first, second, last]
    before = _repairs(members)
    chosen = random.Random(1).sample(range(rows + missed), min(READS, rows))
    for number in chosen:
        reply = cluster.ask(members[number % 3], _get(number))
        assert isinstance(reply, m.GetDone), reply
        assert reply.records[0].endswith(value_of(number)), number
    cluster.run(1.0)
    samples.add("healing.simulated.repairs", _repairs(members) - before)
    samples.add("healing.simulated.rows", rows + missed)


def _name(number: int) -> bytes:
    return name_of(b"", b"row-%d" % number)


def _put(cluster: Cluster, member: Process, numbers: range, level: Consistency) -> None:
    for batch in _batches(iter(numbers)):
        names, values = [_name(n) for n in batch], [value_of(n) for n in batch]
        request = m.PutRequest(0, 0, 10_000, level, True, False, 0, names, values, [])
        reply = cluster.ask(member, request)
        assert isinstance(reply, m.PutDone), reply


def _batches(numbers: Iterator[int]) -> Iterator[list[int]]:
    while batch := list(islice(numbers, BATCH)):
        yield batch


def _get(number: int) -> m.GetRequest:
    return m.GetRequest(0, 0, 10_000, Consistency.QUORUM, False, [_name(number)])


def _until_equal(cluster: Cluster, members: list[Process]) -> None:
    """Let time pass until nobody keeps a hint, and all trees are known and equal."""
    ends_ns = cluster.now_ns + int(SECONDS_MAX * 1e9)
    while not _is_equal(members):
        assert cluster.now_ns < ends_ns, "not healed"
        cluster.run(LOOK_SECONDS)


def _is_equal(members: list[Process]) -> bool:
    nodes = [member.core for member in members]
    if not all(isinstance(node, Node) and node.ready for node in nodes):
        return False
    homes = [node.home for node in nodes]
    if any(home.topology is None or home.topology.change is not None for home in homes):
        return False
    if any(not home.hints.counted or home.hints.accounts for home in homes):
        return False
    for partition in range(PARTITIONS):
        roots = {home.forest.root(partition) for home in homes}
        if None in roots or len(roots) > 1:
            return False
    return True


def _repairs(members: list[Process]) -> int:
    return sum(member.home.counters["read_repairs"] for member in members)
