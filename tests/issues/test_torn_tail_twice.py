"""A torn tail was called damage when the opening that found it was interrupted.

That opening had begun the next log already, so the torn one was not the last any more, and the next
opening reported a damaged file and acknowledged writes that might be missing. Seed 203 of a
campaign with failing syncs and crashes in calls.
"""

from __future__ import annotations

from pathlib import Path

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash
from dynamokv.testing.disk_loss import Kill

DIRECTORY = Path("/data")


class Unlocked:
    """One process at a time has the disk."""

    def release(self) -> None:
        """Nothing to let go of."""


def opened(disk: SimulatedDisk) -> LSMEngine:
    return LSMEngine(DIRECTORY, files=disk, lock=lambda _: Unlocked(), background=False)


def torn() -> SimulatedDisk:
    """A store whose last write was interrupted in the middle."""
    disk = SimulatedDisk()
    engine = opened(disk)
    engine.apply([(b"a", b"1")], sync=True)
    engine.apply([(b"b", b"2" * 100)], sync=True)
    disk = disk.survivor(Kill())
    [log] = [path for path in disk.contents() if path.name.startswith("wal-")]
    file = disk.open_append(log)
    file.truncate(file.size() - 10)
    file.sync()
    file.close()
    return disk


def test_a_torn_tail_stays_one_when_its_opening_is_interrupted() -> None:
    calls, torn_twice = 0, 0
    while True:
        calls += 1
        disk = torn()
        disk.crash_at = disk.calls + calls
        try:
            opened(disk)
        except Crash:
            engine = opened(disk.survivor(Kill()))
            assert engine.files_damaged == 0, f"after a crash in call {calls}"
            assert engine.get(b"a") == b"1"
            assert engine.get(b"b") is None
            torn_twice += engine.bytes_cut > 0
        else:
            break
    assert torn_twice > 10
