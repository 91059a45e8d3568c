"""A good table answers as the rows do that it was built from."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dynamokv.ports import Row
from dynamokv.storage.lsm.block import MISSING
from dynamokv.storage.lsm.bloom import key_hash
from dynamokv.storage.lsm.cache import BlockCache, Cache, block_id
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.table import Table
from dynamokv.storage.lsm.tree import Range
from tests.storage.lsm.tables import (
    ABSENT,
    FORMAT,
    ROWS,
    ReadChanges,
    all_rows,
    build,
    get,
    open_table,
    salvaged,
)

FORMATS = [
    FORMAT,
    Format(4096, Compression.ZSTD, 12),
    Format(32 * 1024, Compression.ZSTD, 0),
    Format(64, Compression.NONE, 64),
]


def random_rows(seed: int) -> list[Row]:
    """Keys and values of all sizes, most of them small."""
    generator = random.Random(seed)

    def some(sizes: list[int]) -> bytes:
        return generator.randbytes(generator.choice(sizes))

    rows: dict[bytes, bytes | None] = {b"": b"of the empty key"}
    for _ in range(600):
        key = some([1, 2, 3, 10, 10, 30, 30, 100])
        value = some([0, 1, 10, 100, 100, 1000])
        rows[key] = generator.choice([value, value, value * 3, None])
    for size in (4096, 20_000, 65_000, 65_535):
        rows[generator.randbytes(size)] = some([0, 10, 70_000])
        rows[generator.randbytes(size - 1)] = None
    for size in (4096, 32_767, 65_535, 70_000, 1 << 20, 2 << 20):
        rows[some([2, 20])] = generator.randbytes(size)
        rows[some([2, 20])] = bytes(size)
    return sorted(rows.items())


def check(table: Table, rows: list[Row], seed: int = 0) -> None:
    known = dict(rows)
    assert all_rows(table) == rows
    assert table.verify() == []
    assert salvaged(table) == (rows, [])
    for key, value in rows:
        assert get(table, key) == value
        for absent in (key + b"\0", key[:-1], key + b"x"):
            assert get(table, absent) == known.get(absent, MISSING)
    generator = random.Random(seed)
    keys = [key for key, _ in rows]
    for _ in range(50):
        start, end = sorted(generator.choice(keys) + generator.choice([b"", b"\0"]) for _ in "12")
        assert all_rows(table, start, end) == [row for row in rows if start <= row[0] < end]
        assert all_rows(table, start) == [row for row in rows if start <= row[0]]


@pytest.mark.parametrize("form", FORMATS)
def test_random_rows(tmp_path: Path, form: Format) -> None:
    rows = random_rows(form.block_bytes)
    meta = build(tmp_path / "table", rows, form)
    check(open_table(tmp_path / "table", meta), rows)
    check(open_table(tmp_path / "table", meta, blocks=Cache(1 << 20)), rows)


@pytest.mark.parametrize("row", [(b"", b""), (b"", None), (b"k", b""), (b"k", None), (b"k", b"v")])
def test_a_single_row(tmp_path: Path, row: Row) -> None:
    for form in FORMATS:
        meta = build(tmp_path / "table", [row], form)
        check(open_table(tmp_path / "table", meta), [row])


def test_lists_follow_blocks_and_are_never_empty(tmp_path: Path) -> None:
    meta = build(tmp_path / "table", ROWS)
    table = open_table(tmp_path / "table", meta)
    lists = list(table.rows(b"", None))
    assert len(lists) == len(table.last_keys()) > 3
    assert [rows[-1][0] for rows in lists] == list(table.last_keys())
    for start in [key for key, _ in ROWS] + ABSENT:
        for end in [key for key, _ in ROWS] + ABSENT:
            assert all(table.rows(start, end))
            assert all_rows(table, start, end) == [r for r in ROWS if start <= r[0] < end]


def test_the_filter_keeps_absent_keys_out(tmp_path: Path) -> None:
    rows: list[Row] = [(b"%06d" % (2 * i), b"") for i in range(1000)]
    meta = build(tmp_path / "table", rows)
    table = open_table(tmp_path / "table", meta)
    for i in range(999):
        assert get(table, b"%06d" % (2 * i + 1)) is MISSING
    assert table.filter_checks == 999
    assert table.filter_negatives + table.filter_false == 999
    assert table.filter_passes == table.filter_false < 30
    assert get(table, b"000002") == b""
    assert (table.filter_checks, table.filter_passes) == (1000, table.filter_false + 1)
    assert not table.filter_rebuilt


def test_keys_out_of_range_cost_nothing(tmp_path: Path) -> None:
    meta = build(tmp_path / "table", ROWS[1:])
    table = open_table(tmp_path / "table", meta)
    assert get(table, b"") is MISSING
    assert get(table, b"pear\0") is MISSING
    assert (table.memory_bytes, table.filter_checks) == (0, 0)


def test_index_and_filter_are_read_when_they_are_needed(tmp_path: Path) -> None:
    read: list[int] = []

    def change(offset: int, data: bytes) -> bytes:
        read.append(offset)
        return data

    meta = build(tmp_path / "table", ROWS)
    table = open_table(tmp_path / "table", meta, files=ReadChanges(change))
    assert len(read) == 2, "header and footer"
    assert table.memory_bytes == 0
    table.last_keys()
    index_bytes = table.memory_bytes
    assert index_bytes > 0
    get(table, b"apple")
    assert table.memory_bytes > index_bytes
    assert len(read) == 5, "index, filter, one block"
    get(table, b"apple")
    assert len(read) == 6, "no cache: the block"


def test_blocks_are_kept_by_get_and_not_by_rows(tmp_path: Path) -> None:
    cache: BlockCache = Cache(1 << 20)
    meta = replace(build(tmp_path / "table", ROWS), number=4)
    table = open_table(tmp_path / "table", meta, blocks=cache)
    assert all_rows(table) == ROWS
    assert len(cache) == 0
    assert get(table, b"") == b"an empty key"
    assert cache.get(block_id(4, 0)) is not None
    hits = cache.hits
    assert get(table, b"apple") == b"red"
    assert cache.hits == hits + 1
    for key, value in ROWS * 2:
        assert get(table, key) == value
    assert len(cache) == len(table.last_keys())


def test_two_tables_share_a_cache(tmp_path: Path) -> None:
    cache: BlockCache = Cache(1 << 20)
    first = replace(build(tmp_path / "1", ROWS), number=1)
    other: list[Row] = [(key, b"other") for key, _ in ROWS]
    second = replace(build(tmp_path / "2", other), number=2)
    one = open_table(tmp_path / "1", first, blocks=cache)
    two = open_table(tmp_path / "2", second, blocks=cache)
    for key, value in ROWS * 2:
        assert get(one, key) == value
        assert get(two, key) == b"other"


DROPPED: list[tuple[Range, ...]] = [
    ((b"", b"zzz"),),
    ((b"", b"\0"),),
    ((b"apple", b"apple"),),
    ((b"b", b"date"), (b"fig", b"fig\0")),
    ((b"date", b"mango\0"),),
    ((b"elder", b"elder\0"), (b"lemon", b"zzz")),
]


@pytest.mark.parametrize("dropped", DROPPED)
def test_dropped_ranges_are_not_here(tmp_path: Path, dropped: tuple[Range, ...]) -> None:
    meta = build(tmp_path / "table", ROWS)
    table = open_table(tmp_path / "table", meta)
    assert all_rows(table) == ROWS
    table.meta = replace(meta, dropped=dropped)
    left = [row for row in ROWS if not any(a <= row[0] < b for a, b in dropped)]
    for at in (table, open_table(tmp_path / "table", table.meta)):
        assert all_rows(at) == left
        assert all(at.rows(b"", None)), "no list is empty"
        assert all_rows(at, b"apple", b"fig\0") == [r for r in left if b"apple" <= r[0] <= b"fig"]
        assert salvaged(at) == (left, [])
        assert at.verify() == []
        for key, value in ROWS:
            assert get(at, key) == (value if (key, value) in left else MISSING)


def test_a_closed_table_is_closed(tmp_path: Path) -> None:
    table = open_table(tmp_path / "table", build(tmp_path / "table", ROWS))
    table.close()
    table.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        get(table, b"apple")


def test_any_number_of_threads_read(tmp_path: Path) -> None:
    rows: list[Row] = [(b"%06d" % i, b"%d" % i * 20) for i in range(5000)]
    meta = build(tmp_path / "table", rows, Format(1024, Compression.ZSTD, 12))
    table = open_table(tmp_path / "table", meta, blocks=Cache(100_000))

    def read(seed: int) -> None:
        generator = random.Random(seed)
        for key, value in generator.choices(rows, k=2000):
            assert table.get(key, key_hash(key)) == value
        assert all_rows(table, b"002000") == rows[2000:]

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(read, seed) for seed in range(4)]:
            done.result()
