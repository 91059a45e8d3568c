"""The simulated disk: what a process sees, and what is left when it or the power is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dynamokv.ports import FileSystem
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash
from dynamokv.testing.disk_loss import Kill, PowerCut, Scatter
from tests.testing.disks import (
    ALL,
    CONTENTS,
    FILE,
    HERE,
    NAMES,
    NOTHING,
    durable,
    left,
    new_disk,
    write,
)


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
