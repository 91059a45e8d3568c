"""The simulated disk: what a process sees, what it is told, and what is left when it is gone."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.ports import FileSystem
from dynamokv.testing.disk import SimulatedAppendFile, SimulatedDisk
from dynamokv.testing.disk_faults import Call, Crash, Fault, Operation, bad_sector, read_only
from dynamokv.testing.disk_loss import Kill, Loss, PowerCut, Scatter

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


def test_it_meets_the_port() -> None:
    files: FileSystem = new_disk()
    file = files.open_append(FILE)
    file.append(b"abc")
    file.append(b"")
    file.truncate(2)
    file.append(b"d" * 5)
    assert file.size() == 7
    file.close()
    reader = files.open_read(FILE)
    files.remove(FILE)
    assert reader.read_at(1, 2) == b"bd"
    assert reader.read_at(5, 100) == b"dd"
    assert reader.read_at(7, 1) == b""
    assert reader.size() == 7
    reader.close()
    reader.close()


# What is durable.


def test_contents_and_names_are_durable_each_by_their_own_sync() -> None:
    disk = new_disk()
    file = write(disk, FILE, b"abc")
    assert left(disk, Kill()) == left(disk, ALL) == {"file": b"abc"}
    assert left(disk, NAMES) == {"file": b""}
    assert left(disk, CONTENTS) == left(disk, NOTHING) == {}
    file.sync()
    assert left(disk, NOTHING) == {}
    assert left(disk, NAMES) == {"file": b"abc"}
    disk.sync_dir(HERE)
    file.append(b"def")
    assert left(disk, NOTHING) == {"file": b"abc"}


def test_a_made_directory_is_durable() -> None:
    disk = new_disk()
    disk.make_dir(HERE / "a" / "b")
    assert disk.survivor(NOTHING).list_dir(HERE / "a") == ["b"]


def test_a_directory_that_a_killed_process_made_is_durable_once_asked_for_again() -> None:
    disk = SimulatedDisk()
    disk.crash_at = 2
    with pytest.raises(Crash):
        disk.make_dir(HERE)
    found = disk.survivor(Kill())
    assert found.survivor(NOTHING).list_dir(Path("/")) == []
    found.make_dir(HERE)
    assert found.survivor(NOTHING).list_dir(Path("/")) == ["store"]


def test_after_a_kill_the_unsynced_is_there_and_still_unsynced() -> None:
    disk = new_disk()
    write(disk, FILE, b"abc")
    found = disk.survivor(Kill())
    assert found.read(FILE) == b"abc"
    assert left(found, NOTHING) == {}
    found.open_append(FILE).sync()
    found.sync_dir(HERE)
    assert left(found, NOTHING) == {"file": b"abc"}
    assert left(disk, NOTHING) == {}


def test_a_rename_is_one_step_and_may_survive_without_the_content() -> None:
    disk = new_disk()
    durable(disk, FILE, b"old")
    write(disk, HERE / "new", b"new")
    disk.replace(HERE / "new", FILE)
    found = [left(disk, PowerCut(contents=0.0, names=share)) for share in (0.0, 0.5, 1.0)]
    assert found == [{"file": b"old"}, {"file": b"old", "new": b""}, {"file": b""}]


def test_a_removal_may_not_have_happened() -> None:
    disk = new_disk()
    durable(disk, FILE, b"abc")
    disk.remove(FILE)
    assert left(disk, NOTHING) == {"file": b"abc"}
    assert left(disk, NAMES) == {}


def test_a_link_is_another_name_for_the_same_bytes() -> None:
    disk = new_disk()
    file = durable(disk, FILE, b"abc")
    disk.make_dir(HERE / "copy")
    disk.link(FILE, HERE / "copy" / "file")
    disk.remove(FILE)
    file.append(b"d")
    assert disk.contents() == {HERE / "copy" / "file": b"abcd"}
    assert disk.survivor(NOTHING).contents() == {FILE: b"abc"}
    disk.sync_dir(HERE / "copy")
    found = disk.survivor(NOTHING)
    assert list(found.contents().values()) == [b"abc", b"abc"]
    found.open_append(FILE).append(b"x")
    assert list(found.contents().values()) == [b"abcx", b"abcx"]
    assert found.used_bytes() == 4


@pytest.mark.parametrize("synced", ["/a", "/b"])
def test_a_rename_across_directories_is_never_done_by_half(synced: str) -> None:
    disk = SimulatedDisk()
    disk.make_dir(Path("/a"))
    disk.make_dir(Path("/b"))
    write(disk, Path("/a/file"), b"abc").sync()
    disk.replace(Path("/a/file"), Path("/b/file"))
    for seed in range(30):
        assert len(left(disk, Scatter(seed))) <= 1
    disk.sync_dir(Path(synced))
    assert disk.survivor(NOTHING).contents() == {Path("/b/file"): b"abc"}
    assert not disk.image.journal


def test_prefixes_of_writes_survive_and_the_last_one_is_torn_at_a_sector() -> None:
    disk = new_disk(sector_bytes=4)
    durable(disk, FILE, b"ab")
    file = disk.open_append(FILE)
    file.append(b"cdefg")
    file.append(b"hijkl")
    found = {left(disk, PowerCut(contents=n / 10, names=0.0))["file"] for n in range(11)}
    assert found == {b"ab", b"abcd", b"abcdefg", b"abcdefgh", b"abcdefghijkl"}


def test_a_cut_may_not_have_happened() -> None:
    disk = new_disk()
    file = durable(disk, FILE, b"0123456789")
    file.truncate(3)
    assert left(disk, NOTHING) == {"file": b"0123456789"}
    assert left(disk, CONTENTS) == {"file": b"012"}
    file.append(b"abc")
    assert left(disk, NOTHING) == {"file": b"0123456789"}
    assert left(disk, PowerCut(contents=0.5, names=0.0)) == {"file": b"012"}
    file.sync()
    assert left(disk, NOTHING) == {"file": b"012abc"}


def test_scattered_sectors_leave_zeros_old_bytes_and_any_length() -> None:
    disk = new_disk(sector_bytes=2)
    file = durable(disk, FILE, b"old!")
    file.truncate(2)
    for piece in (b"AB", b"CD", b"EF"):
        file.append(piece)
    found = {left(disk, Scatter(seed))["file"] for seed in range(400)}
    assert {len(content) for content in found} == {2, 4, 6, 8}
    assert {content[:2] for content in found} == {b"ol"}
    assert {content[2:4] for content in found} >= {b"d!", b"AB", b"\0\0"}
    assert {content[6:] for content in found} == {b"", b"EF", b"\0\0"}
    assert b"olAB\0\0EF" in found
    assert left(disk, Scatter(7)) == left(disk, Scatter(7))


def test_scattered_steps_of_a_directory_survive_in_any_selection() -> None:
    disk = new_disk()
    for name in "abc":
        disk.open_append(HERE / name)
    disk.replace(HERE / "a", HERE / "d")
    found = {"".join(left(disk, Scatter(seed))) for seed in range(300)}
    assert {"", "abc", "bcd", "b", "c", "bd", "cd"} <= found
    assert not [names for names in found if {"a", "d"} <= set(names)]


def test_survivors_are_as_many_as_asked_for_and_differ() -> None:
    disk = new_disk(sector_bytes=1)
    write(disk, FILE, bytes(range(100)))
    write(disk, HERE / "other", bytes(range(100)))
    found = list(disk.survivors(30))
    assert len(found) == 30
    assert found[0][0] == Kill()
    assert len({survivor.image.fingerprint() for _, survivor in found}) > 20
    again = [survivor.image.fingerprint() for _, survivor in disk.survivors(30)]
    assert again == [survivor.image.fingerprint() for _, survivor in found]


def test_a_fingerprint_tells_what_is_durable() -> None:
    prints = set()
    disk = new_disk()
    steps: list[Callable[[], object]] = [
        lambda: disk.open_append(FILE),
        lambda: disk.open_append(FILE).append(b"abc"),
        lambda: disk.open_append(FILE).sync(),
        lambda: disk.sync_dir(HERE),
        lambda: disk.link(FILE, HERE / "other"),
        lambda: disk.sync_dir(HERE),
    ]
    for step in steps:
        step()
        prints.add(disk.image.fingerprint())
        assert disk.image.copy().fingerprint() == disk.image.fingerprint()
    assert len(prints) == len(steps)


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
        path, bit = disk.flip_any(random.Random(seed))
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
