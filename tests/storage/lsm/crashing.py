"""A crash of a store at every system call, with all that a kill or a power cut may leave behind.

For every call of a script: the process ends there, the disk becomes each of some survivors, the
store is opened again, and what it holds is compared with the oracle of ``workload``. Then it has to
live: what it showed is durable, it takes a write, and that survives too. The opening itself is
crashed in the same way.

Knows: the simulated disk and the port. Must not know: any engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from dynamokv.errors import StorageError
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import WRITES, Call, Crash, Operation
from dynamokv.testing.disk_loss import Kill, Loss, PowerCut, Scatter, losses
from tests.storage.lsm.workload import STORE, Copy, Run, Script, described, read_all

NOTHING: Final = PowerCut(contents=0.0, names=0.0)
NAMES: Final = PowerCut(contents=0.0, names=1.0)
MARKER: Final = b"marker"
TAIL: Final = 15
"""Calls that a failure shows."""


class Broken(AssertionError):
    """A promise of the store does not hold. The text says how to see it again."""


@dataclass(slots=True)
class Report:
    """What was done, so that a test can tell that something was."""

    calls: int = 0
    crashes: int = 0
    survivors: int = 0
    """Disks that were looked at. Equal ones count once."""
    recoveries: int = 0
    """Crashes of an opening."""
    forgot: int = 0
    refused: int = 0
    """Openings that failed, as they may on a damaged disk."""
    failures: int = 0
    """Steps that failed, as they may on a disk with faults."""


@dataclass(slots=True)
class Expected:
    """What a disk must hold."""

    run: Run
    lowest: int
    """Index of the oldest state that will do."""
    gaps: bool = False
    """Batches may be missing before others, if the opening says that it forgot."""
    told: list[str] = field(default_factory=list)
    """How the disk came about, for the failure."""


@contextmanager
def telling(script: Script, *told: object, trace: list[Call]) -> Iterator[None]:
    """Say where it happened, whatever happened."""
    try:
        yield
    except Broken:
        raise
    except (Exception, Crash) as error:
        lines = [script.name, *map(str, told), f"{type(error).__name__}: {error}"]
        tail = [str(call) for call in trace[-TAIL:]]
        raise Broken("\n  ".join([*lines, "the last calls:", *tail])) from error


class Campaign:
    """Crashes of one script.

    Args:
        losses_tried: survivors of each crash.
        recovery_losses: survivors of each crash of an opening; 0: those are not crashed.
        recovery_every: crash the opening of each so manieth survivor.
        every: crash at each so manieth call.
        all_calls: also at calls that change nothing on the disk, which adds no new case.
    """

    def __init__(
        self,
        script: Script,
        *,
        losses_tried: int = 8,
        recovery_losses: int = 3,
        recovery_every: int = 1,
        every: int = 1,
        all_calls: bool = False,
    ) -> None:
        self.script = script
        self.report = Report()
        self._losses_tried = losses_tried
        self._recovery_losses = recovery_losses
        self._recovery_every = recovery_every
        self._every = every
        self._all_calls = all_calls
        self._seen: set[tuple[object, ...]] = set()

    def crash_everywhere(self) -> Report:
        """Raises ``Broken``."""
        disk = self.script.new_disk()
        run = Run(self.script, disk)
        with telling(self.script, "without any crash", trace=disk.trace):
            run.go()
        trace = list(disk.trace)
        self._check(disk, Expected(run, run.history.acknowledged, told=["without any crash"]))
        self.report.calls = len(trace)
        for number, share in self._points(trace):
            self._crash_at(number, share, trace[number - 1])
        return self.report

    def _points(self, trace: list[Call]) -> list[tuple[int, float]]:
        points: list[tuple[int, float]] = []
        for call in trace:
            if self._all_calls or call.operation in WRITES:
                points.append((call.number, 0.0))
                if call.operation is Operation.APPEND:
                    points.append((call.number, 0.5))
        return points[:: self._every]

    def _crash_at(self, number: int, share: float, expected: Call) -> None:
        disk = self.script.new_disk()
        disk.crash_at, disk.crash_share = number, share
        run = Run(self.script, disk)
        with telling(self.script, f"crash_at={number}", run, trace=disk.trace):
            with suppress(Crash):
                run.go()
            assert disk.crashed, "the script ended before, and did not in an earlier run"
            assert disk.trace[-1] == expected, f"not {expected}, as in an earlier run"
        self.report.crashes += 1
        told = [f"crash_at={expected} share={share}", str(run)]
        for loss, found in disk.survivors(self._losses_tried):
            self.check_survivor(found, loss, Expected(run, 0, told=[*told, str(loss)]))

    def check_survivor(self, disk: SimulatedDisk, loss: Loss, expected: Expected) -> None:
        """A disk after a crash of a run: it holds what it must, also when opening it is crashed."""
        history = expected.run.history
        killed = isinstance(loss, Kill)
        expected.lowest = history.acknowledged if killed else history.durable
        expected.gaps = isinstance(loss, Scatter)
        if not self._is_new(disk, expected):
            return
        if self._recovery_losses and len(self._seen) % self._recovery_every == 0:
            self._crash_recovery(disk, killed, expected)
        self._check(disk, expected)

    def _crash_recovery(self, disk: SimulatedDisk, killed: bool, expected: Expected) -> None:
        """Open copies of the disk, ending at every call; look at what each of them leaves."""
        history = expected.run.history
        number = 0
        while True:
            copy = disk.survivor(Kill())
            number = self._next_write(copy, number, expected)
            if not number:
                return
            self.report.recoveries += 1
            told = [*expected.told, f"the opening: crash_at={copy.trace[-1]}"]
            for loss in islice(losses(), self._recovery_losses):
                found = copy.survivor(loss)
                again = Expected(
                    expected.run,
                    history.durable,
                    gaps=expected.gaps or isinstance(loss, Scatter),
                    told=[*told, str(loss)],
                )
                if killed and isinstance(loss, Kill):
                    again.lowest = history.acknowledged
                if self._is_new(found, again):
                    self._check(found, again)

    def _is_new(self, disk: SimulatedDisk, expected: Expected) -> bool:
        history = expected.run.history
        oracle = expected.lowest, len(history.states), history.restarts, expected.gaps
        key = disk.image.fingerprint(), *oracle
        new = key not in self._seen
        self._seen.add(key)
        return new

    def _next_write(self, disk: SimulatedDisk, number: int, expected: Expected) -> int:
        """Crash an opening at its next writing call after ``number``; 0: it has no more."""
        passed = number

        def stop_at_write(call: Call) -> None:
            if call.number > passed and call.operation in WRITES and disk.crash_at is None:
                disk.crash_at = call.number

        disk.on_call = stop_at_write
        with telling(self.script, *expected.told, "opening it", trace=disk.trace):
            try:
                self.script.open_store(disk, STORE).close()
            except Crash:
                return len(disk.trace)
        return 0

    def _check(self, disk: SimulatedDisk, expected: Expected) -> None:
        self.report.survivors += 1
        with telling(self.script, *expected.told, trace=disk.trace or expected.run.disk.trace):
            self._check_rows(disk, expected)
            for copy in expected.run.copies:
                self._check_copy(disk, copy)

    def _check_rows(self, disk: SimulatedDisk, expected: Expected) -> None:
        history = expected.run.history
        keys = history.keys | {MARKER}
        engine = self.script.open_store(disk, STORE)
        rows = read_all(engine, keys)
        forgot = engine.forgot
        self.report.forgot += forgot
        gaps = expected.gaps and engine.forgot
        if not history.explains(rows, expected.lowest, gaps=gaps):
            raise AssertionError(described(rows, history, expected.lowest))
        # Also the cut that keeps every removal: what took the place of a file must be durable.
        shown = [disk.survivor(NOTHING), disk.survivor(NAMES)]
        engine.apply([(MARKER, b"1")], sync=True)
        marked = disk.survivor(NAMES)
        engine.close()
        rows_then = {**rows, MARKER: b"1"}
        for what, found, expected_rows in (
            *(("it lost what it had shown", cut, rows) for cut in shown),
            ("it lost a new write", marked, rows_then),
            ("after a close", disk, rows_then),
        ):
            engine = self.script.open_store(found, STORE)
            assert read_all(engine, keys) == expected_rows, what
            # Whatever was wrong, the opening before has put in order; but nobody has taken it in.
            assert engine.forgot == forgot, f"{what}: it does not say of forgetting what it said"
            engine.close()
        left = [path for path in disk.contents() if path.parent == STORE and ".tmp" in path.name]
        assert not left, f"unfinished files stay: {left}"

    def _check_copy(self, disk: SimulatedDisk, copy: Copy) -> None:
        files = [path for path in disk.contents() if path.parent == copy.directory]
        if not copy.complete and not files:
            return
        try:
            engine = self.script.open_store(disk, copy.directory)
        except StorageError:
            assert not copy.complete, f"{copy.directory} cannot be opened"
            return
        rows = read_all(engine, copy.rows)
        # Of one that was interrupted nothing was promised, but it must not pass for the whole.
        fine = rows == copy.rows or (not copy.complete and (engine.forgot or not rows))
        assert fine, f"{copy.directory} has other rows: {rows}"
        engine.close()
