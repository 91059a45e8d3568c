"""A store on a full disk, killed in the middle of a write, did not open when its reserve was spent:
the opening wanted to write down that a write was torn, and had no room for that. Kills alone got it
there: one life spent the reserve, and the next one did not open, not even to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.errors import DiskFull
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.names import RESERVE
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_loss import Kill

DIRECTORY = Path("/data")
LIVES = 8


class Unlocked:
    """One process at a time has the disk."""

    def release(self) -> None:
        """Nothing to let go of."""


def opened(disk: SimulatedDisk) -> LSMEngine:
    return LSMEngine(DIRECTORY, files=disk, lock=lambda _: Unlocked(), background=False)


def killed_in_a_write(disk: SimulatedDisk) -> SimulatedDisk:
    """On a disk that has no room from now on."""
    disk = disk.survivor(Kill())
    log = max(path for path in disk.contents() if path.name.startswith("wal-"))
    disk.cut(log, len(disk.contents()[log]) - 1)
    disk.capacity_bytes = disk.used_bytes()
    return disk


def test_it_opens_is_read_and_goes_on_once_there_is_room() -> None:
    disk = SimulatedDisk()
    engine = opened(disk)
    rows = [(b"%d" % at, bytes(100)) for at in range(3 * LIVES)]
    for row in rows:
        engine.apply([row], sync=True)
    disk.lose(DIRECTORY / RESERVE)
    for life in range(1, LIVES):
        disk = killed_in_a_write(disk)
        engine = opened(disk)
        assert engine.forgot, f"in life {life}"
        left = list(engine.scan(b"", b"a"))
        assert set(left) <= set(rows)
        assert len(left) >= len(rows) - life
        with pytest.raises(DiskFull):
            engine.apply([(b"x", bytes(1000))], sync=True)
    disk.capacity_bytes = None
    engine.apply([(b"x", b"1")], sync=True)
    disk = disk.survivor(Kill())
    engine = opened(disk)
    assert engine.forgot
    assert list(engine.scan(b"", b"z")) == [*left, (b"x", b"1")]
    engine.taken_in()
    assert not opened(disk.survivor(Kill())).forgot
