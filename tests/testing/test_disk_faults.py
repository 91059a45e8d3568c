"""The simulated disk when something goes wrong: the end of the process, full and failing disks,
damage."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.testing.disk import SimulatedDisk, flip_any
from dynamokv.testing.disk_faults import Call, Crash, Fault, Operation, bad_sector, read_only
from dynamokv.testing.disk_loss import Kill, Scatter
from tests.testing.disks import (
    ALL,
    FILE,
    HERE,
    NOTHING,
    durable,
    error_of,
    left,
    new_disk,
    write,
)

# The end of the process.


@pytest.mark.parametrize(("share", "content"), [(0.0, b"abc"), (0.5, b"abcde"), (1.0, b"abcdefg")])
def test_the_process_ends_at_a_call_and_nobody_cleans_up(share: float, content: bytes) -> None:
    disk = new_disk()
    file = write(disk, FILE, b"abc")
    reader = disk.open_read(FILE)
    disk.crash_at = len(disk.trace) + 1
    disk.crash_share = share
    with pytest.raises(Crash):
        file.append(b"defg")
    for call in (file.sync, file.close, file.size, reader.size, reader.close):
        with pytest.raises(Crash):
            call()
    with pytest.raises(Crash):
        disk.remove(FILE)
    assert disk.crashed
    found = disk.survivor(Kill())
    assert found.read(FILE) == content


@pytest.mark.parametrize(
    "call",
    [
        lambda disk: disk.remove(FILE),
        lambda disk: disk.sync_dir(HERE),
        lambda disk: disk.replace(FILE, HERE / "other"),
    ],
)
def test_a_call_at_which_the_process_ends_was_not_done(
    call: Callable[[SimulatedDisk], None],
) -> None:
    disk = new_disk()
    write(disk, FILE, b"abc").sync()
    disk.crash_at = len(disk.trace) + 1
    disk.crash_share = 0.5
    with pytest.raises(Crash):
        call(disk)
    assert left(disk, Kill()) == {"file": b"abc"}
    assert left(disk, NOTHING) == {}


# Faults.


def test_the_disk_is_full_at_every_byte() -> None:
    for capacity in range(12):
        disk = new_disk()
        disk.capacity_bytes = capacity
        file = disk.open_append(FILE)
        errors = [error_of(file, data) for data in (b"01234", b"56789")]
        assert errors == [errno.ENOSPC if capacity < size else None for size in (5, 10)]
        assert disk.read(FILE) == b"0123456789"[:capacity]
        assert disk.used_bytes() == min(capacity, 10)


def test_space_comes_back_when_a_file_is_cut_or_gone_and_closed() -> None:
    disk = new_disk()
    disk.capacity_bytes = 10
    disk.full_error = errno.EDQUOT
    other = write(disk, HERE / "other", b"01234")
    file = write(disk, FILE, b"01234")
    with pytest.raises(OSError, match="uota"):
        file.append(b"5")
    other.truncate(2)
    file.append(b"567")
    disk.remove(HERE / "other")
    with pytest.raises(OSError, match="uota"):
        file.append(b"8")
    other.close()
    file.append(b"89")
    assert disk.survivor(ALL).capacity_bytes == 10


def test_a_fault_strikes_where_it_says() -> None:
    disk = new_disk()
    fault = Fault(operations={Operation.APPEND}, name="fi", skip=1, count=2)
    disk.faults = [fault]
    file, other = disk.open_append(FILE), disk.open_append(HERE / "other")
    errors = []
    for n in range(5):
        other.append(b"x")
        errors.append(error_of(file, b"%d" % n))
    assert errors == [None, errno.EIO, errno.EIO, None, None]
    assert fault.struck == 2
    assert disk.read(FILE) == b"034"


def test_an_operation_may_be_done_and_report_an_error() -> None:
    disk = new_disk()
    file = write(disk, FILE, b"ab")
    disk.faults = [Fault(operations={Operation.REPLACE}, done=1.0)]
    with pytest.raises(OSError, match="Input/output"):
        disk.replace(FILE, HERE / "other")
    assert list(disk.contents()) == [HERE / "other"]
    disk.faults = [Fault(operations={Operation.APPEND}, done=0.5)]
    with pytest.raises(OSError, match="Input/output"):
        file.append(b"cdef")
    assert disk.read(HERE / "other") == b"abcd"


@pytest.mark.parametrize("reverts", [False, True])
def test_after_a_failed_sync_the_next_one_lies(reverts: bool) -> None:
    disk = new_disk()
    file = durable(disk, FILE, b"abc")
    file.append(b"def")
    disk.faults = [Fault(operations={Operation.SYNC}, count=1, reverts=reverts)]
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    assert disk.read(FILE) == (b"abc" if reverts else b"abcdef")
    file.sync()
    assert left(disk, ALL) == {"file": b"abc"}
    file.append(b"ghi")
    file.sync()
    assert left(disk, NOTHING) == {"file": b"abcghi" if reverts else b"abc\0\0\0ghi"}


def test_a_failed_sync_may_have_written_some() -> None:
    disk = new_disk(sector_bytes=2)
    file = durable(disk, FILE, b"abc")
    file.append(b"defgh")
    disk.faults = [Fault(operations={Operation.SYNC}, done=0.5)]
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    assert left(disk, NOTHING) == {"file": b"abcd"}


def test_a_bad_sector_fails_whoever_reads_it() -> None:
    disk = new_disk()
    write(disk, FILE, bytes(2000))
    disk.faults = [bad_sector("file", 700)]
    file = disk.open_read(FILE)
    for offset, size_bytes, good in [(0, 512, True), (511, 2, False), (1023, 1, False)]:
        if good:
            assert len(file.read_at(offset, size_bytes)) == size_bytes
        else:
            with pytest.raises(OSError, match="Input/output"):
                file.read_at(offset, size_bytes)
    assert len(file.read_at(1024, 512)) == 512
    with pytest.raises(OSError, match="Input/output"):
        disk.read(FILE)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
def test_a_directory_may_be_read_only(error: int) -> None:
    disk = new_disk()
    file = write(disk, FILE, b"abc")
    disk.faults = [read_only(HERE, error)]
    calls: list[Callable[[], object]] = [
        lambda: file.append(b"d"),
        lambda: file.truncate(1),
        file.sync,
        lambda: disk.open_append(FILE),
        lambda: disk.remove(FILE),
        lambda: disk.replace(FILE, HERE / "other"),
        lambda: disk.link(FILE, HERE / "other"),
        lambda: disk.sync_dir(HERE),
        lambda: disk.make_dir(HERE / "a"),
    ]
    for call in calls:
        with pytest.raises(OSError, match="/store") as caught:
            call()
        assert caught.value.errno == error
    assert disk.read(FILE) == disk.open_read(FILE).read_at(0, 9) == b"abc"
    disk.make_dir(Path("/elsewhere"))


# Damage, and a test's own mistakes.


def test_damage_is_there_for_good() -> None:
    disk = new_disk()
    durable(disk, FILE, b"abc")
    disk.flip(FILE, 9)
    assert disk.read(FILE) == b"a`c"
    disk.cut(FILE, 2)
    assert left(disk, NOTHING) == {"file": b"a`"}
    disk.put(HERE / "other", b"1")
    disk.lose(FILE)
    for loss in (Kill(), NOTHING, ALL, Scatter(1)):
        assert left(disk, loss) == {"other": b"1"}


def test_any_bit_may_flip_and_the_seed_says_which() -> None:
    hit = set()
    for seed in range(200):
        disk = new_disk()
        disk.put(FILE, b"ab")
        disk.put(HERE / "other", b"c")
        path, bit = flip_any(disk, random.Random(seed))
        hit.add((path.name, bit))
        content = b"".join(disk.contents().values())
        assert sum((a ^ b).bit_count() for a, b in zip(content, b"abc", strict=True)) == 1
    assert len(hit) == 24


def test_calls_are_seen_and_traced() -> None:
    disk = new_disk()
    seen: list[Call] = []
    disk.on_call = seen.append
    file = write(disk, FILE, b"abc")
    file.sync()
    file.close()
    disk.open_read(FILE).read_at(1, 2)
    assert seen == disk.trace[2:]
    assert [(call.operation.value, call.size_bytes, call.offset) for call in seen] == [
        ("open_append", 0, 0),
        ("append", 3, 0),
        ("sync", 0, 0),
        ("close", 0, 0),
        ("open_read", 0, 0),
        ("read_at", 2, 1),
    ]
    assert str(seen[1]) == "4 append /store/file 3@0"


def test_a_mistake_of_the_caller_is_no_fault_of_the_disk() -> None:
    disk = new_disk()
    file = write(disk, FILE, b"abc")
    file.close()
    reader = disk.open_read(FILE)
    reader.close()
    calls: list[Callable[[], object]] = [
        lambda: file.append(b"d"),
        file.sync,
        file.size,
        file.close,
        lambda: reader.read_at(0, 1),
        lambda: disk.read(Path("file")),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="file"):
            call()
    with pytest.raises(FileNotFoundError):
        disk.open_read(HERE / "other")
    assert not disk.open_files
