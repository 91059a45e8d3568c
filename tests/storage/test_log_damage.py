"""Cut files, flipped bits, lost files: nothing is lost in silence, and opening always ends."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError, StorageError
from dynamokv.ports import Row
from dynamokv.storage import log_format
from dynamokv.storage.log import FAULTS_LOGGED_MAX, LogEngine
from dynamokv.storage.log_format import (
    HEADER_BYTES,
    FileKind,
    RecordType,
    encode_batch,
    encode_header,
    encode_record,
    scan,
)
from tests.storage.faulty import (
    CRASHES,
    Crash,
    broken,
    fails,
    no_space,
    open_log,
    rows_of,
)
from tests.storage.samples import (
    BATCHES,
    check_explainable,
    check_it_is_clean_now,
    disk_with,
    flipped,
    one_log,
    records,
    replay,
    salt_of,
    several_files,
)


def test_the_samples_are_what_the_tests_need() -> None:
    assert list(one_log()) == ["log-00000001"]
    assert list(several_files(keep_first=True)) == ["log-00000001", "log-00000002"]
    assert list(several_files(keep_first=False)) == ["log-00000002", "snapshot-00000001"]
    for listing in (one_log(), several_files(keep_first=True), several_files(keep_first=False)):
        check_it_is_clean_now(disk_with(listing), replay(BATCHES))


def test_truncation_at_every_offset_of_the_last_log() -> None:
    data = one_log()["log-00000001"]
    ends = [HEADER_BYTES, *(record.end for record in records(data))]
    for size in range(len(data) + 1):
        disk = disk_with({"log-00000001": data[:size]})
        engine = open_log(disk)
        whole = sum(end <= size for end in ends) - 1
        assert rows_of(engine) == replay(BATCHES[: max(whole, 0)])
        assert engine.forgot == (size not in (0, *ends))
        assert engine.stats()["records_cut"] == engine.forgot
        assert engine.stats()["records_damaged"] == 0
        engine.close()
        check_it_is_clean_now(disk, rows_of(engine))


def test_a_tail_of_zeros_is_cut() -> None:
    data = one_log()["log-00000001"]
    disk = disk_with({"log-00000001": data + bytes(5000)})
    engine = open_log(disk)
    assert engine.forgot
    assert engine.stats()["bytes_cut"] == 5000
    engine.close()
    assert disk.listing() == {"log-00000001": data}


@pytest.mark.parametrize(
    "make",
    [one_log, lambda: several_files(keep_first=True), lambda: several_files(keep_first=False)],
)
def test_every_flipped_bit(make: Callable[[], dict[str, bytes]]) -> None:
    listing = make()
    for name, data in listing.items():
        in_log = records(data) if name.startswith("log") else []
        for bit in range(len(data) * 8):
            disk = disk_with({**listing, name: flipped(data, bit)})
            engine = open_log(disk)
            hit = [r.sequence for r in in_log if r.offset <= bit // 8 < r.end]
            assert engine.forgot
            if hit:
                # Sequences start at 1. Everything but the one batch is there.
                assert rows_of(engine) == replay(BATCHES[: hit[0] - 1] + BATCHES[hit[0] :])
            else:
                check_explainable(rows_of(engine))
            engine.close()
            check_it_is_clean_now(disk, rows_of(engine))


def test_a_flipped_header_costs_nothing_while_its_salt_is_whole() -> None:
    listing = one_log()
    data = listing["log-00000001"]
    for bit in range(HEADER_BYTES * 8):
        if not 12 <= bit // 8 < 20:
            engine = open_log(disk_with({"log-00000001": flipped(data, bit)}))
            assert rows_of(engine) == replay(BATCHES)
            engine.close()


def test_damage_is_set_aside_and_told(caplog: pytest.LogCaptureFixture) -> None:
    data = one_log()["log-00000001"]
    second = records(data)[1]
    damaged = flipped(data, second.offset * 8)
    disk = disk_with({"log-00000001": damaged})
    with caplog.at_level(logging.WARNING, "dynamokv.storage"):
        engine = open_log(disk)
    assert f"/store/log-00000001 is damaged at offset {second.offset}: " in caplog.text
    assert f"{second.end - second.offset} bytes are no record" in caplog.text
    stats = engine.stats()
    assert stats["records_damaged"] == 2  # the bytes, and the gap in the sequence
    assert stats["records_cut"] == 0
    engine.close()
    listing = disk.listing()
    assert listing.pop("log-00000001.damaged") == damaged
    assert list(listing) == ["log-00000002", "snapshot-00000001"]
    assert stats["storage_bytes"] == sum(map(len, disk.listing().values()))


def test_a_million_faults_are_not_a_million_lines(caplog: pytest.LogCaptureFixture) -> None:
    salt = bytes(8)
    log = encode_header(FileKind.LOG, salt, 1)
    log += b"".join(
        encode_record(salt, RecordType.BATCH, 2 * n, encode_batch([(b"a", b"%d" % n)]))
        for n in range(1, 100)
    )
    engine = open_log(disk_with({"log-00000001": log}))
    assert rows_of(engine) == {b"a": b"99"}
    assert engine.stats()["records_damaged"] == 99
    assert len(caplog.records) == FAULTS_LOGGED_MAX + 1
    engine.close()


@pytest.mark.parametrize("crash", CRASHES)
def test_crash_at_every_operation_while_damage_is_dealt_with(crash: tuple[bool, float]) -> None:
    log_2_mid = records(several_files(keep_first=True)["log-00000002"])[1].offset
    cases = [
        (one_log(), "log-00000001", records(one_log()["log-00000001"])[1].offset),
        (several_files(keep_first=True), "log-00000001", HEADER_BYTES),
        (several_files(keep_first=True), "log-00000002", log_2_mid),
        (several_files(keep_first=False), "snapshot-00000001", HEADER_BYTES),
    ]
    for listing, name, offset in cases:
        damaged = {**listing, name: flipped(listing[name], offset * 8)}
        engine = open_log(disk_with(damaged))
        expected = rows_of(engine)
        assert engine.forgot
        points = 0
        while True:
            disk = disk_with(damaged)
            disk.crash_at = points + 1
            try:
                open_log(disk).close()
            except Crash:
                points += 1
            else:
                break
            after = disk.survivor(crash)
            engine = open_log(after)
            assert rows_of(engine) == expected
            engine.close()
            assert after.listing()[f"{name}.damaged"] == damaged[name]
            check_it_is_clean_now(after, expected)
        assert points > 8


@pytest.mark.parametrize("failing", ["snapshot-00000002.tmp", "snapshot-00000002"])
def test_damage_is_dealt_with_later_when_there_is_no_room(failing: str) -> None:
    listing = several_files(keep_first=True)
    damaged = flipped(listing["log-00000001"], HEADER_BYTES * 8)
    disk = disk_with({**listing, "log-00000001": damaged})
    disk.fault = lambda operation, path: no_space() if path.name == failing else None
    for opening in range(3):
        engine = open_log(disk)
        assert engine.forgot
        assert rows_of(engine) == replay(BATCHES[1:]) | {b"%d" % n: b"" for n in range(opening)}
        engine.apply([(b"%d" % opening, b"")], sync=True)
        engine.close()
        failing = f"snapshot-{opening + 3:08d}.tmp"
    rows = rows_of(engine)
    disk.fault = lambda operation, path: None
    engine = open_log(disk)
    assert engine.forgot
    engine.close()
    check_it_is_clean_now(disk, rows)
    assert disk.listing()["log-00000001.damaged"] == damaged


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("log-00000001", BATCHES[2:]),
        ("snapshot-00000001", BATCHES[2:]),
        ("log-00000002", BATCHES[:2]),
    ],
)
def test_a_lost_file_is_noticed(lost: str, expected: list[list[Row]]) -> None:
    listing = several_files(keep_first=lost == "log-00000001")
    del listing[lost]
    disk = disk_with(listing)
    engine = open_log(disk)
    assert engine.forgot
    assert rows_of(engine) == replay(expected)
    engine.close()
    check_it_is_clean_now(disk, replay(expected))


def test_an_older_snapshot_and_its_logs_make_up_for_a_damaged_one() -> None:
    older = several_files(keep_first=True)
    newer = several_files(keep_first=False)
    snapshot = newer["snapshot-00000001"]
    for bit in range(len(snapshot) * 8):
        disk = disk_with({**older, "snapshot-00000001": flipped(snapshot, bit)})
        engine = open_log(disk)
        assert engine.forgot
        assert rows_of(engine) == replay(BATCHES)
        engine.close()


def test_a_record_of_another_file_is_none() -> None:
    """The same record behind another salt: what a reused block of the disk would show."""
    data = one_log()["log-00000001"]
    third = records(data)[2]
    other = encode_header(FileKind.LOG, b"another.", 1) + data[HEADER_BYTES : third.end]
    assert [type(item) for item in scan(other, b"another.", 1)] == [log_format.Damage]


def test_a_copy_of_a_record_within_a_value_is_not_replayed() -> None:
    data = one_log()["log-00000001"]
    first = records(data)[0]
    copy = data[first.offset : first.end]
    whole = encode_record(salt_of(data), RecordType.BATCH, 6, encode_batch([(b"x", copy * 3)]))
    disk = disk_with({"log-00000001": data + whole[:-1]})
    engine = open_log(disk)
    assert engine.forgot
    assert engine.stats()["records_damaged"] == 0
    assert rows_of(engine) == replay(BATCHES)
    engine.close()


def test_the_search_for_records_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that look like one long record each make the search quadratic, if it is let."""
    salt = bytes(8)
    hashed: list[int] = []

    def counting(data: bytes) -> int:
        hashed.append(len(data))
        return xxh3_64_intdigest(data)

    monkeypatch.setattr(log_format, "xxh3_64_intdigest", counting)
    looks_like_one = b"\x00\x00\x40\x00" + b"checksum" + b"\x01" + (7).to_bytes(8, "big")
    log = encode_header(FileKind.LOG, salt, 1)
    log += encode_record(salt, RecordType.BATCH, 1, encode_batch([(b"a", b"1")]))
    log += looks_like_one * 5000
    disk = disk_with({"log-00000001": log})
    engine = open_log(disk)
    assert engine.forgot
    assert engine.stats()["records_damaged"] == 1  # given up, and so not called a torn tail
    assert rows_of(engine) == {b"a": b"1"}
    assert disk.listing()["log-00000001.damaged"] == log
    assert sum(hashed) < (log_format.SEARCH_BUDGET + 4) * len(log)
    engine.close()


def test_a_file_that_the_disk_cannot_read_is_set_aside() -> None:
    listing = several_files(keep_first=False)
    for name in listing:
        disk = disk_with(listing)
        disk.fault = fails("read", broken, name)
        engine = open_log(disk)
        assert engine.forgot
        check_explainable(rows_of(engine))
        engine.close()
        assert disk.listing()[f"{name}.damaged"] == listing[name]
        check_it_is_clean_now(disk, rows_of(engine))


def test_a_file_that_may_not_be_read_is_left_alone() -> None:
    listing = several_files(keep_first=False)
    disk = disk_with(listing)
    denied = OSError(errno.EACCES, os.strerror(errno.EACCES))
    disk.fault = lambda operation, path: denied if operation == "read" else None
    with pytest.raises(StorageError, match="Permission denied"):
        open_log(disk)
    assert disk.listing() == listing


@pytest.mark.parametrize("name", ["log-00000002", "snapshot-00000001"])
def test_a_newer_format_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = several_files(keep_first=False)
    monkeypatch.setattr(log_format, "VERSION", 3)
    kind = FileKind.LOG if name.startswith("log") else FileKind.SNAPSHOT
    newer = encode_header(kind, salt_of(listing[name]), 3) + listing[name][HEADER_BYTES:]
    monkeypatch.undo()
    disk = disk_with({**listing, name: newer})
    before = disk.listing()
    with pytest.raises(CorruptionError, match=f"{name}.* version 3 is newer than .* 1"):
        open_log(disk)
    assert disk.listing() == before


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    others = ("identity", "log-1", "log-00000001x", "snapshot-00000001.old", "xlog-00000001")
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "snapshot-00000009.tmp").write_bytes(b"begun")
    engine = LogEngine(tmp_path, log_bytes_max=1)
    assert not engine.forgot
    for batch in BATCHES:
        engine.apply(batch, sync=True)
    engine.close()
    assert all((tmp_path / name).read_bytes() == b"mine" for name in others)
    assert not (tmp_path / "snapshot-00000009.tmp").exists()
