"""What a test has a store do, and what the store may hold afterwards: the oracle of crash tests.

Knows: the port of an engine, and dicts. Must not know: any engine, how disks fail.

Rules of the oracle, which are those of ``ports.StorageEngine``:

- Batches survive from the first to some last one. What was acknowledged as synced is among them.
- A batch is there whole or not at all. One that failed with ``DiskFull`` never is. One that failed
  with another ``StorageError`` may be, and no batch follows it until the store is reopened.
- Only where an opening says that it ``forgot``, and the disk was damaged or wrote out of order, may
  batches be missing before others that are there.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from zlib import crc32

from dynamokv.errors import CorruptionError, DiskFull, StorageError
from dynamokv.ports import Row, StorageEngine
from dynamokv.testing.disk import SimulatedDisk

STORE: Final = Path("/store")
END: Final = b"\xff" * 100
SUBSETS_MAX: Final = 12
"""So many doubtful batches are tried in all selections; with more, each key is looked at alone."""

Rows: TypeAlias = dict[bytes, bytes]
OpenStore: TypeAlias = Callable[[SimulatedDisk, Path], StorageEngine]


@dataclass(frozen=True, slots=True)
class Apply:
    batch: tuple[Row, ...]
    sync: bool


@dataclass(frozen=True, slots=True)
class Flush:
    pass


@dataclass(frozen=True, slots=True)
class Look:
    """Read everything."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    directory: Path


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close, and open again."""


Step: TypeAlias = Apply | Flush | Look | Checkpoint | Reopen


@dataclass(frozen=True, slots=True)
class Script:
    """A story of one store, the same in every run; it ends with a close."""

    name: str
    """Seed and options: how to get it again."""
    steps: tuple[Step, ...]
    open_store: OpenStore
    sector_bytes: int = 16
    """Small, so that small records are torn."""

    def new_disk(self) -> SimulatedDisk:
        return SimulatedDisk(sector_bytes=self.sector_bytes)


def random_steps(
    seed: int, batches: int, *, sync_share: float = 0.5, value_bytes: int = 50, extras: bool = True
) -> tuple[Step, ...]:
    """Batches over few keys, so that they often meet, and everything else now and then."""
    rng = random.Random(seed)
    steps: list[Step] = []
    for number in range(batches):
        rows = [
            (
                b"%02d" % rng.randrange(30),
                None if rng.random() < 0.2 else rng.randbytes(rng.randrange(value_bytes)),
            )
            for _ in range(rng.randrange(1, 6))
        ]
        # Two states of a store are never the same, so that the oracle can tell them apart.
        rows.append((b"number", b"%d" % number))
        steps.append(Apply(tuple(rows), rng.random() < sync_share))
        if extras and number % 3 == 2:
            directory = Path(f"/copies/{number}")
            others: list[Step] = [Flush(), Checkpoint(directory), Reopen(), Look()]
            steps.append(others[number // 3 % len(others)])
    return tuple(steps)


def salts_of(disk: SimulatedDisk) -> Callable[[], bytes]:
    """Salts for one opening: the same in every run, others in the next opening."""
    names = [(str(path), len(inode.visible)) for path, inode in disk.image.files()]
    opening = crc32(repr((len(disk.trace), names)).encode())
    numbers = itertools.count(1)
    return lambda: struct.pack(">II", opening, next(numbers))


class History:
    """The states of a dict that a store may be found in.

    Attributes:
        states: after each batch; the first is that of the last opening.
        durable: index of the state that is on the disk for sure.
        acknowledged: index of the newest state that the store said yes to.
        keys: that were ever written.
        ever: all values of each.
        restarts: openings so far, without the first.
    """

    def __init__(self) -> None:
        self.states: list[Rows] = [{}]
        self.batches: list[Sequence[Row]] = []
        self.durable = 0
        self.acknowledged = 0
        self.keys: set[bytes] = {b"absent", b""}
        self.ever: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self.restarts = 0

    def begin(self, batch: Sequence[Row]) -> None:
        state = dict(self.states[-1])
        for key, value in batch:
            self.keys.add(key)
            if value is None:
                state.pop(key, None)
            else:
                self.ever[key].add(value)
                state[key] = value
        self.states.append(state)
        self.batches.append(batch)

    def refuse(self) -> None:
        self.states.pop()
        self.batches.pop()

    def acknowledge(self, *, sync: bool) -> None:
        self.acknowledged = len(self.states) - 1
        if sync:
            self.durable = self.acknowledged

    def restart(self, rows: Rows) -> None:
        """An opening showed this, and it holds from now on."""
        self.states = [rows]
        self.batches = []
        self.durable = self.acknowledged = 0
        self.restarts += 1

    def explains(self, rows: Rows, lowest: int, *, gaps: bool) -> bool:
        """Whether these may be there, with the batches up to ``lowest`` and not after the last."""
        if rows in self.states[lowest:]:
            return True
        if not gaps:
            return False
        if len(self.batches) - lowest > SUBSETS_MAX:
            # The rest is for shorter histories.
            return all(rows.get(key) in self.values(key, lowest) for key in self.keys | set(rows))
        return any(
            rows == _replayed(self.states[lowest], batches)
            for batches in _selections(self.batches[lowest:])
        )

    def values(self, key: bytes, lowest: int = 0) -> list[bytes | None]:
        """All that a key ever was, from a state on."""
        return [state.get(key) for state in self.states[lowest:]]


def _selections(batches: Sequence[Sequence[Row]]) -> Iterable[list[Sequence[Row]]]:
    for chosen in itertools.product((True, False), repeat=len(batches)):
        yield list(itertools.compress(batches, chosen))


def _replayed(rows: Rows, batches: list[Sequence[Row]]) -> Rows:
    later = History()
    later.restart(rows)
    for batch in batches:
        later.begin(batch)
    return later.states[-1]


@dataclass(slots=True)
class Copy:
    """A checkpoint."""

    directory: Path
    rows: Rows
    complete: bool = False


class Run:
    """One process, going through a script.

    With ``fails`` the disk has faults: a step may fail then, with the errors of the port and with
    no others.
    """

    def __init__(self, script: Script, disk: SimulatedDisk, *, fails: bool = False) -> None:
        self.script = script
        self.disk = disk
        self.history = History()
        self.copies: list[Copy] = []
        self.step = -1
        self.engine: StorageEngine | None = None
        self.failures: list[StorageError] = []
        self.refused = False
        """A write failed for good: no other may succeed until the store is reopened."""
        self.on_full: Callable[[], None] = lambda: None
        """Called when a batch was refused for want of space."""
        self.on_step: Callable[[], None] = lambda: None
        """Called after each step."""
        self._fails = fails

    def go(self) -> None:
        """All of it, and a close at the end. Ends early when the store cannot be opened."""
        self._open()
        for number, step in enumerate(self.script.steps):
            self.step = number
            if self.engine is None:
                return
            try:
                self._do(self.engine, step)
            except StorageError as error:
                self._failed(error)
            self.on_step()
        self.step = len(self.script.steps)
        self._close()

    def __str__(self) -> str:
        # Where it is.
        if 0 <= self.step < len(self.script.steps):
            return f"step {self.step}: {self.script.steps[self.step]}"
        return "the opening" if self.step < 0 else "the close at the end"

    def _do(self, engine: StorageEngine, step: Step) -> None:
        match step:
            case Apply(batch, sync):
                self._apply(engine, batch, sync=sync)
            case Flush():
                engine.flush()
                self.history.acknowledge(sync=True)
            case Look():
                self._look(engine)
            case Checkpoint(directory):
                copy = Copy(directory, self.history.states[-1])
                self.copies.append(copy)
                engine.checkpoint(directory)
                copy.complete = not self.refused
            case Reopen():
                self._close()
                self._open()

    def _apply(self, engine: StorageEngine, batch: Sequence[Row], *, sync: bool) -> None:
        history = self.history
        history.begin(batch)
        try:
            engine.apply(batch, sync=sync)
        except DiskFull as error:
            history.refuse()
            self._failed(error)
            self.on_full()
        except StorageError as error:
            if self.refused:
                history.refuse()
            self.refused = True
            self._failed(error)
        else:
            assert not self.refused, "a write was taken after one that failed"
            history.acknowledge(sync=sync)

    def _look(self, engine: StorageEngine) -> None:
        rows = read_all(engine, self.history.keys)
        lowest = self.history.acknowledged
        assert rows in self.history.states[lowest:], described(rows, self.history, lowest)

    def _open(self) -> None:
        try:
            self.engine = self.script.open_store(self.disk, STORE)
        except StorageError as error:
            self.engine = None
            self._failed(error)
            return
        history = self.history
        if self.disk.faults and read_some(self.engine, history.keys)[1]:
            # It gave up what it could not read, which no state has. The story ends here.
            self._close()
            return
        rows = read_all(self.engine, history.keys)
        lowest = history.durable if self.refused or self.failures else history.acknowledged
        if self.engine.forgot and self.disk.faults:
            # Here as well. What is left may be older than the last opening.
            assert all(value in history.ever[key] for key, value in rows.items())
        else:
            assert not self.engine.forgot, "it forgot, after a close and without a fault"
            assert rows in history.states[lowest:], described(rows, history, lowest)
        history.restart(rows)
        self.refused = False

    def _close(self) -> None:
        engine, self.engine = self.engine, None
        if engine is None:
            return
        try:
            engine.close()
        except StorageError as error:
            self.refused = True
            self._failed(error)
        else:
            if not self.refused:
                self.history.acknowledge(sync=True)

    def _failed(self, error: StorageError) -> None:
        if not self._fails:
            raise error
        self.failures.append(error)


def read_all(engine: StorageEngine, keys: Iterable[bytes]) -> Rows:
    """All rows; ``get`` and ``scan`` must agree on them."""
    found = list(engine.scan(b"", END))
    rows = dict(found)
    assert [key for key, _ in found] == sorted(rows), "a scan is out of order, or has a key twice"
    for key in sorted({*keys, *rows}):
        value = engine.get(key)
        assert value == rows.get(key), f"get({key!r}) is {value!r}, a scan has {rows.get(key)!r}"
    return rows


def read_some(engine: StorageEngine, keys: Iterable[bytes]) -> tuple[Rows, set[bytes]]:
    """All rows that can be read, and the keys of those that cannot. A scan may be refused where no
    key is: it reads what newer rows hide."""
    rows: Rows = {}
    refused: set[bytes] = set()
    for key in sorted(keys):
        try:
            value = engine.get(key)
        except CorruptionError:
            refused.add(key)
            continue
        if value is not None:
            rows[key] = value
    try:
        scanned = dict(engine.scan(b"", END))
    except CorruptionError:
        return rows, refused
    others = {key: value for key, value in scanned.items() if key not in refused}
    assert others == rows, "a scan and the gets differ"
    # What was refused once can be read after all; and if the scan left it out, it counts as gone.
    return scanned, set()


def described(rows: Rows, history: History, lowest: int) -> str:
    """How rows differ from the nearest state that they may be."""
    states = history.states[lowest:]

    def differing(state: Rows) -> list[bytes]:
        keys = sorted({*state, *rows})
        return [key for key in keys if state.get(key) != rows.get(key)]

    nearest = min(states, key=lambda state: len(differing(state)))
    return "\n".join(
        [
            f"the rows are none of states {lowest} to {len(history.states) - 1}; "
            f"the nearest is {lowest + states.index(nearest)}, which differs in"
        ]
        + [f"  {key!r}: {nearest.get(key)!r}, not {rows.get(key)!r}" for key in differing(nearest)]
        + [f"they are state {n}" for n, state in enumerate(history.states) if state == rows]
    )
