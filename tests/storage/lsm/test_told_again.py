"""That rows are missing is told by every opening until somebody has taken it in, wherever a process
ends before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.names import CURRENT, RESERVE
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash, Fault, Operation
from dynamokv.testing.disk_loss import USUAL_LOSSES
from tests.storage.lsm.stores import (
    BATCHES,
    closed_store,
    copy_of,
    listing,
    names_of,
    open_store,
    records,
    replay,
    rows_of,
)
from tests.storage.lsm.workload import STORE

NEW: Final = (b"name", b"new")
"""What a node writes that has taken it in."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def store() -> SimulatedDisk:
    """With rows in a table, and others in the log."""
    disk = closed_store(BATCHES[:2])
    engine = open_store(disk)
    for batch in BATCHES[2:]:
        engine.apply(batch, sync=True)
    engine.close()
    assert names_of(disk, "table")
    return disk


def log_of(disk: SimulatedDisk) -> Path:
    return STORE / names_of(disk, "wal")[-1]


def a_bit_in_the_log(disk: SimulatedDisk) -> None:
    disk.flip(log_of(disk), 8 * records(listing(disk)[log_of(disk).name])[0].offset)


def a_torn_tail(disk: SimulatedDisk) -> None:
    disk.cut(log_of(disk), len(listing(disk)[log_of(disk).name]) - 1)


def a_lost_table(disk: SimulatedDisk) -> None:
    disk.lose(STORE / names_of(disk, "table")[0])


def a_damaged_table(disk: SimulatedDisk) -> None:
    name = names_of(disk, "table")[0]
    disk.flip(STORE / name, 8 * len(listing(disk)[name]) - 1)


def a_lost_manifest(disk: SimulatedDisk) -> None:
    disk.lose(STORE / names_of(disk, "manifest")[0])


def a_full_disk(disk: SimulatedDisk) -> None:
    """It takes no table, so the log goes on."""
    a_torn_tail(disk)
    disk.capacity_bytes = disk.used_bytes()


Damage = Callable[[SimulatedDisk], None]
DAMAGES: Final[list[Damage]] = [
    a_bit_in_the_log,
    a_torn_tail,
    a_lost_table,
    a_damaged_table,
    a_lost_manifest,
    a_full_disk,
]


def live(disk: SimulatedDisk) -> LSMEngine:
    """A life that goes on until its node has taken in what its store says."""
    engine = open_store(disk)
    disk.capacity_bytes = None
    if engine.forgot:
        engine.apply([NEW], sync=True)
        engine.taken_in()
    return engine


@pytest.mark.parametrize("damage", DAMAGES)
def test_wherever_a_life_ends(damage: Damage) -> None:
    """Twice in a row: the second of them may end at once."""
    seen: set[bytes] = set()
    told = 0
    for calls in count(1):
        disk = store()
        damage(disk)
        disk.crash_at = disk.calls + calls
        try:
            engine = live(disk)
        except Crash:
            for loss in USUAL_LOSSES:
                found = disk.survivor(loss)
                fingerprint = found.image.fingerprint()
                if fingerprint not in seen:
                    seen.add(fingerprint)
                    told += is_told_or_taken_in(found)
        else:
            break
    disk.crash_at = None
    engine.close()
    last = open_store(copy_of(disk))
    # A range that is lost is told for as long as it is.
    assert last.forgot == bool(last.quarantined())
    assert told > 10


def is_told_or_taken_in(disk: SimulatedDisk) -> bool:
    told = open_store(disk).forgot
    for _ in range(2):
        engine = open_store(copy_of(disk))
        assert engine.forgot == told
        try:
            assert told or engine.get(NEW[0]) == NEW[1]
        finally:
            engine.close()
    return told


def test_a_full_disk_without_a_reserve_loses_no_word() -> None:
    """Where the manifest cannot say it, what shows it stays."""
    refused = 0
    for room in range(0, 200, 10):
        disk = store()
        a_torn_tail(disk)
        disk.lose(STORE / RESERVE)
        disk.capacity_bytes = disk.used_bytes() + room
        try:
            open_store(disk)
        except DiskFull:
            refused += 1
        disk.capacity_bytes = None
        assert open_store(copy_of(disk)).forgot
    assert 0 < refused < 20


def test_a_checkpoint_tells_it_as_well() -> None:
    disk = store()
    a_torn_tail(disk)
    engine = open_store(disk)
    copies = []
    for name in ("/before", "/after"):
        engine.checkpoint(Path(name))
        copies.append(open_store(disk, directory=Path(name)).forgot)
        engine.taken_in()
    assert copies == [True, False]


def test_it_survives_a_new_manifest() -> None:
    disk = store()
    a_bit_in_the_log(disk)
    engine = open_store(disk)
    before = listing(disk)[CURRENT]
    engine.manifest._rewrite_above = 0
    engine.store.tidy_manifest()
    assert listing(disk)[CURRENT] != before
    assert open_store(copy_of(disk)).forgot


def test_a_manifest_that_fails_then_takes_no_more_writes() -> None:
    disk = store()
    a_torn_tail(disk)
    engine = open_store(disk)
    disk.faults = [Fault(operations=[Operation.SYNC], name="manifest")]
    with pytest.raises(StorageError):
        engine.taken_in()
    with pytest.raises(StorageError):
        engine.taken_in()
    with pytest.raises(StorageError):
        engine.apply([(b"a", b"1")], sync=True)


def test_who_was_told_nothing_writes_nothing() -> None:
    disk = store()
    engine = open_store(disk)
    before = listing(disk)
    engine.taken_in()
    assert listing(disk) == before
    assert rows_of(engine) == replay(BATCHES)
