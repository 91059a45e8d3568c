"""Damage: an error or the right answer, never a wrong one, and never "not here"."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from struct import pack

import pytest
from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.storage.files import RealFiles, RealReadFile
from dynamokv.storage.lsm.block import MISSING, Found
from dynamokv.storage.lsm.framing import HEADER_BYTES, MAGIC, FileKind
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.table import Table, TableDamaged
from dynamokv.storage.lsm.tree import TableMeta
from tests.storage.lsm.stores import newer
from tests.storage.lsm.tables import (
    ABSENT,
    FORMAT,
    ROWS,
    SALT,
    ReadChanges,
    all_rows,
    block_places,
    broken,
    build,
    flip,
    footer_of,
    get,
    open_table,
)

ANSWERS: dict[bytes, Found] = {**dict.fromkeys(ABSENT, MISSING), **dict(ROWS)}

SIMILAR: list[Row] = [(b"key:%04d" % i, b"the same again " * 4) for i in range(12)]
PACKED = Format(block_bytes=200, compression=Compression.ZSTD, bloom_bits=12)
PACKED_ANSWERS: dict[bytes, Found] = {**dict(SIMILAR), b"key:0003\0": MISSING, b"key:": MISSING}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table-00000004"


@pytest.fixture
def meta(path: Path) -> TableMeta:
    return replace(build(path, ROWS), number=4)


def attempt(table: Table, key: bytes) -> Found | TableDamaged:
    try:
        return get(table, key)
    except TableDamaged as damage:
        return damage


def check_answers(table: Table, answers: Mapping[bytes, Found]) -> int:
    """Each is right or an error; how many errors."""
    errors = 0
    for key, answer in answers.items():
        found = attempt(table, key)
        if isinstance(found, TableDamaged):
            assert found.start <= key < found.end
            errors += 1
        else:
            assert found == answer, key
    return errors


def check_rows(table: Table, rows: list[Row]) -> None:
    """All of them in order, or an error behind the first ones."""
    read: list[Row] = []
    try:
        for block in table.rows(b"", None):
            read += block
    except TableDamaged:
        assert len(read) < len(rows)
        assert read == rows[: len(read)]
    else:
        assert read == rows


@pytest.mark.parametrize(
    ("form", "rows", "answers"), [(FORMAT, ROWS, ANSWERS), (PACKED, SIMILAR, PACKED_ANSWERS)]
)
def test_every_flipped_bit_is_found_or_does_no_harm(
    path: Path, form: Format, rows: list[Row], answers: Mapping[bytes, Found]
) -> None:
    meta = build(path, rows, form)
    outcomes = set()
    for bit in range(8 * meta.size_bytes):
        flip(path, bit)
        try:
            table = open_table(path, meta)
        except TableDamaged:
            outcomes.add("not opened")
        else:
            errors = check_answers(table, answers)
            check_rows(table, rows)
            outcomes.add("error" if errors else "mended" if table.filter_rebuilt else "right")
            table.close()
        table = open_table(path, meta, damaged_ok=True)
        assert table.verify(), f"bit {bit} is not found"
        table.close()
        flip(path, bit)
    assert outcomes == {"not opened", "error", "mended", "right"}
    assert open_table(path, meta).verify() == []


def test_every_truncation_is_found(path: Path, meta: TableMeta) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(TableDamaged, match=f"it has {size} bytes instead of {len(data)}"):
            open_table(path, meta)
        # The same, where the manifest would not know better.
        with pytest.raises(TableDamaged):
            open_table(path, replace(meta, size_bytes=size))
        assert open_table(path, meta, damaged_ok=True).verify()
    path.write_bytes(data + b"\0")
    with pytest.raises(TableDamaged, match="bytes instead of"):
        open_table(path, meta)


def test_a_bad_block_concerns_its_keys_only(path: Path, meta: TableMeta) -> None:
    places = block_places(path, meta)
    assert len(places) > 3
    before = b""
    for start, end, keys in places:
        flip(path, 4 * (start + end))
        table = open_table(path, meta)
        for key, answer in ANSWERS.items():
            passes = table.filter_passes
            found = attempt(table, key)
            if isinstance(found, TableDamaged):
                check_damage(found, before, keys[-1] + b"\0")
                assert found.start <= key < found.end
            else:
                assert found == answer
                # Of a bad block's keys, only the filter can answer for those that are not there.
                assert not before <= key <= keys[-1] or table.filter_passes == passes
        assert all_rows(table, keys[-1] + b"\0") == [row for row in ROWS if row[0] > keys[-1]]
        assert all_rows(table, b"", before) == [row for row in ROWS if row[0] < before]
        [bad] = [bad for bad in table.verify() if "block" in bad.reason]
        assert (bad.start, bad.end) == (before, keys[-1] + b"\0")
        before = keys[-1] + b"\0"
        flip(path, 4 * (start + end))


def check_damage(damage: TableDamaged, start: bytes, end: bytes) -> None:
    assert (damage.number, damage.file) == (4, "table-00000004")
    assert (damage.start, damage.end) == (start, end)
    assert "checksum" in damage.reason
    assert str(damage).startswith("table-00000004: block at ")


def test_a_dropped_block_is_not_even_read(path: Path, meta: TableMeta) -> None:
    (_, _, first), (start, end, keys) = block_places(path, meta)[:2]
    flip(path, 4 * (start + end))
    table = open_table(path, replace(meta, dropped=((keys[0], keys[-1] + b"\0"),)))
    assert [get(table, key) for key in keys] == [MISSING] * len(keys)
    with pytest.raises(TableDamaged):
        all_rows(table)
    # All that can be in a block, from behind the one before it.
    table.meta = replace(meta, dropped=((first[-1] + b"\0", keys[-1] + b"\0"),))
    assert all_rows(table) == [row for row in ROWS if row[0] not in keys]


def test_blocks_in_each_others_place_are_found(path: Path) -> None:
    rows: list[Row] = [(b"%03d" % i, b"v" * 62) for i in range(6)]
    meta = build(path, rows)
    (start, middle, _), (_, end, _) = block_places(path, meta)[:2]
    data = path.read_bytes()
    assert middle - start == end - middle
    path.write_bytes(data[:start] + data[middle:end] + data[start:middle] + data[end:])
    answers: dict[bytes, Found] = dict(rows)
    assert check_answers(open_table(path, meta), answers) == 2


def test_a_block_of_another_table_is_found(path: Path, tmp_path: Path) -> None:
    """Of the same place and size, as a disk may return it that lost a write."""
    rows: list[Row] = [(b"%03d" % i, b"v" * 62) for i in range(6)]
    meta = build(path, rows)
    data = path.read_bytes()
    start, end, _ = block_places(path, meta)[1]
    salted = data.replace(SALT, b"other s.")
    other = tmp_path / "other"
    build(other, [(key, b"w" * 62) for key, _ in rows])
    for donor in (other.read_bytes(), salted):
        # With the same salt it would pass: nobody gives two files the same one.
        piece = bytes([donor[start] ^ (donor is not salted)]) + donor[start + 1 : end]
        path.write_bytes(data[:start] + piece + data[end:])
        table = open_table(path, meta)
        assert check_answers(table, dict(rows)) == (donor is not salted)


def test_another_table_of_the_same_size_is_found(path: Path, tmp_path: Path) -> None:
    rows: list[Row] = [(b"%03d" % i, b"v" * 62) for i in range(6)]
    meta = build(path, rows)
    build(path, [(b"1" + key[1:], value) for key, value in rows])
    table = open_table(path, meta)
    for key, _ in rows:
        with pytest.raises(TableDamaged, match="of another table"):
            get(table, key)
    build(path, [(key, b"w" * 62) for key, _ in rows])
    [bad] = open_table(path, meta).verify()
    assert "digest" in bad.reason


@pytest.mark.parametrize("piece", ["index", "footer", "header", "salt"])
def test_what_all_keys_need_concerns_all_keys(path: Path, meta: TableMeta, piece: str) -> None:
    places = {"index": footer_of(path).index + 20, "footer": meta.size_bytes - 1}
    flip(path, 8 * (places | {"header": 9, "salt": 12})[piece])
    if piece != "index":
        with pytest.raises(TableDamaged) as opening:
            open_table(path, meta)
        assert (opening.value.start, opening.value.end) == (b"", b"pear\0")
    table = open_table(path, meta, damaged_ok=True)
    for key, _ in ROWS:
        with pytest.raises(TableDamaged) as reading:
            get(table, key)
        assert (reading.value.start, reading.value.end) == (b"", b"pear\0")
    with pytest.raises(TableDamaged):
        table.last_keys()
    with pytest.raises(TableDamaged):
        list(table.rows(b"", None))
    assert [(bad.start, bad.end) for bad in table.verify()][-1] == (b"", b"pear\0")


def test_bad_properties_only_matter_to_verify(path: Path, meta: TableMeta) -> None:
    flip(path, 8 * (footer_of(path).properties + 20))
    table = open_table(path, meta)
    assert check_answers(table, ANSWERS) == 0
    assert all_rows(table) == ROWS
    assert len(table.verify()) == 2, "the digest and the piece"


def test_a_bad_filter_is_made_again(path: Path) -> None:
    rows: list[Row] = [(b"%06d" % (2 * i), b"") for i in range(1000)]
    meta = build(path, rows)
    flip(path, 8 * (footer_of(path).filter + 100))
    table = open_table(path, meta)
    assert check_answers(table, dict(rows)) == 0
    assert table.filter_rebuilt
    for i in range(999):
        assert get(table, b"%06d" % (2 * i + 1)) is MISSING
    assert table.filter_negatives > 960, "the new one is as good as the old one"
    assert any("filter" in bad.reason for bad in table.verify())


def test_a_bad_filter_over_a_bad_block_lets_all_through(path: Path, meta: TableMeta) -> None:
    start, end, keys = block_places(path, meta)[2]
    flip(path, 4 * (start + end))
    flip(path, 8 * (footer_of(path).filter + 20))
    table = open_table(path, meta)
    assert check_answers(table, dict.fromkeys(keys)) == len(keys)
    assert check_answers(table, ANSWERS) >= len(keys)
    assert table.filter_negatives == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)])
def test_what_the_disk_has_lost_is_damage(path: Path, meta: TableMeta, number: int) -> None:
    (_, _, first), (start, _, keys) = block_places(path, meta)[:2]

    def change(offset: int, data: bytes) -> bytes:
        if offset <= start < offset + len(data):
            raise broken(number)
        return data

    table = open_table(path, meta, files=ReadChanges(change))
    assert check_answers(table, ANSWERS) >= len(keys)
    assert check_answers(table, dict.fromkeys(keys)) == len(keys)
    bad = [(bad.start, bad.end) for bad in table.verify()]
    assert bad == [(b"", b"pear\0"), (first[-1] + b"\0", keys[-1] + b"\0")]
    for lost in (0, meta.size_bytes - 40):
        start = lost
        with pytest.raises(TableDamaged, match="disk cannot read it"):
            open_table(path, meta, files=ReadChanges(change))


class Refusing(RealFiles):
    """Files that cannot be opened."""

    def __init__(self, number: int) -> None:
        self.number = number

    def open_read(self, path: Path) -> RealReadFile:
        raise broken(self.number)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ENOMEM])
def test_what_may_pass_is_no_damage(path: Path, meta: TableMeta, number: int) -> None:
    def change(offset: int, data: bytes) -> bytes:
        if offset >= start:
            raise broken(number)
        return data

    start = 0
    with pytest.raises(OSError, match="Errno") as caught:
        open_table(path, meta, files=Refusing(number))
    assert caught.value.errno == number
    with pytest.raises(OSError, match="Errno"):
        open_table(path, meta, files=ReadChanges(change))
    start = meta.size_bytes
    table = open_table(path, meta, files=ReadChanges(change))
    start = HEADER_BYTES
    for _ in range(2):
        with pytest.raises(OSError, match="Errno"):
            get(table, b"apple")
        with pytest.raises(OSError, match="Errno"):
            table.verify()
    assert not table.filter_rebuilt
    start = meta.size_bytes
    assert check_answers(table, ANSWERS) == 0


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOENT, "is missing"), (errno.EIO, "cannot open")]
)
def test_a_file_that_is_not_there_is_damage(
    path: Path, meta: TableMeta, number: int, reason: str
) -> None:
    with pytest.raises(TableDamaged, match=reason) as caught:
        open_table(path, meta, damaged_ok=True, files=Refusing(number))
    assert (caught.value.start, caught.value.end) == (b"", b"pear\0")


def newer_table(data: bytes) -> bytes:
    return newer(data, FileKind.TABLE)


class Keeping(RealFiles):
    """Files that are remembered."""

    def __init__(self) -> None:
        self.opened: list[RealReadFile] = []

    def open_read(self, path: Path) -> RealReadFile:
        self.opened.append(super().open_read(path))
        return self.opened[-1]


@pytest.mark.parametrize("change", [newer_table, lambda data: data[:-1]])
def test_what_is_not_opened_is_closed(
    path: Path, meta: TableMeta, change: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(change(path.read_bytes()))
    files = Keeping()
    with pytest.raises(CorruptionError):
        open_table(path, meta, files=files)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.opened[0].size()


def test_a_newer_version_is_named(path: Path, meta: TableMeta) -> None:
    path.write_bytes(newer_table(path.read_bytes()))
    for damaged_ok in (False, True):
        with pytest.raises(CorruptionError, match="table-00000004: format version 2") as caught:
            open_table(path, meta, damaged_ok=damaged_ok)
        assert not isinstance(caught.value, TableDamaged)
        assert "upgrade dynamokv" in str(caught.value)


def test_a_file_of_another_kind_is_damage(path: Path, meta: TableMeta) -> None:
    fields = pack(">8sHH8sQ", MAGIC, 1, FileKind.WAL, SALT, 0)
    header = fields + pack(">Q", xxh3_64_intdigest(fields))
    path.write_bytes(header + path.read_bytes()[HEADER_BYTES:])
    with pytest.raises(TableDamaged, match="kind 1"):
        open_table(path, meta)
