"""Tables whose checksums are right and that are wrong all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from dynamokv.ports import Row
from dynamokv.storage.lsm import bloom
from dynamokv.storage.lsm.block import encode_block
from dynamokv.storage.lsm.bloom import key_hash
from dynamokv.storage.lsm.framing import FileKind, encode_header, salt_seed
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.table_format import (
    Footer,
    Index,
    PieceKind,
    Properties,
    encode_footer,
    encode_index,
    encode_piece,
    encode_properties,
)
from dynamokv.storage.lsm.tree import TableMeta
from tests.storage.lsm.tables import SALT, build, open_table

ROWS: list[Row] = [(b"a", b"1"), (b"b", None), (b"c", b"3"), (b"d", b"4"), (b"e", b"5")]
CUT = 3
FORMAT_OF_CUT = Format(block_bytes=20, compression=Compression.NONE, bloom_bits=12)


def block(rows: list[Row]) -> bytes:
    keys = [key for key, _ in rows]
    tags = bytes(key_hash(key) & 0xFF for key in keys)
    return encode_block(keys, [value for _, value in rows], tags)


@dataclass
class Forgery:
    """All that a table is made of, each part to be changed; ``write`` asks no question."""

    blocks: list[bytes] = field(default_factory=lambda: [block(ROWS[:CUT]), block(ROWS[CUT:])])
    last_keys: list[bytes] = field(default_factory=lambda: [b"c", b"e"])
    filtered: list[bytes] = field(default_factory=lambda: [key for key, _ in ROWS])
    offsets: Callable[[list[int]], list[int]] = list
    properties: Properties = field(
        default_factory=lambda: Properties(5, 1, b"a", b"e", 7, 9, 2, 52, 12, (3, 5))
    )
    meta: TableMeta = field(
        default_factory=lambda: TableMeta(0, 0, b"", 5, 1, b"a", b"e", 7, 9),
    )

    def write(self, path: Path) -> TableMeta:
        data = encode_header(FileKind.TABLE, SALT, 0)
        offsets = []

        def add(kind: PieceKind, payload: bytes) -> None:
            nonlocal data
            offsets.append(len(data))
            data += encode_piece(salt_seed(SALT), len(data), kind, payload, Compression.NONE)

        for raw in self.blocks:
            add(PieceKind.BLOCK, raw)
        index = Index(self.last_keys, self.offsets([*offsets, len(data)]))
        words = bloom.build(map(key_hash, self.filtered), len(self.filtered), 12)
        add(PieceKind.INDEX, encode_index(index))
        add(PieceKind.FILTER, bloom.encode(words))
        add(PieceKind.PROPERTIES, encode_properties(self.properties))
        data += encode_footer(Footer(offsets[-3], offsets[-2], offsets[-1], SALT), len(data))
        path.write_bytes(data)
        return replace(self.meta, size_bytes=len(data), digest=xxh3_128_digest(data))


def reasons(path: Path, meta: TableMeta) -> str:
    return "; ".join(bad.reason for bad in open_table(path, meta).verify())


def test_a_good_forgery_is_what_the_builder_makes(tmp_path: Path) -> None:
    meta = Forgery().write(tmp_path / "forged")
    assert reasons(tmp_path / "forged", meta) == ""
    assert build(tmp_path / "built", ROWS, FORMAT_OF_CUT) == meta
    assert (tmp_path / "built").read_bytes() == (tmp_path / "forged").read_bytes()


def bad_tags(rows: list[Row]) -> bytes:
    return encode_block([key for key, _ in rows], [value for _, value in rows], bytes(len(rows)))


DAMAGES: list[tuple[str, Forgery]] = [
    ("do not ascend", Forgery(blocks=[block([ROWS[1], ROWS[0], ROWS[2]]), block(ROWS[CUT:])])),
    ("do not ascend", Forgery(blocks=[block([ROWS[0], ROWS[2], ROWS[2]]), block(ROWS[CUT:])])),
    ("tags", Forgery(blocks=[bad_tags(ROWS[:CUT]), block(ROWS[CUT:])])),
    ("contradicts itself", Forgery(blocks=[block(ROWS[:CUT]) + b"\0", block(ROWS[CUT:])])),
    ("columns", Forgery(blocks=[block(ROWS[:CUT])[:20], block(ROWS[CUT:])])),
    ("the index says", Forgery(last_keys=[b"cc", b"e"])),
    ("the index says", Forgery(blocks=[block(ROWS[:2]), block(ROWS[2:])])),
    ("an index contradicts itself", Forgery(blocks=[], last_keys=[])),
    ("of other blocks", Forgery(offsets=lambda at: [*at[:-1], at[-1] - 1])),
    ("of other blocks", Forgery(offsets=lambda at: [at[0] + 1, *at[1:]])),
    ("the checksum", Forgery(offsets=lambda at: [at[0], at[1] + 1, at[2]])),
    ("of another table", Forgery(last_keys=[b"c", b"f"])),
    ("the filter calls", Forgery(filtered=[b"z"])),
    ("the filter calls", Forgery(filtered=[b"a"] * 5)),
    ("the manifest counts", Forgery(meta=TableMeta(0, 0, b"", 6, 1, b"a", b"e", 7, 9))),
    ("the manifest counts", Forgery(meta=TableMeta(0, 0, b"", 5, 2, b"a", b"e", 7, 9))),
    ("the manifest counts", Forgery(meta=TableMeta(0, 0, b"", 5, 1, b"A", b"e", 7, 9))),
    ("the properties are", Forgery(meta=TableMeta(0, 0, b"", 5, 1, b"a", b"e", 7, 8))),
    (
        "the properties are",
        Forgery(properties=Properties(5, 1, b"a", b"e", 7, 9, 3, 52, 12, ())),
    ),
    (
        "the properties are",
        Forgery(properties=Properties(5, 1, b"a", b"e", 7, 9, 2, 53, 12, ())),
    ),
]


@pytest.mark.parametrize(("reason", "forgery"), DAMAGES)
def test_what_no_checksum_tells(tmp_path: Path, reason: str, forgery: Forgery) -> None:
    meta = forgery.write(tmp_path / "table")
    assert reason in reasons(tmp_path / "table", meta)


def test_the_digest_is_of_the_whole_file(tmp_path: Path) -> None:
    meta = Forgery().write(tmp_path / "table")
    assert "digest" in reasons(tmp_path / "table", replace(meta, digest=bytes(16)))


def test_one_bad_block_is_no_reason_to_doubt_the_counts(tmp_path: Path) -> None:
    forgery = Forgery(blocks=[bad_tags(ROWS[:CUT]), block(ROWS[CUT:])])
    table = open_table(tmp_path / "table", forgery.write(tmp_path / "table"))
    [bad] = table.verify()
    assert (bad.start, bad.end) == (b"a", b"c\0")
