"""A sound log back into rows, quickly: half of what a flush takes.

Knows: records and batches together, so that the most frequent record, a batch of one row, costs one
look at its numbers and three copies. Must not know: what to do about a log that is not sound, which
is ``log_recovery``'s.

A log is read in pieces: it is as large as its memtable, and held whole beside the rows it would
double what a flush takes.
"""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError
from dynamokv.limits import MiB
from dynamokv.ports import ReadFile
from dynamokv.storage.lsm.batch import decode_batch
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    RECORD_BYTES,
    FileKind,
    RecordType,
    decode_header,
    salt_seed,
)
from dynamokv.storage.lsm.row_record import FIXED, HEAD, ROW_AT

PIECE_BYTES: Final = 1 * MiB
"""Read at once; more for a record that is larger."""

_BATCH: Final = int(RecordType.BATCH)


def replay(
    file: ReadFile, size_bytes: int, first_sequence: int, rows: dict[bytes, bytes | None]
) -> int:
    """Write the rows of a log, up to this size, over others; the sequence after its last record.

    Raises:
        CorruptionError: some record is not as it was written. ``rows`` is worth nothing then.
        OSError: the disk failed.
    """
    header = decode_header(file.read_at(0, HEADER_BYTES), FileKind.WAL)
    if header.fault is not None:
        raise CorruptionError(header.fault)
    pieces = _Pieces(salt_seed(header.salt), first_sequence, rows)
    at, wanted = HEADER_BYTES, PIECE_BYTES
    while at < size_bytes:
        wanted = min(wanted, size_bytes - at)
        data = file.read_at(at, wanted)
        if len(data) < wanted:
            raise CorruptionError(f"it is cut off at {at + len(data)}")
        last = at + wanted == size_bytes
        used = pieces.take(data)
        if last and 0 < len(data) - used < HEAD.size:
            used += pieces.take_short(data[used:])
        # Whatever a damaged length says, no more is read for it than there is.
        wanted = PIECE_BYTES if used else pieces.next_bytes(data)
        if not used and (last or wanted > size_bytes - at):
            raise CorruptionError(f"no record at {at}")
        at += used
    return pieces.sequence


class _Pieces:
    """Records, as far as they are read."""

    def __init__(self, seed: int, sequence: int, rows: dict[bytes, bytes | None]) -> None:
        self._seed = seed
        self._rows = rows
        self.sequence = sequence

    def take(self, data: bytes) -> int:
        """Apply the records that are whole; how many bytes those were."""
        seed, sequence, rows = self._seed, self.sequence, self._rows
        unpack = HEAD.unpack_from
        offset, size = 0, len(data)
        # A shorter record has no row, and is left for later.
        last = size - HEAD.size
        while offset <= last:
            checksum, length, type, found, count, key_bytes, value_bytes = unpack(data, offset)
            end = offset + RECORD_BYTES + length
            if end > size:
                break
            body = data[offset + 8 : end]
            if checksum != xxh3_64_intdigest(body, seed):
                raise CorruptionError(f"batch {sequence} fails its checksum")
            if type != _BATCH or found != sequence:
                raise CorruptionError(f"batch {sequence} is not where it was written")
            if count == 1 and FIXED + key_bytes + value_bytes == length:
                value_at = ROW_AT + key_bytes
                rows[body[ROW_AT:value_at]] = body[value_at:]
            else:
                rows.update(decode_batch(body[RECORD_BYTES - 8 :]))
            offset = end
            sequence += 1
        self.sequence = sequence
        return offset

    def take_short(self, data: bytes) -> int:
        """A record at the very end that is too short for a row: padded, so that it can be looked at
        in the same way."""
        checksum, length, type, found, *_ = HEAD.unpack_from(data + bytes(HEAD.size))
        sound = len(data) == RECORD_BYTES + length and (type, found) == (_BATCH, self.sequence)
        if not sound or checksum != xxh3_64_intdigest(data[8:], self._seed):
            raise CorruptionError("no record at the end")
        self._rows.update(decode_batch(data[RECORD_BYTES:]))
        self.sequence += 1
        return len(data)

    def next_bytes(self, data: bytes) -> int:
        """What the record at the beginning of these bytes needs."""
        if len(data) < HEAD.size:
            raise CorruptionError(f"batch {self.sequence} is cut off")
        _, length, *_ = HEAD.unpack_from(data)
        return RECORD_BYTES + int(length)
