"""Copies of a store: whole, as of their moment, or none."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash, Fault, Operation
from tests.storage.lsm.failing import NOTHING, no_space, one_row
from tests.storage.lsm.stores import (
    TIERED,
    TINY,
    open_store,
    replay,
    rows_of,
)
from tests.storage.lsm.workload import Rows

COPY = Path("/copy")


@pytest.mark.parametrize("options", [TINY, TIERED], ids=["tiny", "tiered"])
def test_a_checkpoint_is_the_store_as_of_its_call(options: LSMOptions) -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, options)
    disk.faults = [no_space(Operation.APPEND, name="build")]
    expected: dict[Path, Rows] = {}
    rows: Rows = {}
    for step in range(40):
        # First everything is in logs, several of them, then in tables as well.
        if step == 10:
            disk.faults = []
        batch: list[Row] = [(b"%d" % (step * n % 30), b"%d" % step) for n in range(1, 3)]
        engine.apply(batch, sync=False)
        rows |= replay([batch])
        if step % 5 == 4:
            directory = Path(f"/copies/{step}")
            engine.checkpoint(directory)
            expected[directory] = dict(rows)
    engine.close()
    # Durable, and untouched by what the store did later.
    found = disk.survivor(NOTHING)
    for directory, then in expected.items():
        for _ in range(2):
            copy = open_store(found, options, directory)
            assert not copy.forgot
            assert rows_of(copy) == then
            copy.apply([(b"new", b"1")], sync=True)
            then[b"new"] = b"1"
            copy.close()
    assert rows_of(open_store(found, options)) == rows


@pytest.mark.parametrize(
    "operation",
    [Operation.LINK, Operation.APPEND, Operation.SYNC, Operation.REPLACE, Operation.SYNC_DIR],
)
def test_half_a_checkpoint_is_told_and_never_passes_for_a_store(operation: Operation) -> None:
    whole = 0
    for skip in range(12):
        disk = SimulatedDisk()
        engine = open_store(disk, TINY)
        rows: Rows = {}
        for n in range(30):
            engine.apply([(b"%d" % n, b"x" * 40)], sync=True)
            rows[b"%d" % n] = b"x" * 40
        disk.faults = [
            Fault(
                operations=[operation],
                skip=skip,
                error=errno.ENOSPC,
                where=lambda call: COPY in (call.path, call.path.parent),
            )
        ]
        try:
            engine.checkpoint(COPY)
        except DiskFull:
            assert disk.faults[0].struck
        else:
            whole += 1
            continue
        disk.faults = []
        assert rows_of(engine) == rows
        engine.apply([(b"more", b"1")], sync=True)
        try:
            other = open_store(disk, TINY, COPY)
        except StorageError:
            continue
        assert other.forgot or rows_of(other) in ({}, rows)
    assert 0 < whole < 12


def test_a_crash_at_every_call_never_leaves_what_passes_for_a_store() -> None:
    at = 0
    complete = 0
    while True:
        disk = SimulatedDisk()
        engine = open_store(disk, TINY)
        for n in range(30):
            engine.apply([(b"%d" % n, b"x" * 40)], sync=True)
        rows = rows_of(engine)
        at += 1
        disk.crash_at = len(disk.trace) + at
        try:
            engine.checkpoint(COPY)
        except Crash:
            for _, found in disk.survivors(12):
                try:
                    other = open_store(found, TINY, COPY)
                except StorageError:
                    continue
                assert other.forgot or rows_of(other) in ({}, rows)
                complete += rows_of(other) == rows
        else:
            break
    assert at > 20
    assert complete


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_there_are_no_links_tables_are_copied(error: int) -> None:
    disk = SimulatedDisk()
    engine = open_store(disk, TINY)
    for n in range(60):
        engine.apply([(b"%d" % n, b"x" * 40)], sync=True)
    disk.faults = [Fault(operations=[Operation.LINK], error=error)]
    engine.checkpoint(COPY)
    assert disk.faults[0].struck
    copy = open_store(disk.survivor(NOTHING), TINY, COPY)
    assert not copy.forgot
    assert rows_of(copy) == rows_of(engine)


def test_a_checkpoint_needs_a_new_directory(caplog: pytest.LogCaptureFixture) -> None:
    disk, engine = one_row()
    disk.make_dir(COPY)
    with caplog.at_level(logging.WARNING), pytest.raises(StorageError, match="/copy exists"):
        engine.checkpoint(COPY)
    assert disk.list_dir(COPY) == []
