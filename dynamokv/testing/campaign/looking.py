"""A look at what a process holds, which nothing in the simulated world notices.

Rule: faults of a disk are for its own process. A look neither meets them nor uses them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dynamokv.errors import StorageError
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.testing.simulation.process import Process

T = TypeVar("T")


def disk_of(machine: Machine) -> SimulatedDisk:
    """Its disk of files."""
    assert isinstance(machine.disk, SimulatedDisk)
    return machine.disk


def held(process: Process, key: bytes) -> bytes | None:
    """What a coordinator builds a write on; ``None`` where it is damaged."""
    return looked(process, lambda: process.home.reader.newest(key))


def stored(process: Process, key: bytes) -> bytes | None:
    """What its store has; ``None`` where it is damaged."""
    return looked(process, lambda: process.engine.get(key))


def looked(process: Process, look: Callable[[], T | None]) -> T | None:
    """What a look at its store sees; ``None`` where it is damaged."""
    if isinstance(process.machine.disk, MemoryDisk):
        return look()
    try:
        with _unnoticed(process.machine.disk):
            return look()
    except StorageError:
        return None


@contextmanager
def _unnoticed(disk: SimulatedDisk) -> Iterator[None]:
    kept = disk.faults, disk.crash_at, disk.calls
    disk.faults, disk.crash_at = [], None
    try:
        yield
    finally:
        disk.faults, disk.crash_at, disk.calls = kept
