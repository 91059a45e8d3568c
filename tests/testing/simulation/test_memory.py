"""A disk of rows: what it forgets, and when."""

from __future__ import annotations

import pytest

from dynamokv.errors import DiskFull
from dynamokv.testing.disk_loss import Kill, PowerCut, Scatter
from dynamokv.testing.simulation.memory import MemoryDisk

ALL = PowerCut(contents=1.0, names=1.0)
NOTHING = PowerCut(contents=0.0, names=0.0)
HALF = PowerCut(contents=0.5, names=0.0)


def written() -> MemoryDisk:
    disk = MemoryDisk({b"old": b"0"})
    disk.apply([(b"a", b"1"), (b"b", b"1")], sync=True)
    disk.apply([(b"a", b"2")], sync=False)
    disk.apply([(b"b", None), (b"c", b"2")], sync=False)
    return disk


def test_only_what_was_synced_survives_the_power() -> None:
    disk = written()
    assert disk.rows == {b"old": b"0", b"a": b"2", b"c": b"2"}
    synced = {b"old": b"0", b"a": b"1", b"b": b"1"}
    assert disk.survivor(NOTHING).rows == disk.survivor(Scatter(1)).rows == synced
    assert disk.survivor(HALF).rows == {**synced, b"a": b"2"}
    assert disk.survivor(ALL).rows == disk.rows


def test_a_kill_loses_nothing_and_makes_nothing_durable() -> None:
    killed = written().survivor(Kill())
    assert killed.rows == written().rows
    assert killed.survivor(NOTHING).rows == written().survivor(NOTHING).rows


@pytest.mark.parametrize("by_batch", [True, False])
def test_a_sync_takes_all_before_it_along(by_batch: bool) -> None:
    disk = written()
    if by_batch:
        disk.apply([(b"d", b"3")], sync=True)
    else:
        disk.flush()
    assert disk.survivor(NOTHING).rows == disk.rows


def test_a_refused_batch_changes_nothing() -> None:
    disk = written()
    before = dict(disk.rows)
    disk.failing = "no space"
    with pytest.raises(DiskFull, match="no space"):
        disk.apply([(b"d", b"3")], sync=False)
    with pytest.raises(DiskFull, match="no space"):
        disk.flush()
    assert disk.rows == before
    disk.failing = ""
    disk.flush()
    assert disk.survivor(NOTHING).rows == before
