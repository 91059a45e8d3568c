"""Cut logs, flipped bits, lost logs: what is left of the rows, what is said about it, and that the
next opening is clean."""

from __future__ import annotations

import logging

import pytest

from dynamokv.errors import StorageError
from dynamokv.storage.lsm.batch import encode_batch
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    FileKind,
    RecordType,
    encode_header,
)
from dynamokv.storage.lsm.opening import FAULTS_LOGGED_MAX
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from dynamokv.testing.disk_loss import PowerCut
from tests.storage.lsm.job_files import write_log
from tests.storage.lsm.stores import (
    BATCHES,
    WAL,
    check_clean,
    closed_store,
    copy_of,
    flipped,
    listing,
    names_of,
    open_store,
    record,
    records,
    replay,
    rows_of,
)
from tests.storage.lsm.workload import STORE

ONE_LOG = closed_store()
DATA = listing(ONE_LOG)[WAL]


def with_log(data: bytes) -> SimulatedDisk:
    disk = copy_of(ONE_LOG)
    disk.put(STORE / WAL, data)
    return disk


def two_logs() -> SimulatedDisk:
    """Two batches in one log and three in the next, none of them in a table yet."""
    disk = closed_store([])
    disk.lose(STORE / WAL)
    write_log(disk, STORE, 1, 1, BATCHES[:2])
    write_log(disk, STORE, 3, 3, BATCHES[2:])
    disk.sync_dir(STORE)
    return disk


def test_the_samples_are_what_the_tests_need() -> None:
    assert names_of(ONE_LOG) == ["CURRENT", "RESERVE", "manifest-00000002", WAL]
    logs = [listing(two_logs())[name] for name in names_of(two_logs(), "wal")]
    assert [len(records(data)) for data in logs] == [2, 3]
    for disk in (ONE_LOG, two_logs()):
        check_clean(copy_of(disk), replay(BATCHES))


def test_a_log_cut_at_every_byte() -> None:
    ends = [HEADER_BYTES, *(item.end for item in records(DATA))]
    for size in range(len(DATA) + 1):
        disk = with_log(DATA[:size])
        engine = open_store(disk)
        whole = sum(end <= size for end in ends) - 1
        rows = replay(BATCHES[: max(whole, 0)])
        assert rows_of(engine) == rows
        # A cut where a record ends, nobody can tell from a store that is younger.
        assert engine.forgot == (size not in ends)
        torn = size > HEADER_BYTES
        assert engine.stats()["files_damaged"] == (not torn and size != HEADER_BYTES)
        assert engine.stats()["bytes_cut"] == (size - ends[whole] if torn else 0)
        engine.taken_in()
        engine.close()
        check_clean(disk, rows)


def test_a_tail_of_zeros_is_cut() -> None:
    disk = with_log(DATA + bytes(5000))
    engine = open_store(disk)
    assert engine.forgot
    assert engine.stats()["bytes_cut"] == 5000
    assert rows_of(engine) == replay(BATCHES)
    engine.taken_in()
    engine.close()
    check_clean(disk, replay(BATCHES))


def test_every_flipped_bit() -> None:
    for bit in range(len(DATA) * 8):
        disk = with_log(flipped(DATA, bit))
        engine = open_store(disk)
        assert engine.forgot
        hit = [r.sequence for r in records(DATA) if r.offset <= bit // 8 < r.end]
        if hit:
            # Sequences begin at 1. Everything but the one batch is there.
            rows = replay(BATCHES[: hit[0] - 1] + BATCHES[hit[0] :])
        else:
            # Without its salt no record of it can be told from stale bytes.
            rows = {} if 12 <= bit // 8 < 20 else replay(BATCHES)
        assert rows_of(engine) == rows
        engine.taken_in()
        engine.close()
        if bit % 8 == 0:
            check_clean(disk, rows)


def test_every_flipped_bit_of_a_log_that_is_not_the_last() -> None:
    store = two_logs()
    first = names_of(store, "wal")[0]
    data = listing(store)[first]
    hits = {r.sequence: range(r.offset, r.end) for r in records(data)}
    for bit in range(0, len(data) * 8, 3):
        disk = copy_of(store)
        disk.flip(STORE / first, bit)
        engine = open_store(disk)
        assert engine.forgot
        hit = [n for n, places in hits.items() if bit // 8 in places]
        lost = hit or (range(1, 3) if 12 <= bit // 8 < 20 else [])
        rows = replay(batch for n, batch in enumerate(BATCHES, 1) if n not in lost)
        assert rows_of(engine) == rows
        engine.close()


def test_a_log_that_is_not_the_last_has_no_torn_tail() -> None:
    """The next one was begun after it was synced, so a cut is damage, also between records."""
    store = two_logs()
    first = names_of(store, "wal")[0]
    data = listing(store)[first]
    ends = [item.end for item in records(data)]
    for size in range(len(data)):
        disk = copy_of(store)
        disk.cut(STORE / first, size)
        engine = open_store(disk)
        assert engine.forgot
        assert engine.stats()["bytes_cut"] == 0
        assert engine.files_damaged
        rows = replay(BATCHES[: sum(end <= size for end in ends)] + BATCHES[2:])
        assert rows_of(engine) == rows
        engine.taken_in()
        engine.close()
        check_clean(disk, rows)


def test_a_lost_log_is_noticed() -> None:
    disk = two_logs()
    disk.lose(STORE / names_of(disk, "wal")[0])
    engine = open_store(disk)
    assert engine.forgot
    assert rows_of(engine) == replay(BATCHES[2:])
    engine.taken_in()
    engine.close()
    check_clean(disk, replay(BATCHES[2:]))


def test_the_only_log_that_is_lost_is_noticed() -> None:
    disk = copy_of(ONE_LOG)
    disk.lose(STORE / WAL)
    engine = open_store(disk)
    assert engine.forgot
    assert rows_of(engine) == {}
    engine.taken_in()
    engine.close()
    check_clean(disk, {})


def test_damage_is_told_and_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    second = records(DATA)[1]
    damaged = flipped(DATA, second.offset * 8)
    disk = with_log(damaged)
    with caplog.at_level(logging.WARNING, "dynamokv.storage"):
        engine = open_store(disk)
    assert f"{STORE}: {WAL} is damaged at offset {second.offset}: " in caplog.text
    assert f"{second.end - second.offset} bytes are no record" in caplog.text
    assert "record 3 stands where 2 belongs" in caplog.text
    assert engine.stats()["files_damaged"] == 1
    engine.close()
    assert listing(disk)[f"{WAL}.damaged"] == damaged
    assert WAL not in names_of(disk)


def test_a_million_faults_are_not_a_million_lines(caplog: pytest.LogCaptureFixture) -> None:
    data = encode_header(FileKind.WAL, b"12345678", 1)
    data += b"".join(record(data, 2 * n, encode_batch([(b"a", b"%d" % n)])) for n in range(1, 100))
    engine = open_store(with_log(data))
    assert rows_of(engine) == {b"a": b"99"}
    assert len(caplog.records) == FAULTS_LOGGED_MAX + 2
    assert "99 faults in all" in caplog.text
    engine.close()


@pytest.mark.parametrize(
    "again", [DATA[records(DATA)[2].offset : records(DATA)[2].end], None], ids=["same", "other"]
)
def test_a_repeated_record_is_not_replayed(again: bytes | None) -> None:
    changed = record(DATA, 2, encode_batch([(b"a", b"old")]))
    disk = with_log(DATA + (again or changed))
    engine = open_store(disk)
    assert engine.forgot
    assert rows_of(engine) == replay(BATCHES)
    engine.taken_in()
    engine.close()
    check_clean(disk, replay(BATCHES))


@pytest.mark.parametrize("payload", [b"", b"\x00\x00\x00\x02\x00\x01a", bytes(4) + b"more"])
def test_a_poison_record_costs_itself_only(payload: bytes) -> None:
    """A sound checksum over bytes that are no batch: some version had a bug."""
    poison = record(DATA, 6, payload) + record(
        DATA, 7, encode_batch([(b"y", b"1")]), RecordType.EDIT
    )
    good = record(DATA, 8, encode_batch([(b"z", b"1")]))
    disk = with_log(DATA + poison + good)
    engine = open_store(disk)
    assert engine.forgot
    rows = replay(BATCHES) | {b"z": b"1"}
    assert rows_of(engine) == rows
    engine.taken_in()
    engine.close()
    check_clean(disk, rows)


def test_a_copy_of_a_record_within_a_torn_value_is_not_replayed() -> None:
    older = DATA[records(DATA)[0].offset : records(DATA)[0].end]
    torn = record(DATA, 6, encode_batch([(b"x", older * 3)]))[:-1]
    disk = with_log(DATA + torn)
    engine = open_store(disk)
    assert engine.forgot
    assert engine.stats()["files_damaged"] == 0
    assert rows_of(engine) == replay(BATCHES)
    engine.taken_in()
    engine.close()
    check_clean(disk, replay(BATCHES))


def test_records_of_another_log_are_not_replayed() -> None:
    """What a block of the disk shows that was given out again."""
    other = encode_header(FileKind.WAL, b"another.", 1)
    stale = record(other, 6, encode_batch([(b"a", b"stale")]))
    disk = with_log(DATA + stale)
    engine = open_store(disk)
    assert engine.stats()["bytes_cut"] == len(stale)
    assert rows_of(engine) == replay(BATCHES)
    engine.taken_in()
    engine.close()
    check_clean(disk, replay(BATCHES))


def test_a_search_that_gave_up_is_no_torn_tail() -> None:
    looks_like_one = b"checksum" + b"\x00\x00\x40\x00" + b"\x01" + (7).to_bytes(8, "big")
    data = DATA + looks_like_one * 3000
    disk = with_log(data)
    engine = open_store(disk)
    assert engine.forgot
    assert engine.stats()["files_damaged"] == 1
    assert rows_of(engine) == replay(BATCHES)
    engine.close()
    assert listing(disk)[f"{WAL}.damaged"] == data


def test_a_log_under_the_name_of_another_kind_is_damaged() -> None:
    disk = copy_of(ONE_LOG)
    disk.put(STORE / WAL, listing(disk)["manifest-00000002"])
    engine = open_store(disk)
    assert engine.forgot
    assert rows_of(engine) == {}
    engine.taken_in()
    engine.close()
    check_clean(disk, {})


def test_a_log_that_the_disk_cannot_read_is_set_aside() -> None:
    disk = two_logs()
    _, last = names_of(disk, "wal")
    content = listing(disk)[last]
    disk.faults = [Fault(operations=[Operation.READ], name=last)]
    engine = open_store(disk)
    assert engine.forgot
    assert rows_of(engine) == replay(BATCHES[:2])
    engine.taken_in()
    engine.close()
    assert listing(disk)[f"{last}.damaged"] == content
    assert engine.set_aside == (f"{last}.damaged",)
    check_clean(copy_of(disk), replay(BATCHES[:2]))


def test_a_store_of_which_nothing_can_be_read_is_left_alone() -> None:
    """The disk may work again in a minute."""
    disk = copy_of(ONE_LOG)
    disk.faults = [Fault(operations=[Operation.READ], name="wal")]
    with pytest.raises(StorageError, match="nothing was changed"):
        open_store(disk)
    assert listing(disk) == listing(ONE_LOG)


def test_a_log_that_may_not_be_read_is_left_alone() -> None:
    disk = copy_of(ONE_LOG)
    disk.faults = [Fault(operations=[Operation.READ], name="wal", error=13)]
    with pytest.raises(StorageError, match="Permission denied"):
        open_store(disk)
    assert listing(disk) == listing(ONE_LOG)


def test_a_gap_shows_before_a_log_without_records() -> None:
    disk = two_logs()
    first, last = names_of(disk, "wal")
    disk.cut(STORE / first, records(listing(disk)[first])[0].end)
    disk.cut(STORE / last, HEADER_BYTES)
    engine = open_store(disk)
    assert engine.forgot
    assert engine.stats()["files_damaged"] == 1
    assert rows_of(engine) == replay(BATCHES[:1])
    engine.taken_in()
    engine.close()
    check_clean(disk, replay(BATCHES[:1]))


def test_what_an_opening_showed_survives_a_power_cut() -> None:
    """A killed process leaves rows in the kernel's memory; the next one must not build on those."""
    disk = SimulatedDisk()
    engine = open_store(disk)
    engine.apply([(b"a", b"1")], sync=False)
    found = copy_of(disk)
    engine = open_store(found)
    assert engine.get(b"a") == b"1"
    engine = open_store(found.survivor(PowerCut(contents=0.0, names=0.0)))
    assert engine.get(b"a") == b"1"
