"""Rows of one batch as bytes: the payload of a BATCH record in the log.

Knows: one payload. Must not know: records, files.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from struct import error as StructError
from typing import Final

from dynamokv.errors import CorruptionError, UsageError
from dynamokv.ports import Row
from dynamokv.storage.lsm.framing import PAYLOAD_BYTES_MAX

KEY_BYTES_MAX: Final = 0xFFFF
"""A length of two bytes. Keys of the ring have about 1 KiB."""

VALUE_BYTES_MAX: Final = PAYLOAD_BYTES_MAX - KEY_BYTES_MAX - 10
"""What fits into a batch of its own."""

_U32 = Struct(">I")
_LENGTHS = Struct(">HI")
DELETED: Final = 0xFFFFFFFF
"""In place of a value's length."""


def encode_batch(rows: Sequence[Row]) -> bytes:
    """The payload.

    Raises:
        UsageError: a key, a value or all of it is over what the format can hold.
    """
    try:
        parts = [_U32.pack(len(rows))]
        add = parts.append
        for key, value in rows:
            if value is None:
                add(_LENGTHS.pack(len(key), DELETED))
                add(key)
            else:
                add(_LENGTHS.pack(len(key), len(value)))
                add(key)
                add(value)
    except StructError as error:
        raise UsageError(
            f"a key is over {KEY_BYTES_MAX} bytes, or a value over 4 GiB: {error}"
        ) from error
    payload = b"".join(parts)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise UsageError(f"a batch of {len(payload)} bytes is over {PAYLOAD_BYTES_MAX}: split it")
    return payload


def decode_batch(payload: bytes) -> list[Row]:
    """Rows of a payload.

    Raises:
        CorruptionError: it is no batch, although its checksum held: whoever wrote it has a bug.
    """
    rows: list[Row] = []
    try:
        (count,) = _U32.unpack_from(payload)
        at = _U32.size
        for _ in range(count):
            key_bytes, value_bytes = _LENGTHS.unpack_from(payload, at)
            at += _LENGTHS.size
            key = payload[at : at + key_bytes]
            at += key_bytes
            if value_bytes == DELETED:
                rows.append((key, None))
            else:
                rows.append((key, payload[at : at + value_bytes]))
                at += value_bytes
    except StructError as error:
        raise CorruptionError(f"a batch ends within a row: {error}") from error
    if at != len(payload):
        raise CorruptionError(f"a batch of {len(payload)} bytes has rows for {at}")
    return rows
