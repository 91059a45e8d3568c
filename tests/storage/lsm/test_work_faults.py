"""What becomes of a job when the disk fails, or somebody wants it to stop."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.jobs import (
    Built,
    Failed,
    Flush,
    Job,
    Merge,
    Salvage,
    Scrub,
)
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.throttle import BURST_SECONDS, Stopped, Throttle
from dynamokv.storage.lsm.work import run
from dynamokv.testing.disk import SimulatedAppendFile, SimulatedDisk
from dynamokv.testing.disk_faults import Call, Fault, Operation
from tests.storage.lsm.job_files import (
    TAG,
    built,
    perform,
    rows_of,
    tables_of,
    task,
    write_log,
)
from tests.storage.lsm.stores import salts

HERE = Path("/store")


@pytest.fixture
def disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir(HERE)
    return disk


class Keeping(SimulatedDisk):
    """Knows every file that was written to, also those that nobody holds any more."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[SimulatedAppendFile] = []

    def open_append(self, path: Path) -> SimulatedAppendFile:
        file = super().open_append(path)
        self.written.append(file)
        return file


def jobs(disk: SimulatedDisk) -> dict[str, Job]:
    tables = tables_of(disk, HERE, {b"a": b"2", b"b": None}, {b"a": b"1" * 300, b"c": b"1" * 300})
    return {
        "flush": Flush(
            tuple(
                write_log(disk, HERE, number, first, [[(b"a", b"%d" % first)]])
                for number, first in ((11, 5), (12, 6))
            )
        ),
        "merge": Merge(tuple((table,) for table in tables), 1, True, 1),
        "scrub": Scrub(tables[0]),
        "salvage": Salvage(tables[0]),
    }


@pytest.mark.parametrize("name", ["flush", "merge", "scrub", "salvage"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_no_failure_of_the_disk_gets_out_or_leaves_anything(name: str, error: int) -> None:
    for number in range(1, 1000):
        disk = Keeping()
        disk.make_dir(HERE)
        job = jobs(disk)[name]
        before = disk.contents()
        start = len(disk.trace)
        fault = Fault(
            operations=set(Operation) - {Operation.CLOSE, Operation.SIZE},
            where=lambda call, at=start + number: call.number == at,  # type: ignore[misc]
            error=error,
        )
        disk.faults = [fault]
        outcome = perform(job, disk, HERE)
        if len(disk.trace) < start + number:
            assert isinstance(outcome, Built)
            break
        if not fault.struck:
            continue
        failed = disk.trace[start + number - 1]
        if isinstance(outcome, Failed):
            assert outcome.full == (error == errno.ENOSPC)
            assert outcome.sync == (failed.operation is Operation.SYNC)
        else:
            assert error == errno.EIO or name == "salvage", failed
        if not isinstance(outcome, Built):
            assert disk.contents() == before, failed
        assert all(file.closed for file in disk.written), failed
    else:
        raise AssertionError("it never ends")
    assert number > 3


def test_a_full_disk_says_so_and_is_as_full_as_before(disk: SimulatedDisk) -> None:
    job = jobs(disk)["merge"]
    before = disk.used_bytes()
    for spare in range(0, 700, 100):
        disk.capacity_bytes = before + spare
        outcome = perform(job, disk, HERE)
        assert isinstance(outcome, Failed)
        assert outcome.full
        assert disk.used_bytes() == before


def test_a_new_table_that_reads_back_otherwise_is_a_failure(disk: SimulatedDisk) -> None:
    job = jobs(disk)["merge"]
    before = disk.contents()

    def corrupt(call: Call) -> None:
        for path in disk.contents():
            if path.name.startswith("build-") and call.operation is Operation.OPEN_READ:
                disk.on_call = lambda call: None
                disk.flip(path, 500)

    disk.on_call = corrupt
    outcome = perform(job, disk, HERE)
    assert isinstance(outcome, Failed)
    assert disk.contents() == before


def test_a_file_of_a_newer_version_is_a_failure_that_names_it(disk: SimulatedDisk) -> None:
    job = jobs(disk)["scrub"]
    path = HERE / file_name(Kind.TABLE, 2)
    data = disk.contents()[path]
    header = data[:8] + b"\0\x63" + data[10 : HEADER_BYTES - 8]
    newer = header + xxh3_64_intdigest(header).to_bytes(8, "big") + data[HEADER_BYTES:]
    disk.put(path, newer)
    outcome = perform(job, disk, HERE)
    assert isinstance(outcome, Failed)
    assert path.name in outcome.reason
    assert "upgrade" in outcome.reason


# Throttle.


def test_work_pauses_for_what_it_read_and_wrote(disk: SimulatedDisk) -> None:
    now = 100.0

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    job = jobs(disk)["merge"]
    throttle = Throttle(1000, clock=lambda: now, pause=pause)
    outcome = built(run(task(job, bytes_per_second=1000), disk, HERE, salts(), throttle))
    moved = outcome.read_bytes + outcome.written_bytes
    assert now - 100.0 == pytest.approx(moved / 1000, abs=2 * BURST_SECONDS)


def test_idle_time_is_not_saved_up() -> None:
    now = 0.0
    pauses: list[float] = []
    throttle = Throttle(1000, clock=lambda: now, pause=pauses.append)
    now = 60.0
    throttle.spend(1000)
    assert pauses == [pytest.approx(1.0 - BURST_SECONDS)]


@pytest.mark.parametrize("name", ["flush", "merge", "scrub", "salvage"])
def test_work_can_be_stopped_at_any_call(disk: SimulatedDisk, name: str) -> None:
    job = jobs(disk)[name]
    before = disk.contents()
    for calls in range(1000):
        left = calls

        def pause(seconds: float) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Stopped("enough")

        throttle = Throttle(0, clock=lambda: 0.0, pause=pause)
        outcome = run(task(job), disk, HERE, salts(), throttle)
        if isinstance(outcome, Built):
            break
        assert outcome == Failed("enough", full=False)
        assert disk.contents() == before
    assert 2 < calls < 999


def test_leftovers_of_an_earlier_attempt_do_no_harm(disk: SimulatedDisk) -> None:
    job = jobs(disk)["merge"]
    disk.put(HERE / f"build-{TAG}-0000.tmp", b"the beginning of something")
    found = rows_of(disk, HERE, perform(job, disk, HERE))
    assert [row for part in found for row in part][:2] == [(b"a", b"2"), (b"b", None)]
