"""A look at what a process holds, which nothing in the simulated world notices.

Rule: faults of a disk are for its own process. A look neither meets them nor uses them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from dynamokv.errors import StorageError
from dynamokv.ports import Reader
from dynamokv.protocol.state.hint_rows import Hint, Kind
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.testing.simulation.process import Process
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records

T = TypeVar("T")


class Noted:
    """``ports.Reader`` of a member that notes what writes build on.

    Attributes:
        notes: what ``newest`` said last; ``None`` also where it is damaged.
    """

    def __init__(self, reader: Reader) -> None:
        self.notes: dict[bytes, bytes | None] = {}
        self._reader = reader

    def newest(self, key: bytes) -> bytes | None:
        """What writes build on."""
        self.notes[key] = None
        self.notes[key] = found = self._reader.newest(key)
        return found

    def __getattr__(self, name: str) -> Any:
        # Whatever else a reader can.
        return getattr(self._reader, name)


NEW_PLACE: Final = "newplace"
"""What the addresses of members begin with that came back somewhere else."""


def disk_of(machine: Machine) -> SimulatedDisk:
    """Its disk of files."""
    assert isinstance(machine.disk, SimulatedDisk)
    return machine.disk


def held(process: Process, key: bytes) -> bytes | None:
    """What a coordinator builds a write on; ``None`` where it is damaged."""
    reader = process.home.reader
    if isinstance(reader, Noted) and key in reader.notes:
        return reader.notes[key]
    return looked(process, lambda: reader.newest(key))


def newest(process: Process, key: bytes) -> bytes | None:
    """What was written last, applied or not; ``None`` where it is damaged."""
    assert process.committer is not None
    committer = process.committer
    return looked(process, lambda: committer.newest(key))


def stored(process: Process, key: bytes) -> bytes | None:
    """What its store has; ``None`` where it is damaged."""
    return looked(process, lambda: process.engine.get(key))


def hints_of(process: Process) -> list[tuple[NodeId, bytes, bytes]] | None:
    """What its store keeps for others: for whom, the row, and what is kept of it; ``None`` where it
    is damaged."""

    def look() -> list[tuple[NodeId, bytes, bytes]]:
        rows = process.engine.scan(row_keys.HINTS, row_keys.END_OF_HINTS)
        return [(*row_keys.split_hint_row(at), value) for at, value in rows]

    return looked(process, look)


def kept(process: Process, key: bytes) -> bytes | None:
    """What it keeps of this row, for whomever."""
    joined = None
    for target, row, value in hints_of(process) or []:
        hint = Hint.read(row_keys.hint_row(target, row), value)
        if row == key and hint.kind is Kind.KEPT:
            joined = records.join_records(joined, hint.content)
    return joined


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


def dead_rows(process: Process, within_ms: int = 0) -> list[bytes]:
    """The keys that its store has, and of which a read will show nothing so much later."""
    wall_ms = process.clock.wall_ms() + within_ms
    first, last = row_keys.FIRST_DATA_ROW, row_keys.END_OF_DATA
    rows = looked(process, lambda: list(process.engine.scan(first, last))) or []
    return [key for key, record in rows if not records.live_values(record, wall_ms)]
