"""Whole rings under virtual time: they work, they lose what they must and no more, and one seed is
one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from tests.testing.simulation.clusters import get_of, put, put_of, values

ROOT = Path(__file__).resolve().parents[3]


def some_trouble(seed: object, *, memory: bool = False, shuffled: bool = True) -> Cluster:
    """A run in which most things happen."""
    cluster = Cluster(seed, memory=memory, shuffled=shuffled)
    first, second, third = cluster.ring(3)
    client = cluster.client("c", "n1:1", "n2:1")
    cluster.network.latency.set(200_000, 5_000_000, tail=3)
    cluster.network.drop.share = cluster.network.duplicate.share = 0.05
    cluster.run(1.0)
    for number in range(10):
        for process in (first, client, third):
            process.request(put_of(f"k{number % 3}", f"{process.name} {number}"))
            process.request(get_of(f"k{number % 2}"))
        cluster.run(0.2)
        if number == 3:
            cluster.network.cut("n1:1", "n3:1")
        if number == 5:
            cluster.power_cut(second)
        if number == 7:
            cluster.network.heal()
            second = cluster.start(second.machine)
    cluster.run(6.0)
    assert second.ready
    assert len(client.replies) == 20
    return cluster


@pytest.mark.parametrize("memory", [True, False])
def test_a_ring_is_founded_and_serves_its_members_and_clients(memory: bool) -> None:
    cluster = Cluster(memory=memory)
    members = cluster.ring(4, n=3, partitions=16)
    client = cluster.client("c", "n2:1")
    cluster.run(1.0)
    for number, process in enumerate([*members, client]):
        put(cluster, process, f"key {number}", f"value {number}")
    for number in range(5):
        for process in (*members, client):
            assert values(cluster, process, f"key {number}") == [f"value {number}"]
    assert cluster.now_ns > 3 * 10**9, "as much virtual time as was asked for, and real time none"


def test_an_answer_that_does_not_come_is_an_error() -> None:
    cluster = Cluster()
    (first, *_) = cluster.ring(1)
    cluster.pause(first)
    with pytest.raises(TimeoutError, match="2 simulated seconds"):
        cluster.ask(first, get_of("key"), seconds=2)
    with pytest.raises(TimeoutError):
        cluster.run_until(lambda: False, seconds=5)


# --- one seed is one run --------------------------------------------------------------------------


def test_a_seed_is_a_run() -> None:
    prints = [some_trouble(seed).fingerprint() for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]
    disks = [
        [
            machine.disk.image.fingerprint()
            for machine in cluster.machines.values()
            if isinstance(machine.disk, SimulatedDisk)
        ]
        for cluster in (some_trouble(1), some_trouble(1))
    ]
    assert disks[0] == disks[1]
    assert len(disks[0]) == 3


def test_ties_and_disks_matter() -> None:
    prints = {
        some_trouble(1, memory=memory, shuffled=shuffled).fingerprint()
        for memory in (True, False)
        for shuffled in (True, False)
    }
    assert len(prints) == 4


def test_a_run_does_not_depend_on_pythons_hash_seed() -> None:
    code = (
        "from tests.testing.simulation.test_cluster import some_trouble;"
        "print(some_trouble(5).fingerprint())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert printed == [some_trouble(5).fingerprint()] * 2


def test_the_fingerprint_sees_a_single_byte() -> None:
    prints = set()
    for value in ("a", "b"):
        cluster = Cluster()
        (first,) = cluster.ring(1)
        put(cluster, first, "key", value)
        prints.add(cluster.fingerprint())
    assert len(prints) == 2


# --- what others see ------------------------------------------------------------------------------


def test_watchers_see_each_step_before_it_is_carried_out() -> None:
    cluster = Cluster()
    seen: list[tuple[str, str]] = []

    def watch(process: Process, event: Event | None, effects: list[Effect]) -> None:
        seen.append((process.name, type(event).__name__))
        if type(event) is e.Request:
            effects.clear()

    cluster.watchers.append(watch)
    first, *_ = cluster.ring(2)
    assert seen[:2] == [("n1", "NoneType"), ("n2", "NoneType")]
    reply = cluster.ask(first, put_of("key", "value"))
    assert type(reply) is m.Failed, "the watcher took the effects away"
    assert reply.got == 0
    assert ("n1", "Request") in seen


def test_an_error_of_a_core_ends_the_run() -> None:
    cluster = Cluster()
    first, *_ = cluster.ring(2)

    def broken(process: Process, event: Event | None, effects: list[Effect]) -> None:
        if type(event) is e.Received and type(event.message) is m.Replicate:
            raise ZeroDivisionError("a bug of ours")

    cluster.watchers.append(broken)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        put(cluster, first, "key", "value")


def test_replies_are_reported_as_they_come() -> None:
    cluster = Cluster()
    first, *_ = cluster.ring(2)
    told: list[int] = []

    def take(ticket: int, message: m.Message) -> None:
        told.append(ticket)
        del first.replies[ticket]

    first.on_reply = take
    tickets = [first.request(get_of("key")) for _ in range(5)]
    cluster.run(1.0)
    assert sorted(told) == tickets
    assert first.replies == {}


def test_a_forgotten_request_has_no_answer() -> None:
    cluster = Cluster()
    first, *_ = cluster.ring(3)
    ticket = first.request(put_of("key", "value"))
    first.forget(ticket)
    cluster.run(10.0)
    assert first.replies == {}
