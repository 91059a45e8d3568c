"""A store called its files damaged although nothing was lost, and nobody had damaged them.

A sync of the log failed, so its last record, which was refused, was in the kernel's memory only.
The next opening read it there, began another log above it, and was interrupted. A power cut took
the record, and then that log proved that it was missing.

And a first opening that was interrupted leaves a manifest that nothing names yet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from dynamokv.errors import StorageError
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Operation
from dynamokv.testing.disk_loss import Kill, PowerCut
from tests.storage.lsm.failing import broken, one_row
from tests.storage.lsm.stores import check_clean, open_store, rows_of

CUTS = [PowerCut(contents, names) for contents in (0.0, 0.9, 1.0) for names in (0.0, 0.5, 1.0)]


def after_a_failed_sync() -> SimulatedDisk:
    """Its process was killed. The next one sees a record that is on no disk."""
    disk, engine = one_row()
    disk.faults = [broken(Operation.SYNC)]
    with pytest.raises(StorageError, match="a sync failed"):
        engine.apply([(b"b", b"refused")], sync=True)
    return disk.survivor(Kill())


def interrupted(disk: SimulatedDisk) -> Iterator[SimulatedDisk]:
    """Openings of it that a failing disk ends, each at another sync, and a power cut."""
    for skip in range(20):
        found = disk.survivor(Kill())
        fault = broken(Operation.SYNC, Operation.SYNC_DIR)
        fault.skip, fault.count = skip, 1
        found.faults = [fault]
        try:
            open_store(found)
        except StorageError:
            yield from (found.survivor(cut) for cut in CUTS)
        if not fault.struck:
            return
    raise AssertionError("an opening has more syncs than these")


def test_a_record_that_was_never_on_the_disk_is_not_missed() -> None:
    found = list(interrupted(after_a_failed_sync()))
    assert len(found) > 20
    for disk in found:
        engine = open_store(disk)
        assert engine.files_damaged == 0
        assert rows_of(engine) in ({b"a": b"1"}, {b"a": b"1", b"b": b"refused"})


def test_a_store_that_was_never_opened_has_lost_nothing() -> None:
    for disk in interrupted(SimulatedDisk()):
        engine = open_store(disk)
        assert engine.files_damaged == 0
        engine.close()
        check_clean(disk, {})


def test_a_store_with_rows_misses_what_names_its_manifest() -> None:
    disk, engine = one_row()
    for path in list(disk.contents()):
        if path.name == "CURRENT":
            disk.lose(path)
    del engine
    assert open_store(disk).files_damaged == 1


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
