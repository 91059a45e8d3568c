"""Opening a directory in which something is wrong: what is repaired, and that it stays so."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import pytest

from dynamokv.errors import CorruptionError, DiskFull
from dynamokv.ports import Row
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import HEADER_BYTES, FileKind
from dynamokv.storage.lsm.manifest_codec import decode_edit
from dynamokv.storage.lsm.manifest_recovery import recover_manifest
from dynamokv.storage.lsm.names import CURRENT, RESERVE
from dynamokv.storage.lsm.table_format import FOOTER_BYTES
from dynamokv.storage.lsm.tree import Edit, Tree
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Call, Crash, Fault, Operation
from dynamokv.testing.disk_loss import USUAL_LOSSES, Kill, Loss
from tests.storage.conformance import apply_to_dict
from tests.storage.lsm.stores import (
    TINY,
    copy_of,
    listing,
    names_of,
    newer,
    open_store,
    records,
    rows_of,
)
from tests.storage.lsm.workload import STORE, Rows, read_some


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Story:
    """A store with flushes, merges and deletions behind it.

    Attributes:
        disk: after the last step, with the store still open.
        rows: what it holds.
        ever: all values of each key.
        moments: the disk and the rows after each step that ended in an edit of the manifest.
        removed: every table that was ever deleted.
    """

    def __init__(self, steps: int) -> None:
        self.disk = SimulatedDisk()
        self.disk.on_call = self._keep_removed
        self.rows: Rows = {}
        self.ever: dict[bytes, set[bytes | None]] = {}
        self.moments: list[tuple[SimulatedDisk, Rows, Edit]] = []
        self.removed: dict[str, bytes] = {}
        rng = random.Random(7)
        engine = open_store(self.disk, TINY)
        edits = 0
        for step in range(steps):
            batch: list[Row] = [
                (b"%03d" % rng.randrange(150), None if rng.random() < 0.3 else b"%d" % step * 4)
                for _ in range(4)
            ]
            engine.apply(batch, sync=True)
            apply_to_dict(self.rows, batch)
            for key, value in batch:
                self.ever.setdefault(key, {None}).add(value)
            found = records(listing(self.disk)[names_of(self.disk, "manifest")[0]])
            if len(found) != edits:
                edits = len(found)
                last = decode_edit(found[-1].payload)
                self.moments.append((copy_of(self.disk), dict(self.rows), last))

    def _keep_removed(self, call: Call) -> None:
        if call.operation is Operation.REMOVE and call.path.name.startswith("table"):
            self.removed[call.path.name] = self.disk.contents()[call.path]

    def closed(self) -> SimulatedDisk:
        return copy_of(self.disk)


@cache
def story() -> Story:
    return Story(150)


def manifest_of(disk: SimulatedDisk) -> str:
    [name] = names_of(disk, "manifest")
    return name


def tree_on(disk: SimulatedDisk) -> Tree:
    found = recover_manifest(disk, STORE, disk.list_dir(STORE))
    assert not found.faults
    return found.tree


def cut_last_edit(disk: SimulatedDisk) -> None:
    name = manifest_of(disk)
    disk.cut(STORE / name, records(listing(disk)[name])[-1].offset)


def opened(disk: SimulatedDisk) -> LSMEngine:
    return open_store(disk, TINY)


def check_repaired(disk: SimulatedDisk, rows: Rows) -> None:
    """It opens, says that it forgot and shows these rows; so does the next opening, which has
    nothing to say; and it takes writes, which are newer than all that is there."""
    engine = opened(disk)
    assert engine.forgot
    assert rows_of(engine) == rows
    engine.close()
    check_files(disk)
    engine = opened(disk)
    assert not engine.forgot
    assert engine.stats()["files_damaged"] == 0
    assert rows_of(engine) == rows
    later: list[Row] = [(key, b"later") for key in story().ever]
    engine.apply(later[::3], sync=True)
    engine.apply(later[1::3], sync=True)
    assert engine.stats()["flushes"] > 0
    engine.close()
    engine = opened(disk)
    assert rows_of(engine) == rows | dict(later[::3] + later[1::3])
    engine.close()


def check_files(disk: SimulatedDisk) -> None:
    """There is what the manifest refers to, and no more."""
    tables = {f"table-{meta.number:08d}" for meta in tree_on(disk).tables()}
    kept = {name for name in names_of(disk) if not name.endswith(".damaged")}
    logs = {name for name in kept if name.startswith("wal")}
    assert kept == tables | logs | {CURRENT, RESERVE, manifest_of_current(disk)}


def manifest_of_current(disk: SimulatedDisk) -> str:
    return listing(disk)[CURRENT].decode().strip()


# The story itself.


def test_the_story_is_what_the_tests_need() -> None:
    tree = tree_on(story().disk)
    assert sum(bool(level) for level in tree.levels) > 1
    assert len(tree.tables()) > 5
    assert len(story().removed) > 10
    assert any(edit.log_number for _, _, edit in story().moments)
    assert any(edit.removed for _, _, edit in story().moments)
    disk = story().closed()
    engine = opened(disk)
    assert not engine.forgot
    assert rows_of(engine) == story().rows
    engine.close()
    check_files(disk)


# Lost edits: the files that they were about tell.


def replaced_by(edit: Edit) -> set[int]:
    return set(edit.removed) - {meta.number for _, meta in edit.added}


def moments(kind: str) -> list[tuple[SimulatedDisk, Rows]]:
    """After a flush, or after a merge with a result; not after a move, which deletes nothing."""
    found = [
        (disk, rows)
        for disk, rows, edit in story().moments
        if (kind == "flush" and edit.log_number is not None)
        or (kind == "merge" and edit.added and replaced_by(edit))
    ]
    assert len(found) > 3
    return found


@pytest.mark.parametrize("kind", ["flush", "merge"])
def test_the_last_edit_is_lost_and_the_files_are_deleted(kind: str) -> None:
    for moment, rows in moments(kind):
        disk = copy_of(moment)
        cut_last_edit(disk)
        check_repaired(disk, rows)


def test_the_last_edit_is_damaged_by_one_bit() -> None:
    moment, rows = moments("merge")[-1]
    data = listing(moment)[manifest_of(moment)]
    for bit in range(records(data)[-1].offset * 8, len(data) * 8, 101):
        disk = copy_of(moment)
        disk.flip(STORE / manifest_of(moment), bit)
        engine = opened(disk)
        assert engine.forgot
        assert rows_of(engine) == rows
        engine.close()


def test_the_last_edit_is_lost_and_some_files_are_not_deleted_yet() -> None:
    """A crash between two deletions, and a manifest that the disk has lost the end of."""
    for moment, rows, edit in story().moments:
        gone = sorted(replaced_by(edit))
        for number in gone[::3] if edit.added and len(gone) > 1 else []:
            disk = copy_of(moment)
            name = f"table-{number:08d}"
            disk.put(STORE / name, story().removed[name])
            cut_last_edit(disk)
            check_repaired(disk, rows)


def test_an_edit_in_the_middle_is_lost() -> None:
    """Whatever was lost, nothing is made up, and it is told."""
    disk = story().closed()
    name = manifest_of(disk)
    found = records(listing(disk)[name])
    assert len(found) > 5
    exact = 0
    for item in found[1:-1]:
        copy = copy_of(disk)
        copy.flip(STORE / name, 8 * item.offset)
        engine = opened(copy)
        assert engine.forgot
        rows, refused = read_some(engine, story().ever)
        assert all(value in story().ever[key] for key, value in rows.items())
        exact += rows == story().rows
        engine.close()
        engine = opened(copy)
        assert engine.stats()["files_damaged"] == 0
        assert read_some(engine, story().ever) == (rows, refused)
        engine.close()
    assert exact


def test_all_edits_behind_the_first_tree_are_lost() -> None:
    """The tables themselves say what they were merged from."""
    disk = story().closed()
    name = manifest_of(disk)
    disk.cut(STORE / name, records(listing(disk)[name])[0].end)
    engine = opened(disk)
    assert engine.forgot
    check_explained(engine)
    engine.close()
    check_second_opening(disk)


@pytest.mark.parametrize("lost", [[CURRENT], ["manifest"], [CURRENT, "manifest"]], ids=str)
def test_the_manifest_is_lost(lost: list[str]) -> None:
    disk = story().closed()
    for begin in lost:
        for name in names_of(disk, begin):
            disk.lose(STORE / name)
    engine = opened(disk)
    assert engine.forgot
    if lost == [CURRENT]:
        assert rows_of(engine) == story().rows
    else:
        check_explained(engine)
    engine.close()
    check_second_opening(disk)


def check_explained(engine: LSMEngine) -> None:
    rows, refused = read_some(engine, story().ever)
    assert not refused
    assert len(rows) >= len(story().rows) / 2
    for key, value in rows.items():
        assert value in story().ever[key]


def check_second_opening(disk: SimulatedDisk) -> None:
    engine = opened(disk)
    assert not engine.forgot
    check_explained(engine)
    engine.close()
    check_files(disk)


def test_what_is_written_after_a_repair_is_newer_than_all_tables() -> None:
    """Also where the logs, which count the sequences, are lost together with the manifest."""
    disk = story().closed()
    for begin in (CURRENT, "manifest", "wal"):
        for name in names_of(disk, begin):
            disk.lose(STORE / name)
    engine = opened(disk)
    for key in story().ever:
        engine.apply([(key, b"new" * 20)], sync=True)
    assert engine.stats()["flushes"] > 1
    assert rows_of(engine) == dict.fromkeys(story().ever, b"new" * 20)
    engine.close()
    engine = opened(disk)
    assert rows_of(engine) == dict.fromkeys(story().ever, b"new" * 20)


# Files that are left over.


def test_leftover_tables_never_come_back() -> None:
    """Not even where something is damaged, so that tables without a manifest are looked at: rows
    that were merged away would hide newer ones."""
    for fault in (None, "log", "current"):
        disk = story().closed()
        for name, data in story().removed.items():
            disk.put(STORE / name, data)
        rows = story().rows
        if fault == "current":
            disk.lose(STORE / CURRENT)
        elif fault == "log":
            log = names_of(disk, "wal")[0]
            disk.flip(STORE / log, 0)
        engine = opened(disk)
        assert engine.forgot == bool(fault)
        assert rows_of(engine) == rows
        engine.close()
        check_files(disk)


def test_leftover_tables_never_come_back_behind_a_lost_edit() -> None:
    for moment, rows in moments("merge"):
        disk = copy_of(moment)
        known = tree_on(disk).next_number
        for name, data in story().removed.items():
            if int(name[6:]) < known and name not in names_of(disk):
                disk.put(STORE / name, data)
        cut_last_edit(disk)
        engine = opened(disk)
        assert rows_of(engine) == rows
        engine.close()


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
    before = set(names_of(disk))
    for name in OURS + OTHERS:
        assert name not in before
        disk.put(STORE / name, b"mine")
    engine = opened(disk)
    assert not engine.forgot
    assert rows_of(engine) == story().rows
    engine.close()
    assert set(names_of(disk)) == before | set(OTHERS) | {RESERVE}
    assert all(listing(disk)[name] == b"mine" for name in OTHERS)


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
        assert [(lost.start, lost.end) for lost in engine.quarantined()] == [
            (meta.first_key, meta.last_key + b"\0")
        ]
        rows, refused = read_some(engine, story().ever)
        assert all(meta.first_key <= key <= meta.last_key for key in refused)
        assert {**rows, **{k: story().rows[k] for k in refused & set(story().rows)}} == story().rows
        # It is refilled, and then healed; until then every opening says so.
        engine.close()
        engine = opened(disk)
        assert engine.forgot
        assert engine.stats()["files_damaged"] == 0
        engine.apply([(key, story().rows.get(key)) for key in sorted(refused)], sync=True)
        engine.heal(b"", b"\xff")
        assert rows_of(engine) == story().rows
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
            assert engine.quarantined() == ()
            assert rows_of(engine) == story().rows
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
    assert rows_of(engine) == rows
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
