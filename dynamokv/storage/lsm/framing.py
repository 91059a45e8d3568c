"""Files made of records: the log and the manifest. How records look, and how they are found in a
damaged file.

Knows: one file's bytes at a time. Must not know: directories, what a payload means, what a fault
means for the store. ``docs/formats/wal.md`` is the same in prose, with worked bytes;
``tests/golden`` holds it still.

Invariants:

- The header's layout is the same in every version and every kind of file, so that an old library
  can name a newer one.
- A checksum covers the salt of its file, so that bytes of another file never pass for a record.
- A length is compared with the bytes at hand before anything is allocated for it.
- Nothing in here loops for ever: a scan moves forward, and its search after damage has a budget.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv import limits
from dynamokv.errors import CorruptionError

MAGIC: Final = b"dynamokv"
VERSION: Final = 1
SALT_BYTES: Final = 8

PAYLOAD_BYTES_MAX: Final = 1024 * limits.MiB
"""One batch. A length above this is damage; a real batch is some hundred KiB."""

SEARCH_BUDGET: Final = 16
"""The search for records after damage may read this many times the file. Values that look like
records, on purpose or not, would otherwise make it quadratic. One pass is the normal case."""

_HEADER = Struct(">8sHH8sQ")
_U64 = Struct(">Q")
_BODY = Struct(">IBQ")

HEADER_BYTES: Final = _HEADER.size + _U64.size
RECORD_BYTES: Final = _U64.size + _BODY.size

_TYPE_OFFSET = _U64.size + 4
_TYPES: Final = frozenset({1, 2})


class FileKind(IntEnum):
    """What a file holds. Append-only numbers."""

    WAL = 1
    TABLE = 2
    MANIFEST = 3


class RecordType(IntEnum):
    """What a record holds. Append-only numbers."""

    BATCH = 1
    EDIT = 2


@dataclass(frozen=True, slots=True)
class Header:
    """The start of a file. With a ``fault`` only ``salt`` is worth trying."""

    salt: bytes
    sequence: int
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose checksum holds, at ``data[offset:end]`` of its file."""

    offset: int
    end: int
    type: int
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes ``data[offset:end]`` that are no record; or may be, where the search ``gave_up``."""

    offset: int
    end: int
    gave_up: bool = False


def encode_header(kind: FileKind, salt: bytes, sequence: int) -> bytes:
    """The start of a file. ``sequence``: of its first record; 0 for a table."""
    assert len(salt) == SALT_BYTES, salt
    fields = _HEADER.pack(MAGIC, VERSION, kind, salt, sequence)
    return fields + _U64.pack(xxh3_64_intdigest(fields))


def decode_header(data: bytes, kind: FileKind) -> Header:
    """Read a header, whatever state it is in.

    Raises:
        CorruptionError: it is sound, and of a format version that this library does not know.
    """
    if len(data) < HEADER_BYTES:
        return Header(bytes(SALT_BYTES), 0, "the header is cut off")
    magic, version, found_kind, salt, sequence = _HEADER.unpack_from(data)
    (checksum,) = _U64.unpack_from(data, _HEADER.size)
    if magic != MAGIC or checksum != xxh3_64_intdigest(data[: _HEADER.size]):
        return Header(salt, 0, "the header fails its checksum")
    # Only now is the version to be believed: a flipped bit must not look like a newer library.
    if version > VERSION:
        raise CorruptionError(
            f"format version {version} is newer than this library's {VERSION}: upgrade dynamokv"
        )
    if version != VERSION or found_kind != kind:
        return Header(salt, 0, f"the header is of kind {found_kind}, version {version}")
    return Header(salt, sequence)


def salt_seed(salt: bytes) -> int:
    """A file's salt as the seed of its checksums."""
    return int.from_bytes(salt, "big")


def encode_record(seed: int, type: int, sequence: int, payload: bytes) -> bytes:
    """One record, whole, so that it leaves in one write."""
    body = _BODY.pack(len(payload), type, sequence) + payload
    return _U64.pack(xxh3_64_intdigest(body, seed)) + body


def scan(data: bytes, salt: bytes, lowest: int) -> Iterator[Record | Damage]:
    """Everything after the header, in order: valid records, and stretches that hold none.

    ``lowest``: no record after damage can have a smaller sequence. It keeps copies of older
    records, which may sit inside values, from being taken for records.
    """
    budget = SEARCH_BUDGET * len(data)
    offset = HEADER_BYTES
    seed = salt_seed(salt)
    while offset < len(data):
        record = _record_at(data, offset, seed)
        if record is None:
            record, spent = _search(data, offset + 1, seed, lowest, budget)
            budget -= spent
            yield Damage(offset, record.offset if record else len(data), gave_up=budget < 0)
            if record is None:
                return
        yield record
        offset = record.end
        lowest = max(lowest, record.sequence + 1)


def _record_at(data: bytes, offset: int, seed: int) -> Record | None:
    start = offset + _U64.size
    if offset + RECORD_BYTES > len(data):
        return None
    length, type, sequence = _BODY.unpack_from(data, start)
    end = offset + RECORD_BYTES + length
    if end > len(data) or length > PAYLOAD_BYTES_MAX or type not in _TYPES:
        return None
    (checksum,) = _U64.unpack_from(data, offset)
    if checksum != xxh3_64_intdigest(memoryview(data)[start:end], seed):
        return None
    return Record(offset, end, type, sequence, data[offset + RECORD_BYTES : end])


def _search(
    data: bytes, start: int, seed: int, lowest: int, budget: int
) -> tuple[Record | None, int]:
    """The next valid record at ``start`` or later, and the bytes that it took to look.

    Every record shows a type and the upper half of a sequence that is known within 2**32; ``re``
    visits those places at the speed of C, and only there are a length and a checksum worth reading.
    """
    upper = lowest >> 32
    uppers = (half.to_bytes(4, "big") for half in (upper, (upper + 1) & 0xFFFFFFFF))
    likely = re.compile(b"[\x01\x02](?:" + b"|".join(map(re.escape, uppers)) + b")")
    spent = 0
    match = likely.search(data, start + _TYPE_OFFSET)
    while match and spent <= budget:
        offset = match.start() - _TYPE_OFFSET
        spent += RECORD_BYTES
        if offset + RECORD_BYTES <= len(data):
            length, _, sequence = _BODY.unpack_from(data, offset + _U64.size)
            if sequence >= lowest and offset + RECORD_BYTES + length <= len(data):
                record = _record_at(data, offset, seed)
                if record is not None:
                    return record, spent
                spent += length
        match = likely.search(data, match.start() + 1)
    return None, spent
