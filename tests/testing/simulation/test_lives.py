"""How lives end and begin again: what is lost, what is kept, and what a process missed."""

from __future__ import annotations

import pytest

from dynamokv.errors import StorageError
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import WRITES, Fault, Operation
from dynamokv.testing.disk_loss import PowerCut
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import SECOND
from dynamokv.types import Consistency, Durability
from dynamokv.wire import messages as m
from tests.testing.simulation.clusters import back, get_of, held, put, put_of, values

KEPT = PowerCut(contents=1.0, names=1.0)


def lone(durability: Durability = Durability.FSYNC, **options: int) -> tuple[Cluster, Process]:
    """A ring of one."""
    cluster = Cluster()
    tuned = LSMOptions(**options) if options else None  # type: ignore[arg-type]
    machine = cluster.machine("n1", durability=durability, options=tuned)
    member = cluster.start(machine, n=1)
    cluster.run_until(lambda: member.ready)
    return cluster, member


def disk_of(process: Process) -> SimulatedDisk:
    disk = process.machine.disk
    assert isinstance(disk, SimulatedDisk)
    return disk


# --- kill, power cut, stop ------------------------------------------------------------------------


@pytest.mark.parametrize("durability", Durability)
def test_a_kill_loses_nothing_that_was_acknowledged(durability: Durability) -> None:
    cluster, member = lone(durability)
    for number in range(20):
        put(cluster, member, f"key {number}", "value")
    cluster.kill(member)
    member = back(cluster, member)
    assert all(held(member, f"key {number}") == ["value"] for number in range(20))


@pytest.mark.parametrize("durability", Durability)
def test_a_power_cut_loses_exactly_what_was_not_synced(durability: Durability) -> None:
    cluster, member = lone(durability)
    put(cluster, member, "before", "value")
    cluster.run(2.0)
    put(cluster, member, "after", "value")
    cluster.power_cut(member)
    member = back(cluster, member)
    found = {key for key in ("before", "after") if held(member, key)}
    kept = {
        Durability.FSYNC: {"before", "after"},
        # Synced now and then, and not since the last one.
        Durability.INTERVAL: {"before"},
        # Never synced by itself.
        Durability.OS: set(),
    }
    assert found == kept[durability]


def test_a_power_cut_may_keep_what_was_not_synced() -> None:
    cluster, member = lone(Durability.OS)
    put(cluster, member, "key", "value")
    cluster.power_cut(member, KEPT)
    assert held(back(cluster, member), "key") == ["value"]


def test_only_a_clean_stop_keeps_the_name() -> None:
    cluster, member = lone()
    name = member.home.actor
    assert cluster.stop(member) is member.machine
    member = back(cluster, member)
    assert member.home.actor == name
    cluster.kill(member)
    assert back(cluster, member).home.actor != name


def test_a_stop_writes_and_sends_what_is_on_its_way() -> None:
    cluster = Cluster()
    first, second, _ = cluster.ring(3)
    first.machine.commit_latency.set(SECOND, SECOND)
    first.request(put_of("key", "value"))
    cluster.stop(first)
    cluster.run(0.1)
    assert held(second, "key") == ["value"]
    assert held(back(cluster, first), "key") == ["value"]


def test_what_was_under_way_to_the_disk_is_there_or_not_and_the_store_is_sound() -> None:
    found = []
    for seed in range(40):
        cluster = Cluster(seed)
        (member,) = cluster.ring(1, n=1)
        put(cluster, member, "before", "value")
        member.request(put_of("under way", "value"))
        cluster.run(0.0001)
        assert member.replies.keys() == {1}, "it is not acknowledged"
        if seed % 2:
            cluster.kill(member)
        else:
            cluster.power_cut(member)
        member = back(cluster, member)
        assert held(member, "before") == ["value"]
        found.append((seed % 2, bool(held(member, "under way"))))
    assert set(found) == {(0, False), (0, True), (1, False), (1, True)}


def test_after_its_end_a_process_does_nothing() -> None:
    cluster = Cluster()
    first, second, _ = cluster.ring(3)
    seen: list[str] = []
    cluster.watchers.append(lambda process, event, effects: seen.append(process.name))
    cluster.kill(second)
    assert (second.alive, list(cluster.running)) == (False, ["n1", "n3"])
    second.request(get_of("key"))
    put(cluster, first, "key", "value")
    cluster.run(5.0)
    assert "n2" not in seen
    assert second.home.node_id not in first.home.up


# --- disks ----------------------------------------------------------------------------------------


def test_a_crash_in_the_middle_of_an_apply_ends_the_process() -> None:
    lengths = set()
    for calls in (1, 2):
        cluster, member = lone()
        put(cluster, member, "before", "value")
        member.machine.crash_at_call(calls, share=0.5)
        member.request(put_of("torn", "value"))
        cluster.run(1.0)
        assert not member.alive
        assert cluster.running == {}
        assert member.replies.keys() == {1}
        lengths.add(sum(map(len, disk_of(member).contents().values())))
        member = back(cluster, member)
        assert held(member, "before") == ["value"]
        assert held(member, "torn") == ([] if calls == 1 else ["value"])
    assert len(lengths) == 2, "half an append, and a whole one"


def test_a_crash_while_the_store_opens() -> None:
    cluster, member = lone()
    put(cluster, member, "key", "value")
    machine = cluster.kill(member)
    before = machine.snapshot()
    for calls in (1, 5, 9, 13):
        machine.restore(before)
        machine.crash_at_call(calls)
        with pytest.raises(StorageError, match="ended while it opened"):
            cluster.start(machine)
        member = back(cluster, member)
        assert held(member, "key") == ["value"]
        cluster.kill(member)


@pytest.mark.parametrize("operation", [Operation.APPEND, Operation.SYNC])
def test_a_write_that_the_disk_refuses_is_not_acknowledged(operation: Operation) -> None:
    cluster, member = lone()
    disk_of(member).faults.append(Fault(operations={operation}))
    reply = cluster.ask(member, put_of("key", "value"))
    assert type(reply) is m.Failed
    assert member.committer is not None
    assert member.committer.failures > 0
    cluster.kill(member)
    disk_of(member).faults.clear()
    put(cluster, back(cluster, member), "key", "value")


def test_what_breaks_a_disk_outlives_the_process() -> None:
    cluster, member = lone()
    disk_of(member).faults.append(Fault(operations=WRITES))
    machine = cluster.kill(member)
    with pytest.raises(StorageError):
        cluster.start(machine)
    disk_of(member).faults.clear()
    back(cluster, member)


def test_a_copy_that_is_put_back_leaves_the_disk_as_large_as_it_is() -> None:
    """A campaign once made room on a disk, and put a copy back that was made while there was none
    (seed 422)."""
    _, member = lone()
    disk = disk_of(member)
    disk.capacity_bytes = disk.used_bytes()
    copy = member.machine.snapshot()
    disk.capacity_bytes = None
    member.machine.restore(copy)
    assert disk_of(member).capacity_bytes is None


def test_a_full_disk_takes_writes_again_once_there_is_room() -> None:
    cluster, member = lone()
    disk = disk_of(member)
    disk.capacity_bytes = disk.used_bytes()
    assert type(cluster.ask(member, put_of("key", "value"))) is m.Failed
    disk.capacity_bytes = None
    cluster.run(3.0)
    put(cluster, member, "key", "value")


def test_a_slow_disk_delays_the_answer_and_no_reads() -> None:
    cluster, member = lone()
    put(cluster, member, "key", "old")
    member.machine.commit_latency.set(2 * SECOND, 2 * SECOND)
    ticket = member.request(put_of("key", "new", budget_ms=10_000))
    cluster.run(1.9)
    assert ticket not in member.replies
    assert values(cluster, member, "key", Consistency.ONE) == ["old"]
    cluster.run(0.2)
    assert type(member.replies[ticket]) is m.PutDone


def test_a_damaged_block_is_read_around() -> None:
    cluster = Cluster()
    seeds = ("n1:1", "n2:1", "n3:1")
    options = LSMOptions(memtable_bytes=2_000, cache_bytes=0, block_bytes=64)
    machines = [cluster.machine(name, options=options) for name in ("n1", "n2", "n3")]
    first, *_ = [cluster.start(one, seeds=seeds, expect_members=3) for one in machines]
    cluster.run(2.0)
    for number in range(60):
        put(cluster, first, f"key {number}", "x" * 40)
    disk = disk_of(first)
    tables = [path for path in disk.contents() if path.name.startswith("table-")]
    assert tables
    for path in tables:
        disk.flip(path, 8 * 200)
    for number in range(60):
        assert values(cluster, first, f"key {number}") == ["x" * 40]
    assert first.home.counters["damaged_reads"] > 0


def test_a_disk_that_cannot_be_read_keeps_its_process_from_starting() -> None:
    cluster, member = lone()
    machine = cluster.stop(member)
    fault = Fault(operations={Operation.LIST_DIR})
    disk_of(member).faults.append(fault)
    with pytest.raises(StorageError):
        cluster.start(machine)
    assert fault.struck
    assert cluster.running == {}
    disk_of(member).faults.clear()
    back(cluster, member)


# --- copies ---------------------------------------------------------------------------------------


def test_a_wiped_machine_is_somebody_new() -> None:
    cluster = Cluster()
    _, second, third = cluster.ring(3)
    put(cluster, second, "key", "value")
    machine = cluster.kill(third)
    machine.wipe()
    again = cluster.start(machine)
    assert again.home.node_id != third.home.node_id
    assert again.home.topology is None


def test_a_disk_can_be_rolled_back_more_than_once() -> None:
    cluster, member = lone()
    put(cluster, member, "key", "old")
    copy = member.machine.snapshot()
    for _ in range(2):
        member.request(put_of("other", "value"))
        cluster.run(1.0)
        machine = cluster.kill(member)
        machine.restore(copy)
        member = back(cluster, member)
        assert (held(member, "key"), held(member, "other")) == (["old"], [])


def test_a_clone_has_the_same_identity_and_a_disk_of_its_own() -> None:
    cluster = Cluster()
    first, *_ = cluster.ring(3)
    put(cluster, first, "key", "value", Consistency.ALL)
    twin = cluster.start(cluster.clone(first.machine, "twin"))
    assert twin.home.node_id == first.home.node_id
    assert held(twin, "key") == ["value"]
    cluster.run(3.0)
    assert "twin" not in cluster.running
    assert "one identity cannot run twice" in twin.refused[0]
    assert first.alive
    put(cluster, first, "key", "newer")
    assert isinstance(first.engine, LSMEngine)


def test_a_machine_moves_to_another_address() -> None:
    cluster = Cluster()
    first, _, third = cluster.ring(3)
    machine = cluster.stop(third)
    again = cluster.start(machine, address="elsewhere:9")
    cluster.run_until(lambda: again.ready)
    cluster.run(0.5)
    assert (again.name, again.address) == ("n3", "elsewhere:9")
    assert third.home.node_id in first.home.up
    put(cluster, first, "key", "value", Consistency.ALL)


# --- pauses and clocks ----------------------------------------------------------------------------


def test_a_paused_process_gets_afterwards_what_was_sent_to_it() -> None:
    cluster = Cluster()
    first, second, third = cluster.ring(3)
    cluster.pause(third, frozen=False)
    put(cluster, first, "key", "value")
    cluster.run(0.5)
    ticket = third.request(get_of("other"))
    assert held(third, "key") == []
    assert third.home.node_id in first.home.up, "its links stand"
    cluster.resume(third)
    cluster.run(0.1)
    assert held(third, "key") == ["value"]
    assert ticket in third.replies
    assert second.home.node_id in third.home.up


def test_the_peers_of_a_frozen_process_notice_after_a_while() -> None:
    cluster = Cluster()
    first, _, third = cluster.ring(3)
    cluster.pause(third)
    cluster.run(0.9)
    assert third.home.node_id in first.home.up
    cluster.run(0.2)
    assert third.home.node_id not in first.home.up
    put(cluster, first, "key", "value")
    cluster.resume(third)
    cluster.run(0.5)
    assert third.home.node_id in first.home.up
    put(cluster, third, "key", "of one that was away", Consistency.ALL)


def test_a_short_pause_is_not_noticed_though_another_one_follows() -> None:
    cluster = Cluster()
    first, _, third = cluster.ring(3)
    for _ in range(4):
        cluster.pause(third)
        cluster.run(0.6)
        cluster.resume(third)
        cluster.run(0.1)
        assert third.home.node_id in first.home.up


def test_timers_that_rang_during_a_pause_ring_late_and_once() -> None:
    cluster = Cluster()
    first, second, third = cluster.ring(3)
    cluster.pause(second, frozen=False)
    cluster.pause(third, frozen=False)
    ticket = first.request(put_of("key", "value", budget_ms=1000))
    cluster.pause(first, frozen=False)
    cluster.run(5.0)
    assert first.replies == {}
    cluster.resume(first)
    assert type(first.replies[ticket]) is m.Failed
    assert first.home.clock.monotonic() >= 5.0


def test_a_process_that_dies_frozen_leaves_a_clean_address() -> None:
    cluster = Cluster()
    first, _, third = cluster.ring(3)
    cluster.pause(third)
    cluster.run(2.0)
    cluster.kill(third)
    third = back(cluster, third)
    cluster.run(0.5)
    assert third.home.node_id in first.home.up


def test_a_ring_of_wrong_clocks_serves() -> None:
    cluster = Cluster()
    seeds = ("n1:1", "n2:1", "n3:1")
    machines = [
        cluster.machine("n1", offset_ms=-3_000, drift_ppm=500),
        cluster.machine("n2", offset_ms=2_000, drift_ppm=-500),
        cluster.machine("n3"),
    ]
    members = [cluster.start(one, seeds=seeds, expect_members=3) for one in machines]
    cluster.run(2.0)
    for number, member in enumerate(members * 3):
        machines[number % 3].clock.jump(700 - 500 * number)
        put(cluster, member, f"key {number}", "value", Consistency.ALL)
        cluster.run(1.0)
    for number in range(9):
        assert values(cluster, members[0], f"key {number}") == ["value"]
