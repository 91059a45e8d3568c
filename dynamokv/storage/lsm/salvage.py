"""What is readable in a damaged table.

Knows: the pieces of one file. Must not know: what becomes of the rows.

With its index, a table tells which keys a bad block had. Without it, pieces are walked from the
first one on, each by the length that it says itself; where that leads to nothing valid, all the
rest is lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from dynamokv.ports import Row
from dynamokv.storage.lsm.block import decode_block
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.table_file import TableDamaged, TableFile
from dynamokv.storage.lsm.table_format import PIECE_BYTES, Index, PieceKind, piece_bytes
from dynamokv.storage.lsm.tree import Lost


def salvage(file: TableFile) -> Iterator[list[Row] | Lost]:
    """Rows of good blocks and ranges of bad ones, in order."""
    try:
        index = file.read_index()
    except TableDamaged as damage:
        yield from _walk(file, damage.reason)
    else:
        yield from _by_index(file, index)


def _by_index(file: TableFile, index: Index) -> Iterator[list[Row] | Lost]:
    for block in range(len(index.last_keys)):
        try:
            yield decode_block(file.read_block(index, block))
        except TableDamaged as damage:
            yield Lost(file.name, damage.start, damage.end, damage.reason)


def _walk(file: TableFile, reason: str) -> Iterator[list[Row] | Lost]:
    # Every key below ``known`` was handed out, lost, or never there.
    known, end = file.keys
    offset = HEADER_BYTES
    bad = False
    while known < end and (size := _size_at(file, offset)):
        try:
            rows = decode_block(file.read_piece(offset, offset + size, PieceKind.BLOCK))
        except TableDamaged as damage:
            if not bad:
                reason = damage.reason
            bad = True
        else:
            if bad:
                yield Lost(file.name, known, rows[0][0], reason)
                bad = False
            yield rows
            known = rows[-1][0] + b"\0"
        offset += size
    if known < end:
        yield Lost(file.name, known, end, reason)


def _size_at(file: TableFile, offset: int) -> int:
    """Of the piece that begins here, as it says itself; 0 if it cannot be."""
    try:
        head = file.read_at(offset, PIECE_BYTES)
    except TableDamaged:
        return 0
    size = piece_bytes(head) if len(head) == PIECE_BYTES else 0
    return size if offset + size <= file.size_bytes else 0
