"""A manifest that has lost some of its edits, or all: the files that they were about tell, and
those that are only left over do not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.names import CURRENT
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.lsm.stores import (
    TINY,
    copy_of,
    listing,
    names_of,
    open_store,
    records,
    rows_of,
)
from tests.storage.lsm.story import (
    check_files,
    check_repaired,
    cut_last_edit,
    manifest_of,
    moments,
    opened,
    replaced_by,
    story,
    tree_on,
)
from tests.storage.lsm.workload import STORE, read_some


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


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
    engine.taken_in()
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
    engine.taken_in()
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
    unmerged = replace(TINY, merge_tables=50, slow_tables=60, stop_tables=70)
    engine = open_store(disk, unmerged)
    assert engine.forgot
    check_explained(engine)
    assert engine.stats()["level_0_tables"] == engine.stats()["tables"]
    for key in story().ever:
        engine.apply([(key, b"new" * 20)], sync=True)
    assert engine.chores.counters["flushes"] > 1
    assert rows_of(engine) == dict.fromkeys(story().ever, b"new" * 20)
    engine.close()
    engine = open_store(disk, unmerged)
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
