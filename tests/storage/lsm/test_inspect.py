"""Files of a store in words, and every damage said."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.errors import StorageError, UsageError
from dynamokv.storage.lsm.batch import encode_batch
from dynamokv.storage.lsm.framing import HEADER_BYTES, RecordType
from dynamokv.storage.lsm.inspect import DAMAGE, SHOWN_BYTES, inspect
from dynamokv.storage.lsm.table_format import FOOTER_BYTES
from tests.storage.lsm.stores import flipped, listing, record, records
from tests.storage.lsm.story import story
from tests.storage.lsm.tables import ROWS, block_places, build

GOLDEN = Path(__file__).parents[2] / "golden"


def lines_of(path: Path, *, rows: bool = False) -> list[str]:
    return list(inspect(path, rows=rows))


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def damage_in(path: Path) -> list[str]:
    return [line for line in lines_of(path) if line.startswith(DAMAGE)]


def test_a_log(tmp_path: Path) -> None:
    path = written(tmp_path, "wal-00000001", (GOLDEN / "wal-v1.bin").read_bytes())
    assert lines_of(path) == [
        "wal, 121 bytes, salt 0000000000000001",
        "first sequence 1",
        "batch 1 at 36: 2 rows, 28 bytes",
        "batch 2 at 85: 1 rows, 15 bytes",
    ]
    assert [line for line in lines_of(path, rows=True) if "'" in line] == [
        "  b'apple': b'red'",
        "  b'pear': b''",
        "  b'apple': deleted",
    ]


def test_a_manifest(tmp_path: Path) -> None:
    path = written(tmp_path, "manifest-00000004", (GOLDEN / "manifest-v1.bin").read_bytes())
    assert lines_of(path) == [
        "manifest, 289 bytes, salt 0000000000000001",
        "first sequence 0",
        "edit 0 at 36, 48 bytes",
        "  logs from: 2",
        "  first sequence in the logs: 3",
        "  next number: 5",
        "  + level 1: table 3: 300 bytes, 2 rows (1 deletions), b'apple' to b'pear', "
        "sequences 1 to 2",
        "edit 1 at 105, 55 bytes",
        "  logs from: 4",
        "  first sequence in the logs: 4",
        "  next number: 6",
        "  + level 0: table 5: 200 bytes, 1 rows (0 deletions), b'cashew' to b'walnut', "
        "sequences 3 to 3, without b'd' to b'e'",
        "edit 2 at 181, 50 bytes",
        "  next number: 7",
        "  - table 3",
        "  lost b'apple' to b'pear\\x00': table-00000003: it is missing",
        "edit 3 at 252, 16 bytes",
        "  healed b'apple' to b'pear\\x00'",
    ]


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "table-00000007"
    meta = build(path, ROWS)
    lines = lines_of(path, rows=True)
    assert lines[0] == f"table, {meta.size_bytes} bytes, salt 0102030405060708"
    assert f"digest {meta.digest.hex()}" in lines
    assert f"{len(ROWS)} rows (2 deletions) in {len(block_places(path, meta))} blocks" in lines
    assert "sequences 7 to 9" in lines
    assert "merged from 3, 5" in lines
    assert "  b'banana': deleted" in lines
    assert "  b'cherry': b''" in lines
    long = b"yellow " * 20
    assert f"  b'lemon': {long[:SHOWN_BYTES]!r}... (140 bytes)" in lines
    assert sum(line.startswith("  b'") for line in lines) == len(ROWS)
    assert not damage_in(path)


def test_the_small_files(tmp_path: Path) -> None:
    assert lines_of(written(tmp_path, "CURRENT", b"manifest-00000004\n")) == [
        "CURRENT: manifest-00000004"
    ]
    assert lines_of(written(tmp_path, "LOCK", b"       123 boot\n")) == ["LOCK: 123 boot"]
    assert lines_of(written(tmp_path, "RESERVE", bytes(99))) == [
        "RESERVE: 99 bytes, kept free for the manifest"
    ]


def test_every_file_of_a_store_is_sound(tmp_path: Path) -> None:
    for name, data in listing(story().disk).items():
        lines = lines_of(written(tmp_path, name, data), rows=True)
        assert lines
        assert not [line for line in lines if line.startswith(DAMAGE)]


@pytest.mark.parametrize("name", ["wal-00000001", "manifest-00000004", "table-00000007"])
def test_flipped_bits_are_said(name: str, tmp_path: Path) -> None:
    data = (GOLDEN / f"{name.partition('-')[0]}-v1.bin").read_bytes()
    for bit in range(0, len(data) * 8, 3):
        assert damage_in(written(tmp_path, name, flipped(data, bit))), bit


@pytest.mark.parametrize("name", ["wal-00000001", "manifest-00000004", "table-00000007"])
def test_every_cut_is_said_or_ends_a_record(name: str, tmp_path: Path) -> None:
    data = (GOLDEN / f"{name.partition('-')[0]}-v1.bin").read_bytes()
    table = name.startswith("table")
    ends = [] if table else [HEADER_BYTES, *(item.end for item in records(data))]
    for size in range(len(data)):
        assert bool(damage_in(written(tmp_path, name, data[:size]))) == (size not in ends)


def test_damage_is_said_with_its_place(tmp_path: Path) -> None:
    data = (GOLDEN / "wal-v1.bin").read_bytes()
    assert damage_in(written(tmp_path, "wal-00000001", flipped(data, 8 * HEADER_BYTES))) == [
        "DAMAGED: 49 bytes at 36 are no record"
    ]
    poison = data + record(data, 3, b"poison")
    [line] = damage_in(written(tmp_path, "wal-00000001", poison))
    assert line.startswith("DAMAGED: record 3 at 121: a batch ")
    poison = (GOLDEN / "manifest-v1.bin").read_bytes()
    poison += record(poison, 4, b"poison", RecordType.EDIT)
    [line] = damage_in(written(tmp_path, "manifest-00000001", poison))
    assert line.startswith("DAMAGED: an edit of the manifest cannot be read")


def test_a_damaged_block_does_not_hide_the_others(tmp_path: Path) -> None:
    path = tmp_path / "table-00000007"
    meta = build(path, ROWS)
    start, _, keys = block_places(path, meta)[1]
    data = path.read_bytes()
    path.write_bytes(flipped(data, 8 * start + 100))
    lines = lines_of(path, rows=True)
    assert len([line for line in lines if line.startswith(DAMAGE)]) == 1
    shown = [key for key, _ in ROWS if any(line.startswith(f"  {key!r}:") for line in lines)]
    assert shown == [key for key, _ in ROWS if key not in keys]
    path.write_bytes(flipped(data, 8 * (len(data) - FOOTER_BYTES)))
    assert len(damage_in(path)) == 1


def test_records_within_torn_values_are_not_shown(tmp_path: Path) -> None:
    data = (GOLDEN / "wal-v1.bin").read_bytes()
    torn = record(data, 3, encode_batch([(b"x", data[HEADER_BYTES:])]))[:-1]
    lines = lines_of(written(tmp_path, "wal-00000001", data + torn))
    assert sum(line.startswith("batch") for line in lines) == 2


def test_a_file_that_was_set_aside_or_renamed_is_known(tmp_path: Path) -> None:
    data = (GOLDEN / "wal-v1.bin").read_bytes()
    for name in ("wal-00000001.damaged", "wal-00000001.tmp", "a-copy"):
        assert lines_of(written(tmp_path, name, data))[0].startswith("wal, ")


def test_what_is_no_file_of_a_store(tmp_path: Path) -> None:
    for name, data in (("notes", b"text"), ("notes", b"x" * 100), ("empty", b"")):
        with pytest.raises(UsageError, match="is no file of a store"):
            lines_of(written(tmp_path, name, data))
    with pytest.raises(UsageError, match="is a directory"):
        lines_of(tmp_path)
    with pytest.raises(StorageError, match="cannot be read: No such file"):
        lines_of(tmp_path / "nowhere")
