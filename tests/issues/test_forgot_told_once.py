"""A store that had lost a row said so at one opening only. Its process was killed before it had
written who it was now; at the next start the store said nothing, so the member went on under its
old name and with its horizons, as if the row had been deleted."""

from __future__ import annotations

from itertools import count

import pytest

from dynamokv.errors import StorageError
from dynamokv.ports import Reminds
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.memory import MemoryEngine
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_loss import Kill, Loss, PowerCut
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.machine import Machine
from dynamokv.types import Actor, Durability
from dynamokv.wire import keys as row_keys
from tests.testing.simulation.clusters import put

HORIZON = b"\x01" + (1).to_bytes(8) + (1).to_bytes(8)
CALLS = 25
"""To the disk, at least, until a store is open, the member has a new name, and that is told."""


def stopped(cluster: Cluster) -> tuple[Machine, Actor]:
    """A member that has horizons, and has lost a row since its clean stop."""
    first, _, third = cluster.ring(3)
    third.engine.apply([(row_keys.horizon_row(p), HORIZON) for p in range(8)], sync=True)
    put(cluster, first, "k", "this row", level=3)
    machine = cluster.stop(third)
    disk = machine.disk
    assert isinstance(disk, SimulatedDisk)
    [(path, at)] = [
        (p, x.find(b"this row")) for p, x in disk.contents().items() if b"this row" in x
    ]
    disk.flip(path, 8 * at)
    return machine, third.home.actor


def test_it_is_told_until_it_is_taken_in() -> None:
    cluster = Cluster()
    machine, actor = stopped(cluster)
    for _ in range(3):
        engine, identity, _ = machine.open()
        assert engine.forgot
        assert identity.actor != actor
        machine.lose(Kill())
    process = cluster.start(machine)
    cluster.run_until(lambda: process.ready)
    cluster.run(0.1)
    assert process.home.actor != actor
    assert not process.home.horizons.adopted
    engine, identity, _ = cluster.stop(process).open()
    assert not engine.forgot
    assert identity.actor == process.home.actor


@pytest.mark.parametrize("loss", [Kill(), PowerCut(contents=0.0, names=0.0)])
def test_wherever_a_life_ends_the_next_one_knows(loss: Loss) -> None:
    cluster = Cluster()
    machine, actor = stopped(cluster)
    disk = machine.snapshot()
    told = 0
    for calls in count(1):
        machine.restore(disk)
        machine.crash_at_call(calls, loss)
        try:
            process = cluster.start(machine)
        except StorageError:
            assert machine.name not in cluster.running
        else:
            cluster.run(0.01)
            if process.alive:
                break
        engine, identity, _ = machine.open()
        assert identity.actor != actor
        kept = list(engine.scan(row_keys.HORIZONS, row_keys.FLOOR_ROW))
        assert engine.forgot or not kept
        told += engine.forgot
    assert calls > told > CALLS


def test_a_disk_that_refuses_the_new_name_has_it_told_again() -> None:
    """What is written meanwhile proves nothing."""
    cluster = Cluster()
    machine, actor = stopped(cluster)
    disk = machine.disk
    assert isinstance(disk, SimulatedDisk)
    machine.close(machine.open()[0])
    disk.capacity_bytes = disk.used_bytes()
    process = cluster.start(machine)
    cluster.run(0.01)
    disk.capacity_bytes = None
    assert not process.ready
    process.engine.apply([(b"a row", b"1")], sync=True)
    cluster.kill(process)
    engine, identity, _ = machine.open()
    assert engine.forgot
    assert identity.actor != actor


class Queue(CommitQueue):
    """Its jobs are done at once."""

    def _start(self, job: Job) -> None:
        do, tell = job
        tell(do())


def test_an_engine_that_does_not_remind_is_one_all_the_same() -> None:
    queue = Queue(MemoryEngine(), Durability.OS)
    queue.taken_in()
    assert queue.idle
    assert issubclass(LSMEngine, Reminds)
    assert not issubclass(MemoryEngine, Reminds)
