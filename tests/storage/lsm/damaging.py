"""A store on a disk that is full, that fails, or that lost some of its bytes.

For every byte at which the disk may be full, every call that may fail, every bit, every length of
every file: the store says so with the errors of the port, never shows a wrong row, and goes on, or
does so once opened again. ``Broken`` says where it does not.

Knows: the simulated disk and the port. Must not know: any engine.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from dynamokv.errors import DynamoKVError, StorageError
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Call, Fault, Operation
from dynamokv.testing.disk_loss import Kill, PowerCut
from tests.storage.lsm.crashing import MARKER, NOTHING, Report, telling
from tests.storage.lsm.workload import STORE, History, Run, Script, described, read_some

ALL: Final = PowerCut(contents=1.0, names=1.0)

PLACES_MAX: Final = 10_000
"""Of one file. A larger one is padding, or a test of days."""

CHECKED_STEPS: Final = 2
"""After a refusal: the refused one, and one that is written after it."""


def full_everywhere(
    script: Script, capacities: range, *, patience: int = 0, full_error: int = errno.ENOSPC
) -> Report:
    """Run with each capacity. After ``patience`` more refusals there is space again, and from then
    on nothing is refused, without reopening."""
    report = Report()
    for capacity in capacities:
        disk = script.new_disk()
        disk.capacity_bytes = capacity
        disk.full_error = full_error
        run = Run(script, disk, fails=True)
        told = f"capacity={capacity} patience={patience}"
        with telling(script, told, run, trace=disk.trace):
            _run_full(run, report, patience)
        report.failures += len(run.failures)
        disk.capacity_bytes = None
        report.crashes += 1
        for loss in (Kill(), NOTHING):
            found = disk.survivor(loss)
            with telling(script, told, run, loss, trace=disk.trace):
                _check_after_faults(script, found, run, report, clean=True)
    return report


def _run_full(run: Run, report: Report, patience: int) -> None:
    refusals = 0
    steps_to_check = 0

    def make_room() -> None:
        nonlocal refusals, steps_to_check
        refusals += 1
        steps_to_check = CHECKED_STEPS
        assert run.disk.capacity_bytes is not None, "a batch is refused where there is space"
        if refusals > patience:
            run.disk.capacity_bytes = None

    def check() -> None:
        nonlocal steps_to_check
        if steps_to_check:
            steps_to_check -= 1
            for loss in (Kill(), NOTHING, ALL):
                found = run.disk.survivor(loss)
                found.capacity_bytes = None
                _check_after_faults(run.script, found, run, report, clean=isinstance(loss, Kill))

    run.on_full, run.on_step = make_room, check
    run.go()
    assert not run.refused or run.disk.capacity_bytes is not None, "a full disk is not for ever"


@dataclass(frozen=True, slots=True)
class Failing:
    """How a call fails."""

    error: int
    done: float
    reverts: bool

    def fault(self, number: int) -> Fault:
        return Fault(
            operations=frozenset(Operation),
            where=lambda call: call.number == number,
            error=self.error,
            done=self.done,
            reverts=self.reverts,
        )


def fail_everywhere(
    script: Script, *, error: int = errno.EIO, every: int = 1, shown: bool = False
) -> Report:
    """Fail one call, go on as far as the store does, and then look at what is left of it.

    ``shown``: only syncs fail, and the kernel goes on to show what it dropped, also to the next
    process. Otherwise what is dropped is not seen any more.
    """
    report = Report()
    disk = script.new_disk()
    with telling(script, "without a fault", trace=disk.trace):
        Run(script, disk).go()
    for call in disk.trace[::every]:
        for failing in _ways_to_fail(call, error, shown):
            _fail(script, call, failing, report)
    return report


def _ways_to_fail(call: Call, error: int, shown: bool) -> Iterator[Failing]:
    shares: tuple[float, ...] = (0.0, 1.0)
    if call.operation is Operation.APPEND:
        shares = (0.0, 0.5, 1.0)
    if call.operation is Operation.SYNC:
        shares = (0.0, 0.5)
    elif shown:
        return
    for done in shares:
        yield Failing(error, done, reverts=not shown)


def _fail(script: Script, call: Call, failing: Failing, report: Report) -> None:
    disk = script.new_disk()
    disk.faults = [failing.fault(call.number)]
    run = Run(script, disk, fails=True)
    told = f"{call} fails: {failing}"
    with telling(script, told, run, trace=disk.trace):
        run.go()
        assert disk.faults[0].struck == 1, "an earlier run had this call"
    report.crashes += 1
    report.failures += len(run.failures)
    disk.faults = []
    for loss in (Kill(), NOTHING, ALL):
        found = disk.survivor(loss)
        with telling(script, told, run, loss, trace=disk.trace):
            _check_after_faults(script, found, run, report)


def _check_after_faults(
    script: Script,
    disk: SimulatedDisk,
    run: Run,
    report: Report,
    *,
    clean: bool = False,
) -> None:
    """The rows are those of some state, but where the store says that it cannot know; and it lives.
    An error of a read may have made it give up what it could not read.

    ``clean``: the store was closed, and nothing worse befell it than a lack of space.
    """
    report.survivors += 1
    history = run.history
    engine = script.open_store(disk, STORE)
    assert not (clean and engine.forgot), "it forgot, after a close"
    rows, unreadable = read_some(engine, history.keys | {MARKER})
    if unreadable:
        report.refused += 1
        _check_values(rows, history, unreadable, history.durable)
    elif not history.explains(rows, history.durable, gaps=engine.forgot):
        raise AssertionError(described(rows, history, history.durable))
    engine.apply([(MARKER, b"1")], sync=True)
    found = disk.survivor(NOTHING)
    engine.close()
    for after in (disk, found):
        engine = script.open_store(after, STORE)
        later, unreadable_then = read_some(engine, history.keys | {MARKER})
        assert later.get(MARKER) == b"1", f"it lost a new write; forgot: {engine.forgot}"
        # A key may be refused that was read before: it is in the range of a damaged piece.
        lost = {key for key, value in rows.items() if later.get(key) != value} - unreadable_then
        assert not lost, f"these were shown and are lost: {lost}"
        engine.close()


def _check_values(rows: dict[bytes, bytes], history: History, but: set[bytes], lowest: int) -> None:
    for key in history.keys - but:
        values = history.values(key, lowest)
        assert rows.get(key) in values, f"{key!r} is {rows.get(key)!r}, and never was"


# Damage to the files of a closed store.


@dataclass(frozen=True, slots=True)
class Damage:
    """What happened to a file."""

    path: Path
    what: str
    do: Callable[[SimulatedDisk, Path], None]

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


DamageKind: TypeAlias = Callable[[SimulatedDisk], Iterator[Damage]]


def flips(store: SimulatedDisk, every: int = 1) -> Iterator[Damage]:
    """Each so manieth bit of each file."""
    for path, content in _files(store):
        for bit in range(0, 8 * len(content), _step(8 * len(content), every)):
            yield Damage(path, f"has bit {bit} flipped", partial(_flip, bit))


def cuts(store: SimulatedDisk, every: int = 1) -> Iterator[Damage]:
    """Each file, cut to each so manieth length."""
    for path, content in _files(store):
        for size in range(0, len(content), _step(len(content), every)):
            yield Damage(path, f"is cut to {size} bytes", partial(_cut, size))


def losses(store: SimulatedDisk) -> Iterator[Damage]:
    """Each file gone."""
    for path, _ in _files(store):
        yield Damage(path, "is missing", SimulatedDisk.lose)


def _flip(bit: int, disk: SimulatedDisk, path: Path) -> None:
    disk.flip(path, bit)


def _cut(size: int, disk: SimulatedDisk, path: Path) -> None:
    disk.cut(path, size)


def _step(places: int, every: int) -> int:
    return every * max(1, places // PLACES_MAX)


def _files(store: SimulatedDisk) -> list[tuple[Path, bytes]]:
    return [(path, data) for path, data in store.contents().items() if path.parent == STORE]


def closed_store(script: Script) -> tuple[SimulatedDisk, History]:
    """A disk as a whole script left it, and what is on it."""
    disk = script.new_disk()
    run = Run(script, disk)
    with telling(script, "without damage", trace=disk.trace):
        run.go()
    return disk, run.history


def damage_everywhere(script: Script, kind: DamageKind, *, silent: str = "") -> Report:
    """Damage a closed store in each way of a kind and open it.

    Damage to files whose names begin with ``silent`` may pass for a younger store: a log without
    its end is still a log.
    """
    report = Report()
    store, history = closed_store(script)
    for damage in kind(store):
        report.crashes += 1
        disk = store.survivor(Kill())
        damage.do(disk, damage.path)
        with telling(script, damage, trace=disk.trace):
            in_silence = bool(silent) and damage.path.name.startswith(silent)
            _check_damaged(script, disk, history, report, in_silence)
    return report


def _check_damaged(
    script: Script, disk: SimulatedDisk, history: History, report: Report, in_silence: bool
) -> None:
    try:
        engine = script.open_store(disk, STORE)
    except StorageError:
        report.refused += 1
        return
    report.survivors += 1
    report.forgot += engine.forgot
    rows, unreadable = read_some(engine, history.keys | {MARKER})
    report.failures += bool(unreadable)
    right = history.states[-1]
    if engine.forgot or in_silence:
        # An older value, or none; but no invention. The states since the last opening are not all.
        for key, value in rows.items():
            assert value in history.ever[key], f"{key!r} never was {value!r}"
    else:
        for key in history.keys - unreadable:
            assert rows.get(key) == right.get(key), f"{key!r} is {rows.get(key)!r}, in silence"
    try:
        engine.apply([(MARKER, b"1")], sync=True)
        engine.close()
    except DynamoKVError as error:
        raise AssertionError(f"it opened, and takes no write: {error}") from error
    engine = script.open_store(disk, STORE)
    assert engine.get(MARKER) == b"1"
    later, unreadable_then = read_some(engine, history.keys | {MARKER})
    lost = {key for key, value in rows.items() if later.get(key) != value} - unreadable_then
    assert not lost, f"these are lost by reopening: {lost}"
    engine.close()
