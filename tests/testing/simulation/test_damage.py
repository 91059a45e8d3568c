"""A store with damaged blocks gets back from others what it cannot read, though nobody reads."""

from __future__ import annotations

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.campaign.trees import differing_owners, wrong_trees
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire.keys import partition_range
from tests.testing.simulation.clusters import back, held, put

KEYS = 300
END_OF_RING = partition_range(8)[0]


def engine_of(process: Process) -> LSMEngine:
    assert isinstance(process.engine, LSMEngine)
    return process.engine


def ring_with_rot(*, restart: bool) -> tuple[Cluster, Process]:
    """Three members, and rotten tables at the first one."""
    cluster = Cluster()
    seeds = ("n1:1", "n2:1", "n3:1")
    options = LSMOptions(memtable_bytes=2_000, cache_bytes=0, block_bytes=64)
    machines = [cluster.machine(name, options=options) for name in ("n1", "n2", "n3")]
    settings = {"seeds": seeds, "expect_members": 3, "tree_check_interval": 0.5}
    first, *_ = [cluster.start(one, **settings) for one in machines]
    cluster.run(2.0)
    for number in range(KEYS):
        put(cluster, first, f"key {number}", "x" * 40, level=3)
    if restart:
        cluster.stop(first)
    disk = first.machine.disk
    assert isinstance(disk, SimulatedDisk)
    tables = [path for path in disk.contents() if path.name.startswith("table-")]
    assert tables
    for path in tables:
        for offset in range(200, len(disk.contents()[path]) // 2, 700):
            disk.flip(path, 8 * offset)
    return cluster, back(cluster, first) if restart else first


def is_whole(cluster: Cluster, member: Process) -> bool:
    # Behind the last partition are only rows of the node itself, which nobody else has.
    lost = [start for start, _ in engine_of(member).quarantined() if start < END_OF_RING]
    known = not lost and len(member.home.forest.plots) == 8
    return known and not any(differing_owners(list(cluster.running.values())))


def test_rot_that_the_slow_round_finds_is_mended() -> None:
    cluster, first = ring_with_rot(restart=False)
    cluster.run_until(lambda: first.home.counters["partitions_mended"] > 0, 120.0)
    cluster.run_until(lambda: is_whole(cluster, first), 120.0)
    assert [held(first, f"key {number}") for number in range(KEYS)] == [["x" * 40]] * KEYS
    assert not list(wrong_trees(first))
    assert sum(one.home.counters["read_repairs"] for one in cluster.running.values()) == 0


def test_rot_that_is_there_at_the_start_is_mended() -> None:
    cluster, first = ring_with_rot(restart=True)
    cluster.run_until(lambda: is_whole(cluster, first), 120.0)
    assert [held(first, f"key {number}") for number in range(KEYS)] == [["x" * 40]] * KEYS


def test_a_range_is_in_quarantine_until_all_other_owners_have_given_what_they_have() -> None:
    cluster, first = ring_with_rot(restart=False)
    third = next(one for one in cluster.running.values() if one.name == "n3")
    cluster.stop(third)
    cluster.run(30.0)
    assert first.home.counters["partitions_mended"] == 0
    assert first.home.counters["repaired_by_exchange_fetched"] > 0
    back(cluster, third)
    cluster.run_until(lambda: is_whole(cluster, first), 120.0)
