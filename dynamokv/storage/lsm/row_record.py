"""The most frequent record of a log, a batch of one row, in one piece: what ``batch`` and
``framing`` make of it in two steps, in half the time.

Knows: how both lay out their bytes. Must not know: files.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv.errors import UsageError
from dynamokv.storage.lsm.batch import DELETED, KEY_BYTES_MAX, VALUE_BYTES_MAX
from dynamokv.storage.lsm.framing import RECORD_BYTES, RecordType

HEAD = Struct(">QIBQIHI")
"""Checksum, length, type, sequence; a batch's count, and the lengths of its first row."""

ROW_AT: Final = HEAD.size - 8
"""Where a first row's key begins, in the bytes that the checksum covers."""

FIXED: Final = HEAD.size - RECORD_BYTES
"""Of the payload, without key and value."""

_COVERED = Struct(">IBQIHI")
_CHECKSUM = Struct(">Q")
_BATCH: Final = int(RecordType.BATCH)


def encode_row_record(seed: int, sequence: int, key: bytes, value: bytes | None) -> bytes:
    """The record of this one row.

    Raises:
        UsageError: the key or the value is over what the format can hold.
    """
    try:
        if value is None:
            body = _COVERED.pack(FIXED + len(key), _BATCH, sequence, 1, len(key), DELETED) + key
        else:
            size = len(value)
            if size > VALUE_BYTES_MAX:
                raise UsageError(f"a value of {size} bytes is over {VALUE_BYTES_MAX}: split it")
            length = FIXED + len(key) + size
            body = _COVERED.pack(length, _BATCH, sequence, 1, len(key), size) + key + value
    except StructError as error:
        raise UsageError(f"a key is over {KEY_BYTES_MAX} bytes: {error}") from error
    return _CHECKSUM.pack(xxh3_64_intdigest(body, seed)) + body
