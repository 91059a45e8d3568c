"""A checkpoint that ended half-way could be opened as a store that lacks rows, without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.errors import StorageError
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash
from tests.storage.lsm.stores import NoLock, salts
from tests.storage.lsm.workload import STORE

COPY = Path("/copy")
OPTIONS = LSMOptions(memtable_bytes=2000)


def open_store(disk: SimulatedDisk, directory: Path) -> LSMEngine:
    return LSMEngine(directory, OPTIONS, files=disk, salt=salts(), lock=NoLock, background=False)


def store() -> tuple[SimulatedDisk, LSMEngine, dict[bytes, bytes]]:
    disk = SimulatedDisk()
    engine = open_store(disk, STORE)
    rows = {b"%d" % n: b"x" * 300 for n in range(20)}
    for n, (key, value) in enumerate(rows.items()):
        if n == 12:
            # As with a thread for flushes that has not come to it yet.
            engine.chores.flush_step = lambda: False  # type: ignore[method-assign]
        engine.apply([(key, value)], sync=True)
    assert engine.store.view.frozen
    return disk, engine, rows


def test_half_a_checkpoint_is_no_whole_store() -> None:
    disk, engine, rows = store()
    before = len(disk.trace)
    engine.checkpoint(COPY)
    calls = len(disk.trace) - before
    refused = told = whole = 0
    for number in range(1, calls + 1):
        disk, engine, rows = store()
        disk.crash_at = len(disk.trace) + number
        with pytest.raises(Crash):
            engine.checkpoint(COPY)
        for loss, survivor in disk.survivors(3):
            try:
                copy = open_store(survivor, COPY)
            except StorageError:
                refused += 1
                continue
            found = dict(copy.scan(b"", b"z")) if not copy.quarantined() else {}
            if found == rows:
                whole += 1
            else:
                # An empty directory is an empty store; anything else says that rows are missing.
                assert copy.forgot or not found, (number, loss)
                told += 1
    assert told > 10
    assert whole > 0
