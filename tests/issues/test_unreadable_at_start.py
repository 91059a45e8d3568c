"""A disk that gave nothing for a moment, while a member started, cost it its identity: its files
were set aside as damaged, and it began as somebody else with an empty store."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from dynamokv.errors import CorruptionError, StorageError
from dynamokv.runtime.boot import remembered
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import READS, Fault
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import IDENTITY_ROW, name_of
from tests.storage.lsm.stores import NoLock

STORE = Path("/store")


def opened(disk: SimulatedDisk) -> LSMEngine:
    return LSMEngine(STORE, files=disk, lock=NoLock, background=False)


def test_a_member_is_still_itself_when_its_disk_works_again() -> None:
    cluster = Cluster(seed=1)
    members = cluster.ring(3)
    name = name_of(b"", b"k")
    put = m.PutRequest(0, 0, 5000, Consistency.ALL, False, False, 0, [name], [b"v"], [])
    assert type(cluster.ask(members[0], put)) is m.PutDone
    node_id = members[2].home.node_id
    machine = cluster.stop(members[2])
    assert isinstance(machine.disk, SimulatedDisk)
    before = machine.disk.contents()
    machine.disk.faults.append(Fault(operations=READS, error=errno.EIO))
    with pytest.raises(StorageError, match="nothing was changed"):
        cluster.start(machine)
    machine.disk.faults.clear()
    assert machine.disk.contents() == before
    process = cluster.start(machine)
    cluster.run_until(lambda: process.ready)
    assert process.home.node_id == node_id
    cluster.run(1.0)
    get = m.GetRequest(0, 0, 5000, Consistency.ALL, True, [name])
    assert type(cluster.ask(process, get)) is m.GetDone


def test_a_store_that_is_readable_in_part_still_opens() -> None:
    disk = SimulatedDisk()
    engine = opened(disk)
    engine.apply([(b"a", b"1")], sync=True)
    engine.close()
    engine = opened(disk)
    engine.apply([(b"b", b"2")], sync=True)
    engine.close()
    log = max(path.name for path in disk.contents() if path.name.startswith("wal"))
    disk.faults.append(Fault(operations=READS, name=log, error=errno.EIO))
    engine = opened(disk)
    assert engine.forgot
    assert engine.get(b"a") == b"1"
    assert engine.set_aside == (f"{log}.damaged",)


def test_who_lost_its_identity_is_nobody_new() -> None:
    """Not at the next start either, when nothing is damaged any more."""
    disk = SimulatedDisk()
    engine = opened(disk)
    identity, _ = remembered(engine, random.Random(0))
    engine.apply([(IDENTITY_ROW, identity.encode())], sync=True)
    # Behind the last record of a log, damage is a write that a crash interrupted.
    engine.apply([(b"a", b"1")], sync=True)
    engine.close()
    log = next(path for path in disk.contents() if path.name.startswith("wal"))
    disk.flip(log, 8 * 60)
    for _ in range(2):
        engine = opened(disk)
        with pytest.raises(CorruptionError, match="begin with an empty one"):
            remembered(engine, random.Random(0))
        engine.close()
