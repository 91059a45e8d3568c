"""Placement: ``place`` once for each topology, the rest for each request."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.micro.samples import NAME, Benchmark, node, topology
from benchmarks.workload import KEYS, VALUE_BYTES
from dynamokv.protocol.requests.batch import group
from dynamokv.ring.placement import place, preference_list
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys


def ids(count: int) -> list[NodeId]:
    random = Random(count)
    return [NodeId(random.randbytes(16)) for _ in range(count)]


@pytest.mark.parametrize("members", [3, 20, 100])
def test_place(benchmark: Benchmark, members: int) -> None:
    ring = topology(ids(members))
    assert len(benchmark(place.__wrapped__, ring).owners) == ring.partitions


def test_preference_list_one_down(benchmark: Benchmark) -> None:
    placement = place(topology(ids(20)))
    up = frozenset(ids(20)) - {placement.owners[0][0]}
    assert len(benchmark(preference_list, 0, placement, up)) == 4


def test_locate(benchmark: Benchmark) -> None:
    core, key = node(0)
    assert benchmark(core.home.locate, NAME)[0] == key


def test_group_1000_names(benchmark: Benchmark) -> None:
    core, _ = node(0)
    names = [row_keys.name_of(b"", key.encode()) for key in KEYS]
    groups = benchmark(group, core.home, names, [VALUE_BYTES] * len(names))
    assert sum(map(len, groups)) == len(names)
