"""Tables to look into, and to damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from dynamokv.ports import ReadFile, Row
from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.block import Found, decode_block
from dynamokv.storage.lsm.bloom import key_hash
from dynamokv.storage.lsm.builder import TableBuilder
from dynamokv.storage.lsm.cache import BlockCache
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.table import Table
from dynamokv.storage.lsm.table_file import TableFile
from dynamokv.storage.lsm.table_format import FOOTER_BYTES, Footer, decode_footer
from dynamokv.storage.lsm.tree import Lost, TableMeta

SALT: Final = bytes(range(1, 9))
FORMAT: Final = Format(block_bytes=64, compression=Compression.NONE, bloom_bits=12)

ROWS: Final[list[Row]] = [
    (b"", b"an empty key"),
    (b"apple", b"red"),
    (b"banana", None),
    (b"cherry", b""),
    (b"date", b"brown " * 5),
    (b"elder", b"black"),
    (b"fig", None),
    (b"grape", b"green, or blue"),
    (b"lemon", b"yellow " * 20),
    (b"mango", b"orange"),
    (b"pear", b"\0\xff"),
]
"""With ``FORMAT`` a table of several blocks, one of them of a single large row."""

ABSENT: Final = [b"\0", b"a", b"applf", b"bananas", b"fi", b"kiwi", b"lemoo", b"peaq", b"plum"]
"""Keys around and between those of ``ROWS``."""


def builder(path: Path, form: Format = FORMAT, files: RealFiles | None = None) -> TableBuilder:
    return TableBuilder(
        files or RealFiles(),
        path,
        form,
        salt=SALT,
        inputs=(3, 5),
        first_sequence=7,
        last_sequence=9,
    )


def build(path: Path, rows: Sequence[Row], form: Format = FORMAT) -> TableMeta:
    making = builder(path, form)
    making.add(rows)
    return making.finish()


def open_table(
    path: Path,
    meta: TableMeta,
    *,
    blocks: BlockCache | None = None,
    damaged_ok: bool = False,
    files: RealFiles | None = None,
) -> Table:
    return Table(files or RealFiles(), path, meta, blocks=blocks, damaged_ok=damaged_ok)


def get(table: Table, key: bytes) -> Found:
    return table.get(key, key_hash(key))


def all_rows(table: Table, start: bytes = b"", end: bytes | None = None) -> list[Row]:
    return [row for rows in table.rows(start, end) for row in rows]


def salvaged(table: Table) -> tuple[list[Row], list[Lost]]:
    rows: list[Row] = []
    lost: list[Lost] = []
    for found in table.salvage_rows():
        if isinstance(found, Lost):
            lost.append(found)
        else:
            assert found, "no list is empty"
            rows += found
    return rows, lost


def flip(path: Path, bit: int) -> None:
    """Change one bit; the same again mends it."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def broken(number: int = errno.EIO) -> OSError:
    return OSError(number, os.strerror(number))


class ReadChanges(RealFiles):
    """Files in which ``change(offset, data)`` makes what is read, or raises.

    Attributes:
        largest: the most that was asked for at once, in bytes.
    """

    def __init__(self, change: Callable[[int, bytes], bytes]) -> None:
        self.change = change
        self.largest = 0

    def open_read(self, path: Path) -> ReadFile:  # type: ignore[override]
        return _ChangedFile(super().open_read(path), self)


class _ChangedFile:
    def __init__(self, file: ReadFile, files: ReadChanges) -> None:
        self._file = file
        self._files = files
        self.size = file.size
        self.close = file.close

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        self._files.largest = max(self._files.largest, size_bytes)
        return self._files.change(offset, self._file.read_at(offset, size_bytes))


def footer_of(path: Path) -> Footer:
    data = path.read_bytes()
    return decode_footer(data[-FOOTER_BYTES:], len(data) - FOOTER_BYTES)


def block_places(path: Path, meta: TableMeta) -> list[tuple[int, int, list[bytes]]]:
    """Begin, end and keys of each block of a good table."""
    file = TableFile(RealFiles(), path, meta)
    index = file.read_index()
    return [
        (start, end, [key for key, _ in decode_block(file.read_block(index, block))])
        for block, (start, end) in enumerate(pairwise(index.offsets))
    ]
