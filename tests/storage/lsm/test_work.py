from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.ports import Row
from dynamokv.storage.lsm.block import ROW_BYTES
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.jobs import (
    Built,
    Damaged,
    Failed,
    Flush,
    LogPart,
    Merge,
    Salvage,
    Scrub,
)
from dynamokv.storage.lsm.merge import merge
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.table import Table
from dynamokv.storage.lsm.tree import TableMeta
from dynamokv.storage.lsm.work import write_memtable
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from tests.storage.lsm.job_files import (
    built,
    perform,
    rows_of,
    tables_of,
    task,
    unfinished,
    write_log,
    write_table,
)
from tests.storage.lsm.stores import salts

HERE = Path("/store")


@pytest.fixture
def disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir(HERE)
    return disk


# Flush.


def two_logs(disk: SimulatedDisk) -> tuple[LogPart, LogPart]:
    return (
        write_log(disk, HERE, 1, 5, [[(b"b", b"1"), (b"a", b"1")], [(b"c", b"1")]]),
        write_log(disk, HERE, 2, 7, [[(b"a", None), (b"d", b"")], [(b"b", b"2"), (b"b", b"3")]]),
    )


def test_a_flush_keeps_the_newest_row_of_each_key(disk: SimulatedDisk) -> None:
    outcome = perform(Flush(two_logs(disk)), disk, HERE)
    assert rows_of(disk, HERE, outcome) == [[(b"a", None), (b"b", b"3"), (b"c", b"1"), (b"d", b"")]]
    [table] = built(outcome).tables
    assert (table.number, table.first_sequence, table.last_sequence) == (0, 5, 8)
    assert (table.rows, table.deletions) == (4, 1)
    assert built(outcome).written_bytes == table.size_bytes
    assert built(outcome).read_bytes > table.size_bytes


def test_a_flush_reads_no_further_than_its_part(disk: SimulatedDisk) -> None:
    part, _ = two_logs(disk)
    file = disk.open_append(HERE / file_name(Kind.WAL, 1))
    file.append(b"a torn record")
    file.close()
    assert len(rows_of(disk, HERE, perform(Flush((part,)), disk, HERE))) == 1


def test_a_flush_of_nothing_makes_nothing(disk: SimulatedDisk) -> None:
    part = write_log(disk, HERE, 1, 5, [[]])
    assert built(perform(Flush((part,)), disk, HERE)).tables == ()


def test_a_flush_names_the_log_that_is_damaged_wherever_it_is(disk: SimulatedDisk) -> None:
    job = Flush(two_logs(disk))
    path = HERE / file_name(Kind.WAL, 2)
    for bit in range(0, 8 * len(disk.contents()[path]), 7):
        disk.flip(path, bit)
        outcome = perform(job, disk, HERE)
        assert isinstance(outcome, Damaged), bit
        assert (outcome.file, outcome.number) == (path.name, 2)
        disk.flip(path, bit)
    assert isinstance(perform(job, disk, HERE), Built)


@pytest.mark.parametrize("change", ["first_sequence", "end_sequence", "size_bytes"])
def test_a_flush_wants_the_batches_that_it_was_told_of(disk: SimulatedDisk, change: str) -> None:
    part, _ = two_logs(disk)
    for by in (-1, 1):
        wrong = replace(part, **{change: getattr(part, change) + by})
        assert isinstance(perform(Flush((wrong,)), disk, HERE), Damaged)


def test_a_flush_takes_no_batch_for_another(disk: SimulatedDisk) -> None:
    write_log(disk, HERE, 1, 5, [[(b"a", b"5")]])
    write_log(disk, HERE, 2, 7, [[(b"a", b"7")]])
    first, second = (disk.contents()[HERE / file_name(Kind.WAL, number)] for number in (1, 2))
    both = first + second[HEADER_BYTES:]
    disk.put(HERE / file_name(Kind.WAL, 1), both)
    outcome = perform(Flush((LogPart(1, len(both), 5, 7),)), disk, HERE)
    assert outcome == Damaged("wal-00000001", 1, "batch 6 is not where it was written")


def test_a_flush_names_a_log_that_is_gone_or_unreadable(disk: SimulatedDisk) -> None:
    job = Flush(two_logs(disk))
    disk.faults = [Fault(operations={Operation.READ_AT}, name="wal-00000001", error=errno.EIO)]
    assert isinstance(perform(job, disk, HERE), Damaged)
    disk.faults = [Fault(operations={Operation.READ_AT}, name="wal-00000001", error=errno.EMFILE)]
    assert isinstance(perform(job, disk, HERE), Failed)
    disk.faults = []
    disk.remove(HERE / "wal-00000002")
    outcome = perform(job, disk, HERE)
    assert outcome == Damaged("wal-00000002", 2, "it is missing")


def test_a_table_of_a_memtable_is_that_of_its_logs(disk: SimulatedDisk) -> None:
    flushed = built(perform(Flush(two_logs(disk)), disk, HERE))
    rows = {b"d": b"", b"b": b"3", b"c": b"1", b"a": None}
    written = write_memtable(task(Flush(())), disk, HERE, rows, 5, 9, salts())
    assert built(written).tables == flushed.tables


# Merge.

key_bytes = st.sampled_from([bytes([65 + at]) * (1 + at % 3) for at in range(20)])
value_bytes = st.one_of(st.none(), st.binary(max_size=3), st.just(b"large" * 60))
some_rows = st.dictionaries(key_bytes, value_bytes, min_size=1, max_size=20)


@pytest.mark.parametrize(("value_bytes", "block_bytes"), [(4, 128), (22, 192), (300, 256)])
def test_large_rows_of_a_memtable_get_larger_blocks(
    disk: SimulatedDisk, value_bytes: int, block_bytes: int
) -> None:
    row_bytes = 2 + value_bytes
    rows: list[Row] = [(b"%02d" % number, b"v" * value_bytes) for number in range(64)]
    meta = write_table(disk, HERE, 1, rows)
    with closing(Table(disk, HERE / file_name(Kind.TABLE, 1), meta)) as table:
        sizes = [len(block) * (row_bytes + ROW_BYTES) for block in table.rows(b"", None)]
    for size in sizes[:-1]:
        assert max(block_bytes, row_bytes) <= size < block_bytes + 2 * row_bytes + 2 * ROW_BYTES


def in_blocks(rows: dict[bytes, bytes | None], size: int) -> Iterator[list[Row]]:
    ordered = sorted(rows.items(), key=lambda row: row[0])
    return (ordered[at : at + size] for at in range(0, len(ordered), size))


@given(st.lists(some_rows, min_size=1, max_size=5), st.integers(1, 4), st.integers(0, 3000))
def test_a_merge_of_runs_is_the_newest_row_of_each_key(
    runs: list[dict[bytes, bytes | None]], block_rows: int, slice_bytes: int
) -> None:
    parts = list(merge([in_blocks(run, block_rows) for run in runs], 64, slice_bytes))
    expected: dict[bytes, bytes | None] = {}
    for run_rows in reversed(runs):
        expected.update(run_rows)
    merged = [row for part in parts for row in part]
    assert merged == sorted(expected.items(), key=lambda row: row[0])


def test_a_merge_holds_a_slice_of_its_runs() -> None:
    held = most = 0

    def blocks(run: int) -> Iterator[list[Row]]:
        nonlocal held, most
        for at in range(500):
            held += 1
            most = max(most, held)
            yield [(b"%06d-%d" % (at * (run + 1), run), b"x" * 1000)]

    for part in merge([blocks(at) for at in range(4)], 64, 100_000):
        held -= len(part)
    assert held == 0
    assert most < 120


def test_a_merge_drops_deletions_when_it_may(disk: SimulatedDisk) -> None:
    tables = tables_of(disk, HERE, {b"a": None, b"b": b"2"}, {b"a": b"1", b"b": b"1", b"c": None})
    runs = tuple((table,) for table in tables)
    kept = perform(Merge(runs, 1, True, 0), disk, HERE)
    assert rows_of(disk, HERE, kept) == [[(b"a", None), (b"b", b"2"), (b"c", None)]]
    [table] = built(kept).tables
    assert (table.first_sequence, table.last_sequence) == (10, 29)
    dropped = perform(Merge(runs, 1, False, 0), disk, HERE)
    assert rows_of(disk, HERE, dropped) == [[(b"b", b"2")]]


def test_a_merge_leaves_out_what_was_dropped_from_each_table(disk: SimulatedDisk) -> None:
    new, old = tables_of(disk, HERE, {b"a": b"2", b"b": b"2"}, {b"a": b"1", b"b": b"1"})
    new = replace(new, dropped=((b"a", b"b"),))
    old = replace(old, dropped=((b"b", b"c"),))
    outcome = perform(Merge(((new,), (old,)), 1, True, 0), disk, HERE)
    assert rows_of(disk, HERE, outcome) == [[(b"a", b"1"), (b"b", b"2")]]


def test_a_merge_of_which_nothing_is_left_makes_nothing(disk: SimulatedDisk) -> None:
    [table] = tables_of(disk, HERE, {b"a": None})
    assert built(perform(Merge(((table,),), 1, False, 0), disk, HERE)).tables == ()
    assert unfinished(disk, HERE) == []


def test_a_merge_begins_another_table_at_its_size(disk: SimulatedDisk) -> None:
    rows: dict[bytes, bytes | None] = {b"%05d" % at: b"x" * 20 for at in range(3000)}
    [table] = tables_of(disk, HERE, rows)
    outcome = perform(Merge(((table,),), 1, False, 20_000), disk, HERE)
    found = rows_of(disk, HERE, outcome)
    assert 3 < len(found) < 6
    assert [row for part in found for row in part] == sorted(rows.items())
    assert all(t.size_bytes >= 20_000 for t in built(outcome).tables[:-1])


@given(
    contents=st.lists(some_rows, min_size=1, max_size=4),
    keep_deletions=st.booleans(),
    table_bytes=st.sampled_from([0, 1, 500]),
)
def test_merged_tables_say_what_their_inputs_said(
    contents: list[dict[bytes, bytes | None]], keep_deletions: bool, table_bytes: int
) -> None:
    disk = SimulatedDisk()
    disk.make_dir(HERE)
    runs = tuple((table,) for table in tables_of(disk, HERE, *contents))
    outcome = perform(Merge(runs, 1, keep_deletions, table_bytes), disk, HERE)
    expected: dict[bytes, bytes | None] = {}
    for rows in reversed(contents):
        expected.update(rows)
    if not keep_deletions:
        expected = {key: value for key, value in expected.items() if value is not None}
    found = [row for part in rows_of(disk, HERE, outcome) for row in part]
    assert found == sorted(expected.items(), key=lambda row: row[0])


# Scrub and salvage.


def one_table(disk: SimulatedDisk) -> tuple[TableMeta, dict[bytes, bytes | None]]:
    rows = {b"%03d" % at: None if at % 9 == 0 else b"value" * (at % 7) for at in range(100)}
    return write_table(disk, HERE, 7, rows.items()), rows


def test_a_scrub_finds_every_flipped_bit(disk: SimulatedDisk) -> None:
    table, _ = one_table(disk)
    path = HERE / file_name(Kind.TABLE, 7)
    sound = perform(Scrub(table), disk, HERE)
    assert built(sound).read_bytes >= table.size_bytes
    rng = random.Random(1)
    for _ in range(100):
        bit = rng.randrange(8 * table.size_bytes)
        disk.flip(path, bit)
        outcome = perform(Scrub(table), disk, HERE)
        assert isinstance(outcome, Damaged), bit
        assert (outcome.file, outcome.number) == (path.name, 7)
        disk.flip(path, bit)


@pytest.mark.parametrize("dropped", [(), ((b"020", b"040"),)])
def test_a_salvage_is_all_rows_but_those_lost(
    disk: SimulatedDisk, dropped: tuple[tuple[bytes, bytes], ...]
) -> None:
    table, rows = one_table(disk)
    table = replace(table, dropped=dropped)
    path = HERE / file_name(Kind.TABLE, 7)
    rng = random.Random(2)
    for _ in range(50):
        bits = [rng.randrange(8 * table.size_bytes) for _ in range(3)]
        for bit in bits:
            disk.flip(path, bit)
        outcome = built(perform(Salvage(table), disk, HERE))
        found = [row for part in rows_of(disk, HERE, outcome) for row in part]
        gone = [(lost.start, lost.end) for lost in outcome.lost] + list(dropped)
        expected = {
            key: value
            for key, value in rows.items()
            if not any(start <= key < end for start, end in gone)
        }
        assert dict(found) == expected
        for one, other in pairwise(outcome.lost):
            assert one.end < other.start, "what touches is one"
        for lost in outcome.lost:
            assert not any(a <= lost.start and lost.end <= b for a, b in dropped), "no loss"
        for bit in bits:
            disk.flip(path, bit)


@pytest.mark.parametrize("content", [None, b"", b"nothing like a table" * 100])
def test_a_salvage_of_nothing_loses_everything(disk: SimulatedDisk, content: bytes | None) -> None:
    table, _ = one_table(disk)
    path = HERE / file_name(Kind.TABLE, 7)
    if content is None:
        disk.remove(path)
    else:
        disk.put(path, content)
    outcome = built(perform(Salvage(table), disk, HERE))
    assert outcome.tables == ()
    [lost] = outcome.lost
    assert (lost.file, lost.start, lost.end) == (path.name, b"000", b"099\0")
