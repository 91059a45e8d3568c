"""Rows of a block as bytes: what a table reads and checks at once.

Knows: one block, as it is before compression. Must not know: files, checksums, other blocks.

A block is kept by column, so that looking for one key decodes nothing: ``bytes.find`` for a byte of
the key's hash in the column of tags, then one comparison; and so that decoding all of it takes a
few calls in C, whatever the number of rows::

    block = count deleted_count tags offsets deleted keys values

``offsets`` are pairs: where a row's key begins and where its value does, and behind the last row
where all keys end and where all values do. So the pair of a row and the next one tell all of it.
They are absolute. They have two bytes in a block of up to 65,535 bytes and four in a larger one,
which is one with a large key or value.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cache
from itertools import accumulate
from struct import Struct
from struct import error as StructError
from typing import Final, Literal, TypeAlias

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row


class Missing(Enum):
    """See ``MISSING``."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
"""The key is not here: an older table may have it. ``None`` says that it was deleted here."""

Found: TypeAlias = bytes | Literal[Missing.MISSING] | None

ROW_BYTES: Final = 5
"""What a row takes besides its key and its value: a tag and two offsets."""

_NARROW_MAX: Final = 0xFFFF
_HEAD = Struct(">HH")
_HEAD_BYTES: Final = _HEAD.size
_pairs_narrow = Struct(">4H").unpack_from
_pairs_wide = Struct(">4I").unpack_from
_head_of = _HEAD.unpack_from


@cache
def _narrow(count: int) -> Struct:
    return Struct(f">{count}H")


@cache
def _wide(count: int) -> Struct:
    return Struct(f">{count}I")


def encode_block(keys: Sequence[bytes], values: Sequence[bytes | None], tags: bytes) -> bytes:
    """A block. ``tags``: the lowest byte of each key's hash."""
    count = len(keys)
    contents: Sequence[bytes]
    deleted = [i for i, value in enumerate(values) if value is None]
    contents = [value or b"" for value in values] if deleted else values  # type: ignore[assignment]
    key_lengths = list(map(len, keys))
    value_lengths = list(map(len, contents))
    columns = _narrow(2 * count + 2)
    content_bytes = sum(key_lengths) + sum(value_lengths)
    if _HEAD_BYTES + count + columns.size + 2 * len(deleted) + content_bytes > _NARROW_MAX:
        columns = _wide(2 * count + 2)
    offsets = [0] * (2 * count + 2)
    start = _HEAD_BYTES + count + columns.size + 2 * len(deleted)
    offsets[::2] = accumulate(key_lengths, initial=start)
    offsets[1::2] = accumulate(value_lengths, initial=offsets[-2])
    return b"".join(
        (
            _HEAD.pack(count, len(deleted)),
            tags,
            columns.pack(*offsets),
            _narrow(len(deleted)).pack(*deleted),
            *keys,
            *contents,
        )
    )


def find(block: bytes, key: bytes, tag: int) -> Found:
    """The value of a key; ``None`` if it is deleted, ``MISSING`` if it is not in here."""
    count, deleted_count = _head_of(block)
    tags_end = _HEAD_BYTES + count
    at = block.find(tag, _HEAD_BYTES, tags_end)
    while at >= 0:
        row = at - _HEAD_BYTES
        # The pairs of this row and of the next.
        if len(block) <= _NARROW_MAX:
            start, value_start, end, value_end = _pairs_narrow(block, tags_end + 4 * row)
        else:
            start, value_start, end, value_end = _pairs_wide(block, tags_end + 8 * row)
        if block[start:end] == key:
            # An empty value is a value; only a row that is listed is deleted.
            if value_start == value_end and row in _deleted(block, count, deleted_count):
                return None
            return block[value_start:value_end]
        at = block.find(tag, at + 1, tags_end)
    return MISSING


def decode_block(block: bytes) -> list[Row]:
    """All rows, in order. The bytes are trusted: a checksum was around them."""
    count, deleted_count = _head_of(block)
    offsets = _columns(block, count).unpack_from(block, _HEAD_BYTES + count)
    keys = offsets[::2]
    values = offsets[1::2]
    rows: list[Row] = [
        (block[start:end], block[value_start:value_end])
        for start, end, value_start, value_end in zip(
            keys[:-1], keys[1:], values[:-1], values[1:], strict=True
        )
    ]
    if deleted_count:
        for row in _deleted(block, count, deleted_count):
            rows[row] = (rows[row][0], None)
    return rows


def check_block(block: bytes) -> tuple[list[Row], bytes]:
    """All rows and their tags, of a block that nothing is known about.

    Raises:
        CorruptionError: the bytes are no block that ``encode_block`` can have made.
    """
    try:
        count, _ = _head_of(block)
        rows = decode_block(block)
    except (StructError, IndexError) as error:
        raise CorruptionError(f"a block ends within its columns: {error}") from error
    tags = block[_HEAD_BYTES : _HEAD_BYTES + count]
    # There is one way to write a block, so whatever is wrong with this one shows here.
    if not rows or block != encode_block([key for key, _ in rows], [v for _, v in rows], tags):
        raise CorruptionError("a block contradicts itself")
    return rows, tags


def _columns(block: bytes, count: int) -> Struct:
    return (_narrow if len(block) <= _NARROW_MAX else _wide)(2 * count + 2)


def _deleted(block: bytes, count: int, deleted_count: int) -> tuple[int, ...]:
    start = _HEAD_BYTES + count + _columns(block, count).size
    return _narrow(deleted_count).unpack_from(block, start)
