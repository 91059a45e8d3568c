"""A damaged table: what is readable is read, and what is lost is said."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dynamokv.ports import Row
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.tree import Lost, TableMeta
from tests.storage.lsm.tables import (
    ROWS,
    ReadChanges,
    block_places,
    broken,
    build,
    flip,
    footer_of,
    open_table,
    salvaged,
)

END = b"pear\0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table-00000004"


@pytest.fixture
def meta(path: Path) -> TableMeta:
    return replace(build(path, ROWS), number=4)


def salvage(path: Path, meta: TableMeta) -> tuple[list[Row], list[tuple[bytes, bytes]]]:
    rows, lost = salvaged(open_table(path, meta, damaged_ok=True))
    assert all(found.file == "table-00000004" and found.reason for found in lost)
    return rows, [(found.start, found.end) for found in lost]


def rows_but(*lost: tuple[bytes, bytes]) -> list[Row]:
    return [row for row in ROWS if not any(start <= row[0] < end for start, end in lost)]


PLACES = ["header", "salt", "index", "filter", "properties", "footer"]


def damage(path: Path, meta: TableMeta, place: str) -> None:
    footer = footer_of(path)
    offsets = {
        "header": 1,
        "salt": 12,
        "index": footer.index + 20,
        "filter": footer.filter + 20,
        "properties": footer.properties + 20,
        "footer": meta.size_bytes - 1,
    }
    flip(path, 8 * offsets[place])


@pytest.mark.parametrize("place", PLACES)
def test_without_a_bad_block_nothing_is_lost(path: Path, meta: TableMeta, place: str) -> None:
    damage(path, meta, place)
    assert salvage(path, meta) == (ROWS, [])


def test_each_bad_block_is_a_range(path: Path, meta: TableMeta) -> None:
    before = b""
    for start, end, keys in block_places(path, meta):
        flip(path, 4 * (start + end))
        lost = (before, keys[-1] + b"\0")
        assert salvage(path, meta) == (rows_but(lost), [lost])
        flip(path, 4 * (start + end))
        before = lost[1]


def test_several_bad_blocks_are_several_ranges(path: Path, meta: TableMeta) -> None:
    places = block_places(path, meta)
    for start, end, _ in places:
        flip(path, 4 * (start + end))
    lasts = [b"", *(keys[-1] + b"\0" for _, _, keys in places)]
    assert salvage(path, meta) == ([], list(pairwise(lasts)))


@pytest.mark.parametrize("place", ["index", "footer"])
def test_without_the_index_a_range_ends_where_the_next_good_block_begins(
    path: Path, meta: TableMeta, place: str
) -> None:
    places = block_places(path, meta)
    damage(path, meta, place)
    before = b""
    for number, (start, end, keys) in enumerate(places):
        flip(path, 4 * (start + end))
        lost = (before, places[number + 1][2][0] if number + 1 < len(places) else END)
        assert salvage(path, meta) == (rows_but(lost), [lost])
        flip(path, 4 * (start + end))
        before = keys[-1] + b"\0"


def test_neighbours_that_are_bad_are_one_range_without_the_index(
    path: Path, meta: TableMeta
) -> None:
    places = block_places(path, meta)
    damage(path, meta, "index")
    for start, end, _ in places[1:3]:
        flip(path, 4 * (start + end))
    lost = (places[0][2][-1] + b"\0", places[3][2][0])
    assert salvage(path, meta) == (rows_but(lost), [lost])


@pytest.mark.parametrize("bit", [0, 5, 31])
def test_behind_a_bad_length_all_is_lost_without_the_index(
    path: Path, meta: TableMeta, bit: int
) -> None:
    places = block_places(path, meta)
    damage(path, meta, "index")
    flip(path, 8 * (places[1][0] + 8) + bit)
    lost = (places[0][2][-1] + b"\0", END)
    assert salvage(path, meta) == (rows_but(lost), [lost])
    files = ReadChanges(lambda offset, data: data)
    salvaged(open_table(path, meta, damaged_ok=True, files=files))
    assert files.largest <= meta.size_bytes, "nothing is allocated for a length that cannot be"


def test_every_flipped_bit_loses_no_more_than_it_says(path: Path, meta: TableMeta) -> None:
    losses = set()
    for bit in range(8 * meta.size_bytes):
        flip(path, bit)
        rows, lost = salvage(path, meta)
        assert rows == rows_but(*lost)
        losses.add(len(ROWS) - len(rows))
        flip(path, bit)
    assert losses == {0, *(len(keys) for _, _, keys in block_places(path, meta))}


def test_every_truncation_keeps_what_is_in_front_of_it(path: Path, meta: TableMeta) -> None:
    places = block_places(path, meta)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        rows, lost = salvage(path, meta)
        whole = [keys for _, end, keys in places if end <= size and size >= HEADER_BYTES]
        assert [key for key, _ in rows] == [key for keys in whole for key in keys]
        start = whole[-1][-1] + b"\0" if whole else b""
        assert lost == ([(start, END)] if len(whole) < len(places) else [])


def test_nothing_of_a_salt_that_is_gone_twice(path: Path, meta: TableMeta) -> None:
    damage(path, meta, "salt")
    damage(path, meta, "footer")
    assert salvage(path, meta) == ([], [(b"", END)])


def test_what_was_dropped_does_not_come_back(path: Path, meta: TableMeta) -> None:
    damage(path, meta, "index")
    dropped = (b"b", b"fig\0")
    rows, lost = salvage(path, replace(meta, dropped=(dropped,)))
    assert (rows, lost) == (rows_but(dropped), [])


def test_what_the_disk_cannot_read_is_lost(path: Path, meta: TableMeta) -> None:
    start, _, keys = block_places(path, meta)[1]
    first = block_places(path, meta)[0][2]

    def change(offset: int, data: bytes) -> bytes:
        if offset == start or offset in bad:
            raise broken()
        return data

    bad: set[int] = set()
    files = ReadChanges(change)
    table = open_table(path, meta, damaged_ok=True, files=files)
    lost = (first[-1] + b"\0", keys[-1] + b"\0")
    rows, [said] = salvaged(table)
    assert rows == rows_but(lost)
    assert said == Lost("table-00000004", *lost, said.reason)
    assert "the disk cannot read it" in said.reason
    # Header, footer and index too. The salt is gone, or the length of the piece.
    bad = {0}
    assert salvaged(open_table(path, meta, damaged_ok=True, files=files))[0] == rows_but(
        (lost[0], END)
    )
    bad = {0, meta.size_bytes - 40}
    assert salvaged(open_table(path, meta, damaged_ok=True, files=files))[0] == []
