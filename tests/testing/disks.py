"""Small disks for tests of the simulated disk, and what is left of them."""

from __future__ import annotations

from pathlib import Path

from dynamokv.testing.disk import SimulatedAppendFile, SimulatedDisk
from dynamokv.testing.disk_loss import Loss, PowerCut

HERE = Path("/store")
FILE = HERE / "file"

NOTHING = PowerCut(contents=0.0, names=0.0)
NAMES = PowerCut(contents=0.0, names=1.0)
CONTENTS = PowerCut(contents=1.0, names=0.0)
ALL = PowerCut(contents=1.0, names=1.0)


def new_disk(sector_bytes: int = 512) -> SimulatedDisk:
    disk = SimulatedDisk(sector_bytes=sector_bytes)
    disk.make_dir(HERE)
    return disk


def write(disk: SimulatedDisk, path: Path, *pieces: bytes) -> SimulatedAppendFile:
    file = disk.open_append(path)
    for piece in pieces:
        file.append(piece)
    return file


def durable(disk: SimulatedDisk, path: Path, content: bytes) -> SimulatedAppendFile:
    file = write(disk, path, content)
    file.sync()
    disk.sync_dir(path.parent)
    return file


def error_of(file: SimulatedAppendFile, data: bytes) -> int | None:
    try:
        file.append(data)
    except OSError as error:
        return error.errno
    return None


def left(disk: SimulatedDisk, loss: Loss) -> dict[str, bytes]:
    return {path.name: content for path, content in disk.survivor(loss).contents().items()}
