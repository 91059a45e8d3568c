"""A merge whose result could not be installed was tried again every 0.1 s for ever."""

from __future__ import annotations

from dynamokv.storage.lsm.chores import RETRY_SECONDS
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from tests.storage.lsm.stores import NoLock, salts
from tests.storage.lsm.workload import STORE


def test_each_try_waits_longer_than_the_one_before() -> None:
    disk = SimulatedDisk()
    options = LSMOptions(memtable_bytes=1000, merge_tables=2)
    engine = LSMEngine(
        STORE,
        LSMOptions(memtable_bytes=1000, merge_tables=50, slow_tables=60, stop_tables=70),
        files=disk,
        salt=salts(),
        lock=NoLock,
        background=False,
        clock=lambda: 0.0,
    )
    for n in range(20):
        engine.apply([(b"%d" % (n % 5), b"x" * 300)], sync=True)
    engine.store.options = options
    disk.faults.append(Fault(operations={Operation.REPLACE}, name="table"))
    pauses = []
    for _ in range(len(RETRY_SECONDS) + 1):
        assert not engine.chores.merge_step()
        pauses.append(engine.chores.retry_at["merge"])
    assert pauses == [*RETRY_SECONDS, RETRY_SECONDS[-1]]
    disk.faults.clear()
    assert engine.chores.merge_step()
    assert engine.chores.retry_at["merge"] == 0.0
    engine.close()
