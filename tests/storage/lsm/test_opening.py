"""Opening a directory in which something is wrong: what is repaired, what is deleted, and that it
stays so. ``test_log_recovery`` and ``test_lost_edits`` are about logs and manifests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from dynamokv.errors import CorruptionError, DiskFull
from dynamokv.storage.lsm.framing import HEADER_BYTES, FileKind
from dynamokv.storage.lsm.names import CURRENT, RESERVE
from dynamokv.storage.lsm.table_format import FOOTER_BYTES
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash, Fault, Operation
from dynamokv.testing.disk_loss import USUAL_LOSSES, Kill, Loss
from tests.storage.lsm.stores import copy_of, listing, names_of, newer, rows_of
from tests.storage.lsm.story import (
    check_files,
    cut_last_edit,
    manifest_of_current,
    moments,
    opened,
    story,
    tree_on,
)
from tests.storage.lsm.workload import STORE, Rows, read_some


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


OURS: Final = [
    "table-00000900",
    "wal-00000000",
    "manifest-00000001",
    "manifest-00000900",
    "build-ab-0000.tmp",
    "build-0123456789abcdef-0001.tmp",
    "CURRENT.tmp",
    "RESERVE.tmp",
    "wal-00000900.tmp",
    "manifest-00000900.tmp",
]
OTHERS: Final = [
    "identity",
    "identity.tmp",
    "build-x.tmp",
    "wal-1",
    "wal-00000001x",
    "xwal-00000001",
    "table-00000001.old",
    "wal-00000001.damaged",
]


def test_what_was_never_finished_is_deleted_and_nothing_else() -> None:
    disk = story().closed()
    before = names_of(disk)
    for name in OURS + OTHERS:
        assert name not in before
        disk.put(STORE / name, b"mine")
    engine = opened(disk)
    assert not engine.forgot
    assert rows_of(engine) == story().rows
    engine.close()
    assert not set(OURS) & set(names_of(disk))
    assert all(listing(disk)[name] == b"mine" for name in OTHERS)
    for name in OTHERS:
        disk.lose(STORE / name)
    check_files(disk)


def test_no_number_is_used_twice() -> None:
    disk = story().closed()
    for name in ("wal-00000901.damaged", "table-00000905.tmp"):
        disk.put(STORE / name, b"")
    disk.lose(STORE / CURRENT)
    opened(disk).close()
    assert int(manifest_of_current(disk)[-8:]) > 905
    assert min(int(name[4:]) for name in names_of(disk, "wal") if name[-1].isdigit()) > 905


# Damaged and missing tables.


def test_a_missing_table_is_a_lost_range() -> None:
    for meta in tree_on(story().disk).tables():
        disk = story().closed()
        disk.lose(STORE / f"table-{meta.number:08d}")
        engine = opened(disk)
        assert engine.forgot
        assert engine.quarantined()
        for start, end in engine.quarantined():
            assert meta.first_key <= start < end <= meta.last_key + b"\0"
        rows, refused = read_some(engine, story().ever)
        assert all(meta.first_key <= key <= meta.last_key for key in refused)
        assert {**rows, **{k: story().rows[k] for k in refused & set(story().rows)}} == story().rows
        # It is refilled, and then healed; until then every opening says so.
        engine.close()
        engine = opened(disk)
        assert engine.forgot
        assert engine.stats()["files_damaged"] == 0
        engine.apply([(key, story().rows.get(key)) for key in sorted(refused)], sync=True)
        engine.heal([(b"", b"\xff")])
        assert rows_of(engine) == story().rows
        engine.taken_in()
        engine.close()
        engine = opened(disk)
        assert not engine.forgot
        assert rows_of(engine) == story().rows
        engine.close()


def test_a_table_with_a_damaged_end_loses_no_row() -> None:
    for meta in tree_on(story().disk).tables():
        name = f"table-{meta.number:08d}"
        footer = meta.size_bytes - FOOTER_BYTES
        for offset in (0, 13, footer, footer + 9, meta.size_bytes - 1):
            disk = story().closed()
            disk.flip(STORE / name, 8 * offset)
            damaged = listing(disk)[name]
            engine = opened(disk)
            assert engine.forgot
            assert engine.quarantined() == []
            assert rows_of(engine) == story().rows
            engine.taken_in()
            engine.close()
            assert listing(disk)[name + ".damaged"] == damaged
            engine = opened(disk)
            assert not engine.forgot
            assert rows_of(engine) == story().rows
            engine.close()
            check_files(disk)


def test_a_table_of_which_nothing_is_left_is_a_lost_range() -> None:
    for damage in (b"", b"junk", bytes(HEADER_BYTES)):
        for meta in tree_on(story().disk).tables():
            disk = story().closed()
            disk.put(STORE / f"table-{meta.number:08d}", damage)
            engine = opened(disk)
            assert engine.forgot
            rows, refused = read_some(engine, story().ever)
            assert all(meta.first_key <= key <= meta.last_key for key in refused)
            assert rows == {k: v for k, v in story().rows.items() if k not in refused}
            engine.close()


@pytest.mark.parametrize("operation", [Operation.READ, Operation.OPEN_READ, Operation.READ_AT])
def test_a_file_that_the_disk_cannot_read_does_not_keep_it_from_opening(
    operation: Operation,
) -> None:
    for name in names_of(story().disk):
        for orphan in (False, True):
            disk = story().closed()
            if orphan:
                # A table that edits may have been about, which are lost.
                cut_last_edit(disk)
            disk.faults = [Fault(operations=[operation], name=name)]
            engine = opened(disk)
            rows, _ = read_some(engine, story().ever)
            for key, value in rows.items():
                assert value in story().ever[key]
            engine.close()


def test_a_table_that_no_manifest_has_and_nobody_can_read_is_set_aside() -> None:
    moment, _ = moments("flush")[-1]
    disk = copy_of(moment)
    newest = max(names_of(disk, "table"))
    cut_last_edit(disk)
    disk.flip(STORE / newest, 8 * (len(listing(disk)[newest]) - 1))
    opened(disk).close()
    assert newest + ".damaged" in names_of(disk)


def test_a_newer_table_is_refused_before_anything_changes() -> None:
    disk = story().closed()
    name = names_of(disk, "table")[-1]
    disk.put(STORE / name, newer(listing(disk)[name], FileKind.TABLE))
    disk.flip(STORE / names_of(disk, "wal")[0], 0)
    before = listing(disk)
    with pytest.raises(CorruptionError, match=name):
        opened(disk)
    assert listing(disk) == before


# While it is being repaired.

Damage = Callable[[SimulatedDisk], None]


def damaged_log(disk: SimulatedDisk) -> None:
    disk.flip(STORE / names_of(disk, "wal")[0], 0)


def damaged_table(disk: SimulatedDisk) -> None:
    [name, *_] = names_of(disk, "table")
    disk.flip(STORE / name, 8 * (len(listing(disk)[name]) - 1))


def lost_current(disk: SimulatedDisk) -> None:
    disk.lose(STORE / CURRENT)


def all_of_it(disk: SimulatedDisk) -> None:
    for damage in (damaged_log, damaged_table, lost_current):
        damage(disk)


def lost_edit(disk: SimulatedDisk) -> None:
    cut_last_edit(disk)


CASES: Final[list[Damage]] = [damaged_log, damaged_table, lost_current, lost_edit, all_of_it]


@pytest.mark.parametrize("damage", CASES)
def test_a_crash_at_every_call_of_a_repair(damage: Damage) -> None:
    store, rows = moments("merge")[-1]
    seen: set[bytes] = set()
    at = 0
    while True:
        disk = copy_of(store)
        damage(disk)
        at += 1
        disk.crash_at = at
        try:
            opened(disk)
        except Crash:
            for loss in USUAL_LOSSES[:6]:
                check_after_crash(disk, loss, rows, seen)
        else:
            break
    assert at > 30
    assert len(seen) > 20


def check_after_crash(disk: SimulatedDisk, loss: Loss, rows: Rows, seen: set[bytes]) -> None:
    found = disk.survivor(loss)
    fingerprint = found.image.fingerprint()
    if fingerprint in seen:
        return
    seen.add(fingerprint)
    engine = opened(found)
    assert engine.forgot
    assert rows_of(engine) == rows
    engine.taken_in()
    engine.close()
    engine = opened(found)
    assert not engine.forgot
    assert rows_of(engine) == rows
    engine.close()


@pytest.mark.parametrize("damage", CASES)
def test_without_room_it_is_repaired_later(damage: Damage) -> None:
    store, rows = moments("merge")[-1]
    refused = 0
    disk = copy_of(store)
    damage(disk)
    if RESERVE in names_of(disk):
        disk.lose(STORE / RESERVE)
    used = disk.used_bytes()
    for room in range(0, 3000, 111):
        full = disk.survivor(Kill())
        full.capacity_bytes = used + room
        try:
            opened(full).close()
        except DiskFull:
            refused += 1
        engine = opened(copy_of_with_room(full))
        assert engine.forgot
        assert rows_of(engine) == rows
        engine.close()
    assert refused > 2


def copy_of_with_room(disk: SimulatedDisk) -> SimulatedDisk:
    copy = copy_of(disk)
    copy.capacity_bytes = None
    return copy
