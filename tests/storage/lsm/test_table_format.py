"""The bytes of a table, held still by golden files and shown by ``docs/formats/table.md``."""

from __future__ import annotations

import re
from pathlib import Path

import cbor2
import pytest
from xxhash import xxh3_128_digest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.codec import Codec, compress, decompress
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.table_file import TableFile
from dynamokv.storage.lsm.table_format import (
    PIECE_BYTES,
    Index,
    PieceKind,
    Properties,
    decode_index,
    decode_piece,
    decode_properties,
    encode_index,
    encode_piece,
    encode_properties,
)
from dynamokv.storage.lsm.tree import TableMeta
from tests.storage.lsm.tables import all_rows, build, get, open_table

GOLDEN = Path(__file__).parents[2] / "golden"
FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "formats" / "table.md"

GOLDEN_ROWS: list[Row] = [(b"apple", b"red"), (b"fig", None), (b"pear", b"")]
GOLDEN_FORMAT = Format(block_bytes=20, compression=Compression.NONE, bloom_bits=12)

PACKED_ROWS: list[Row] = [(b"key:%04d" % i, b"the same again " * 4) for i in range(12)]
PACKED_FORMAT = Format(block_bytes=400, compression=Compression.ZSTD, bloom_bits=12)


def meta_of(path: Path, rows: list[Row]) -> TableMeta:
    data = path.read_bytes()
    deletions = [value for _, value in rows].count(None)
    first, last = rows[0][0], rows[-1][0]
    return TableMeta(0, len(data), xxh3_128_digest(data), len(rows), deletions, first, last, 7, 9)


def test_a_table_has_the_golden_bytes(tmp_path: Path) -> None:
    build(tmp_path / "table", GOLDEN_ROWS, GOLDEN_FORMAT)
    assert (tmp_path / "table").read_bytes() == (GOLDEN / "table-v1.bin").read_bytes()


@pytest.mark.parametrize(
    ("name", "rows"), [("table-v1.bin", GOLDEN_ROWS), ("table-zstd-v1.bin", PACKED_ROWS)]
)
def test_the_golden_bytes_are_read(name: str, rows: list[Row]) -> None:
    """What zstd makes may differ between its versions; what it reads may not."""
    meta = meta_of(GOLDEN / name, rows)
    table = open_table(GOLDEN / name, meta)
    assert all_rows(table) == rows
    assert [get(table, key) for key, _ in rows] == [value for _, value in rows]
    assert table.verify() == []
    assert not table.filter_rebuilt
    table.close()


def test_the_packed_one_is_packed() -> None:
    file = TableFile(
        RealFiles(),
        GOLDEN / "table-zstd-v1.bin",
        meta_of(GOLDEN / "table-zstd-v1.bin", PACKED_ROWS),
    )
    offsets = file.read_index().offsets
    codecs = [file.read_at(offset, PIECE_BYTES)[-1] for offset in offsets[:-1]]
    assert codecs == [Codec.ZSTD] * len(codecs)
    file.close()


def test_the_format_page_shows_the_golden_bytes() -> None:
    blocks = re.findall(r"```hex\n(.*?)```", FORMAT_PAGE.read_text("utf-8"), re.DOTALL)
    shown = [bytes.fromhex(re.sub(r"#.*", "", block)) for block in blocks]
    assert shown == [(GOLDEN / "table-v1.bin").read_bytes()]


PIECE = encode_piece(5, 40, PieceKind.BLOCK, b"payload", Compression.NONE)


def test_a_piece_is_of_its_file_its_place_and_its_kind() -> None:
    assert decode_piece(PIECE, 5, 40, PieceKind.BLOCK) == b"payload"
    for seed, offset, kind in ((4, 40, 1), (5, 41, 1), (5, 40, 2)):
        with pytest.raises(CorruptionError):
            decode_piece(PIECE, seed, offset, kind)
    for size in range(len(PIECE)):
        with pytest.raises(CorruptionError):
            decode_piece(PIECE[:size], 5, 40, PieceKind.BLOCK)
    with pytest.raises(CorruptionError):
        decode_piece(PIECE + b"\0", 5, 40, PieceKind.BLOCK)


def test_a_codec_that_is_not_known_is_an_error() -> None:
    with pytest.raises(CorruptionError, match="codec 2"):
        decompress(b"abc", 2)
    with pytest.raises(CorruptionError, match="zstd cannot read it"):
        decompress(b"abc", Codec.ZSTD)
    assert decompress(b"abc", Codec.RAW) == b"abc"


def test_zstd_must_save_an_eighth() -> None:
    noise = bytes(range(256)) * 2
    for zeros in range(0, 300, 7):
        raw = noise[:256] + bytes(zeros)
        codec, stored = compress(raw, Compression.ZSTD)
        assert decompress(stored, codec) == raw
        assert len(stored) <= len(raw) * 7 / 8 if codec is Codec.ZSTD else stored == raw
        assert compress(raw, Compression.NONE) == (Codec.RAW, raw)


INDEX = Index([b"", b"b", b"ccc"], (36, 40, 50, 60))


def test_an_index_comes_back_or_is_an_error() -> None:
    payload = encode_index(INDEX)
    assert decode_index(payload) == INDEX
    for size in range(len(payload)):
        with pytest.raises(CorruptionError):
            decode_index(payload[:size])
    for wrong in (payload + b"\0", b"\xff" * 4 + payload[4:], encode_index(Index([], (1,)))):
        with pytest.raises(CorruptionError):
            decode_index(wrong)


PROPERTIES = Properties(3, 1, b"apple", b"pear", 7, 9, 2, 70, 12, (3, 5))


def test_properties_come_back_and_may_have_company() -> None:
    payload = encode_properties(PROPERTIES)
    assert decode_properties(payload) == PROPERTIES
    later = cbor2.dumps(cbor2.loads(payload) | {"of a later version": 1})
    assert decode_properties(later) == PROPERTIES


@pytest.mark.parametrize("payload", [b"", b"\xff", cbor2.dumps([]), cbor2.dumps({"rows": 1})])
def test_what_is_no_properties_is_an_error(payload: bytes) -> None:
    with pytest.raises(CorruptionError, match="properties cannot be read"):
        decode_properties(payload)


def test_a_list_of_inputs_is_needed() -> None:
    fields = cbor2.loads(encode_properties(PROPERTIES))
    with pytest.raises(CorruptionError):
        decode_properties(cbor2.dumps(fields | {"inputs": 3}))
