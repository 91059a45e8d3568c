"""A store of one row, faults for its disk, and what has to hold once it has failed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dynamokv.errors import StorageError
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from dynamokv.testing.disk_loss import Kill, Loss, PowerCut
from tests.storage.lsm.stores import (
    open_store,
    rows_of,
)

NOTHING = PowerCut(contents=0.0, names=0.0)
LOSSES: list[Loss] = [Kill(), NOTHING, PowerCut(contents=1.0, names=1.0)]


def no_space(*operations: Operation, name: str = "") -> Fault:
    return Fault(operations=operations, name=name, error=errno.ENOSPC)


def broken(*operations: Operation, name: str = "") -> Fault:
    return Fault(operations=operations, name=name)


def one_row() -> tuple[SimulatedDisk, LSMEngine]:
    disk = SimulatedDisk()
    engine = open_store(disk)
    engine.apply([(b"a", b"1")], sync=True)
    return disk, engine


def check_it_has_stopped(disk: SimulatedDisk, engine: LSMEngine) -> None:
    """It serves what it showed before, refuses the rest without touching the disk, and closes."""
    disk.faults = []
    before = len(disk.trace)
    assert rows_of(engine) == {b"a": b"1"}
    assert engine.get(b"a") == b"1"
    assert engine.stats()["failed"] == 1
    for sync in (True, False):
        for batch in ([(b"c", b"1")], []):
            with pytest.raises(StorageError, match=r"takes no writes: .*; reopen"):
                engine.apply(batch, sync=sync)
    for refused in (engine.flush, lambda: engine.drop(b"", b"z")):
        with pytest.raises(StorageError, match="takes no writes"):
            refused()
    with pytest.raises(StorageError, match="takes no writes"):
        engine.checkpoint(Path("/copy"))
    assert len(disk.trace) == before
    engine.close()
    engine.close()
    assert {call.operation for call in disk.trace[before:]} <= {Operation.CLOSE}
