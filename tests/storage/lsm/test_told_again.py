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
from dynamokv.storage.lsm.names import CURRENT, RESERVE, TEMPORARY
from dynamokv.storage.lsm.options import LSMOptions
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


def a_full_disk_without_a_reserve(disk: SimulatedDisk) -> None:
    """The manifest has no room either."""
    disk.lose(STORE / RESERVE)
    a_full_disk(disk)


Damage = Callable[[SimulatedDisk], None]
DAMAGES: Final[list[Damage]] = [
    a_bit_in_the_log,
    a_torn_tail,
    a_lost_table,
    a_damaged_table,
    a_lost_manifest,
    a_full_disk,
    a_full_disk_without_a_reserve,
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
    assert told > 5


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
    """Where the manifest cannot say it, what shows it stays, and nothing is written behind it."""
    kept = replay(BATCHES[:-1])
    refused = 0
    rooms = range(0, 200, 5)
    for room in rooms:
        disk = store()
        a_full_disk_without_a_reserve(disk)
        disk.capacity_bytes = disk.used_bytes() + room
        engine = open_store(disk)
        assert engine.forgot
        assert rows_of(engine) == kept
        for _ in range(2):
            try:
                engine.apply([NEW], sync=True)
            except DiskFull:
                refused += 1
        again = open_store(with_room(copy_of(disk)))
        assert again.forgot
        assert rows_of(again) == rows_of(engine)
        with_room(disk)
        engine.apply([NEW], sync=True)
        again = open_store(copy_of(disk))
        assert again.forgot
        assert again.get(NEW[0]) == NEW[1]
    assert 2 < refused < 2 * len(rooms) - 2


def with_room(disk: SimulatedDisk) -> SimulatedDisk:
    disk.capacity_bytes = None
    return disk


def test_nothing_is_written_behind_a_tail_that_cannot_be_cut_off() -> None:
    disk = store()
    a_full_disk_without_a_reserve(disk)
    engine = open_store(disk)
    with_room(disk).faults = [Fault(operations=[Operation.TRUNCATE], name="wal")]
    before = listing(disk)[log_of(disk).name]
    for _ in range(2):
        with pytest.raises(StorageError, match="takes no writes"):
            engine.apply([NEW], sync=True)
    assert listing(disk)[log_of(disk).name] == before
    assert open_store(copy_of(disk)).forgot


def test_of_two_logs_the_first_one_is_torn() -> None:
    """The opening that found it ended when it had begun its own log."""
    disk = store()
    a_torn_tail(disk)
    logs = len(names_of(disk, "wal"))
    for calls in count(1):
        begun = copy_of(disk)
        begun.crash_at = calls
        with pytest.raises(Crash):
            open_store(begun)
        found = copy_of(begun)
        if len(names_of(found, "wal")) > logs and log_of(found).suffix != TEMPORARY:
            break
    found.lose(STORE / RESERVE)
    found.capacity_bytes = found.used_bytes()
    options = LSMOptions(memtable_bytes=1000)
    engine = open_store(found, options=options)
    assert engine.forgot
    with_room(found)
    # Until the torn log has become a table, and is deleted.
    torn = names_of(found, "wal")[0]
    for at in count():
        engine.apply([(b"%d" % at, bytes(100))], sync=True)
        assert open_store(copy_of(found)).forgot
        if torn not in names_of(found):
            break


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
