"""Rarer things that an opening may find, one by one."""

from __future__ import annotations

import pytest

from dynamokv.ports import Row
from dynamokv.storage import log_format
from dynamokv.storage.log_format import (
    HEADER_BYTES,
    FileKind,
    RecordType,
    encode_batch,
    encode_header,
    encode_record,
    encode_snapshot,
)
from tests.storage.faulty import CRASHES, Crash, FakeDisk, broken, fails, open_log, rows_of
from tests.storage.samples import (
    BATCHES,
    check_it_is_clean_now,
    disk_with,
    flipped,
    one_log,
    records,
    replay,
    salt_of,
    several_files,
)

SALT = b"12345678"


def snapshot_store(snapshot: bytes) -> FakeDisk:
    """A store of this snapshot and the empty log after it."""
    log = encode_header(FileKind.LOG, SALT, 5)
    return disk_with({"snapshot-00000003": snapshot, "log-00000004": log})


def test_a_snapshot_cut_at_any_offset_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a record ends: what proves that nothing is missing is its END."""
    monkeypatch.setattr(log_format, "SNAPSHOT_RECORD_BYTES", 1)
    rows = {b"%d" % n: b"x" for n in range(4)}
    data = b"".join(encode_snapshot(rows, SALT, 5))
    check_it_is_clean_now(snapshot_store(data), rows)
    ends = [record.end for record in records(data)]
    assert len(ends) == 5
    for size in range(len(data)):
        disk = snapshot_store(data[:size])
        engine = open_log(disk)
        assert engine.forgot
        whole = sum(end <= size for end in ends)
        assert rows_of(engine) == {b"%d" % n: b"x" for n in range(whole)}
        engine.close()
        check_it_is_clean_now(disk, rows_of(engine))


def test_a_flipped_bit_of_a_snapshot_costs_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_format, "SNAPSHOT_RECORD_BYTES", 1)
    rows = {b"%d" % n: b"x" for n in range(4)}
    data = b"".join(encode_snapshot(rows, SALT, 5))
    for record in records(data):
        for bit in range(record.offset * 8, record.end * 8):
            engine = open_log(snapshot_store(flipped(data, bit)))
            assert engine.forgot
            assert rows_of(engine) == {
                key: value for key, value in rows.items() if int(key) != record.sequence
            }


@pytest.mark.parametrize(
    "tail",
    [
        [(RecordType.END, 1, (2).to_bytes(8, "big"))],
        [(RecordType.END, 1, b"")],
        [(RecordType.END, 2, (1).to_bytes(8, "big"))],
        [(RecordType.END, 1, (1).to_bytes(8, "big"))] * 2,
        [(RecordType.BATCH, 1, b"no batch"), (RecordType.END, 2, (1).to_bytes(8, "big"))],
    ],
)
def test_a_snapshot_that_contradicts_itself_is_damaged(
    tail: list[tuple[RecordType, int, bytes]],
) -> None:
    data = encode_header(FileKind.SNAPSHOT, SALT, 5)
    data += encode_record(SALT, RecordType.BATCH, 0, encode_batch([(b"a", b"1")]))
    disk = snapshot_store(data + b"".join(encode_record(SALT, *record) for record in tail))
    engine = open_log(disk)
    assert engine.forgot
    assert rows_of(engine) == {b"a": b"1"}
    engine.close()
    check_it_is_clean_now(disk, {b"a": b"1"})


def test_a_repeated_record_is_not_replayed() -> None:
    data = one_log()["log-00000001"]
    third = records(data)[2]
    disk = disk_with({"log-00000001": data + data[third.offset : third.end]})
    changed = encode_record(salt_of(data), RecordType.BATCH, 2, encode_batch([(b"a", b"old")]))
    for again in (data[third.offset : third.end], changed):
        disk = disk_with({"log-00000001": data + again})
        engine = open_log(disk)
        assert engine.forgot
        assert rows_of(engine) == replay(BATCHES)
        engine.close()
        check_it_is_clean_now(disk, replay(BATCHES))


@pytest.mark.parametrize("payload", [b"", b"\x00\x00\x00\x02\x00\x01a", bytes(4) + b"more"])
def test_a_poison_record_costs_itself_only(payload: bytes) -> None:
    """A sound checksum over bytes that are no batch: some version had a bug."""
    data = one_log()["log-00000001"]
    poison = encode_record(salt_of(data), RecordType.BATCH, 6, payload)
    poison += encode_record(salt_of(data), RecordType.END, 7, bytes(8))
    good = encode_record(salt_of(data), RecordType.BATCH, 8, encode_batch([(b"z", b"1")]))
    disk = disk_with({"log-00000001": data + poison + good})
    engine = open_log(disk)
    assert engine.forgot
    assert engine.stats()["records_damaged"] == 2
    assert rows_of(engine) == replay(BATCHES) | {b"z": b"1"}
    engine.close()
    check_it_is_clean_now(disk, rows_of(engine))


def test_a_file_under_the_name_of_another_kind_is_damaged() -> None:
    listing = several_files(keep_first=False)
    swapped = {
        "log-00000002": listing["snapshot-00000001"],
        "snapshot-00000001": listing["log-00000002"],
    }
    disk = disk_with(swapped)
    engine = open_log(disk)
    assert engine.forgot
    engine.close()
    assert disk.listing()["log-00000002.damaged"] == swapped["log-00000002"]
    check_it_is_clean_now(disk, rows_of(engine))


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1, HEADER_BYTES])
def test_a_log_that_was_being_made_is_made_anew(size: int) -> None:
    """Also after others. Where it is not the last it is damage: the next was begun after it."""
    listing = several_files(keep_first=False)
    begun = bytes(size)
    disk = disk_with({**listing, "log-00000003": begun})
    engine = open_log(disk)
    assert engine.forgot == (size > 0)
    assert engine.stats()["records_damaged"] == 0
    assert rows_of(engine) == replay(BATCHES)
    engine.apply([(b"new", b"")], sync=True)
    assert engine.stats()["storage_bytes"] == sum(map(len, disk.listing().values()))
    engine.close()
    assert sorted(disk.listing()) == ["log-00000002", "log-00000003", "snapshot-00000001"]
    check_it_is_clean_now(disk, replay(BATCHES) | {b"new": b""})

    disk = disk_with({**listing, "log-00000001": begun})
    disk.names.pop(next(path for path in disk.names if path.name.startswith("snapshot")))
    engine = open_log(disk)
    assert engine.forgot
    assert rows_of(engine) == replay(BATCHES[2:])
    engine.close()
    check_it_is_clean_now(disk, replay(BATCHES[2:]))


@pytest.mark.parametrize("keep_first", [True, False])
@pytest.mark.parametrize("crash", CRASHES)
def test_what_a_disk_could_not_read_for_a_moment_is_read_again(
    keep_first: bool, crash: tuple[bool, float]
) -> None:
    """A file set aside by an opening that did not end may be whole when it is read next."""
    listing = several_files(keep_first=keep_first)
    again = set()
    for name in listing:
        points = 0
        while True:
            disk = disk_with(listing)
            disk.fault = fails("read", broken, name)
            disk.crash_at = points + 1
            try:
                open_log(disk).close()
            except Crash:
                points += 1
            else:
                break
            after = disk.survivor(crash)
            aside = f"{name}.damaged" in after.listing()
            begun = {"log-00000003", "snapshot-00000002"} <= set(after.listing())
            engine = open_log(after)
            if not begun:
                assert rows_of(engine) == replay(BATCHES)
                assert engine.forgot == aside
                again.add((name, aside))
            engine.close()
            assert all(
                file.endswith(".damaged") or file in expected_files(aside or begun, listing)
                for file in after.listing()
            )
            rows = rows_of(engine)
            check_it_is_clean_now(after, rows)
    assert len(again) == 2 * len(listing)


def expected_files(renewed: bool, listing: dict[str, bytes]) -> set[str]:
    if not renewed:
        return set(listing)
    return {f"log-{n:08d}" for n in (3, 4)} | {f"snapshot-{n:08d}" for n in (2, 3)}


def test_a_complete_snapshot_hides_everything_before_it() -> None:
    """Older files may be left over, in any state."""
    listing = several_files(keep_first=False)
    older: list[Row] = [(b"a", b"older")]
    leftover = encode_header(FileKind.LOG, SALT, 1)
    leftover += encode_record(SALT, RecordType.BATCH, 1, encode_batch(older))
    for left in (leftover, flipped(leftover, 0), flipped(leftover, HEADER_BYTES * 8), b""):
        disk = disk_with(
            {**listing, "log-00000001": left, "snapshot-00000000": left, "log-00000000": left}
        )
        engine = open_log(disk)
        assert not engine.forgot
        assert rows_of(engine) == replay(BATCHES)
        engine.close()
        assert list(disk.listing()) == list(listing)


def test_a_log_set_aside_is_never_gone_on_with() -> None:
    data = one_log()["log-00000001"]
    for aside in (b"", b"torn", data[:HEADER_BYTES], data, data[:-1], data + b"torn"):
        disk = disk_with({"log-00000001": data, "log-00000002.damaged": aside})
        engine = open_log(disk)
        assert engine.forgot
        assert rows_of(engine) == replay(BATCHES)
        engine.close()
        check_it_is_clean_now(disk, replay(BATCHES))
        assert disk.listing()["log-00000002.damaged"] == aside
