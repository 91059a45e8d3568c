"""A sound log back into rows, quickly: half of what a flush takes.

Knows: records and batches together, so that the most frequent record, a batch of one row, costs one
look at its numbers and three copies. Must not know: what to do about a log that is not sound, which
is ``log_recovery``'s.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.batch import decode_batch
from dynamokv.storage.lsm.framing import HEADER_BYTES, RECORD_BYTES, RecordType, salt_seed

_RECORD_AND_ROW = Struct(">QIBQIHI")
"""A record's head, a batch's count, and the lengths of its first row."""

_ROW_AT: Final = _RECORD_AND_ROW.size - 8
"""Where a first row's key begins, in the bytes that the checksum covers."""

_FIXED: Final = _RECORD_AND_ROW.size - RECORD_BYTES
_BATCH: Final = int(RecordType.BATCH)


def replay(data: bytes, salt: bytes, first_sequence: int, rows: dict[bytes, bytes | None]) -> int:
    """Write the rows of a log over others; the sequence after its last record.

    Raises:
        CorruptionError: some record is not as it was written. ``rows`` is worth nothing then.
    """
    seed = salt_seed(salt)
    sequence = first_sequence
    offset, size = HEADER_BYTES, len(data)
    # The last few bytes may be a record without a row.
    while offset < size - _RECORD_AND_ROW.size:
        checksum, length, type, found, count, key_bytes, value_bytes = _RECORD_AND_ROW.unpack_from(
            data, offset
        )
        end = offset + RECORD_BYTES + length
        body = data[offset + 8 : end]
        if end > size or checksum != xxh3_64_intdigest(body, seed):
            raise CorruptionError(f"no record at {offset}")
        if type != _BATCH or found != sequence:
            raise CorruptionError(f"batch {sequence} is not where it was written")
        if count == 1 and _FIXED + key_bytes + value_bytes == length:
            value_at = _ROW_AT + key_bytes
            rows[body[_ROW_AT:value_at]] = body[value_at:]
        else:
            rows.update(decode_batch(body[RECORD_BYTES - 8 :]))
        offset = end
        sequence += 1
    if offset != size:
        return _replay_last(data[offset:], seed, sequence, rows)
    return sequence


def _replay_last(data: bytes, seed: int, sequence: int, rows: dict[bytes, bytes | None]) -> int:
    """A short record at the very end, padded so that it can be looked at in the same way."""
    checksum, length, type, found, *_ = _RECORD_AND_ROW.unpack_from(
        data + bytes(_RECORD_AND_ROW.size)
    )
    sound = len(data) == RECORD_BYTES + length and (type, found) == (_BATCH, sequence)
    if not sound or checksum != xxh3_64_intdigest(data[8:], seed):
        raise CorruptionError("no record at the end")
    rows.update(decode_batch(data[RECORD_BYTES:]))
    return sequence + 1
