"""The bytes of the log engine: headers, records, and how records are found in a damaged file.

Knows: one file's bytes at a time. Must not know: directories, the order of files, what a fault
means for the store. ``docs/formats/log.md`` is the same in prose, with worked bytes;
``tests/golden`` holds it still.

Invariants:

- The header's layout is the same in every version, so that an old library can name a newer one.
- A checksum covers the salt of its file, so that bytes of another file never pass for a record.
- A length is compared with the bytes at hand before anything is allocated for it.
- Nothing in here loops for ever: a scan moves forward, and its search after damage has a budget.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv import limits
from dynamokv.errors import CorruptionError, UsageError
from dynamokv.ports import Row

MAGIC: Final = b"dynamokv"
VERSION: Final = 1
SALT_BYTES: Final = 8

PAYLOAD_BYTES_MAX: Final = 1024 * limits.MiB
"""One batch. A length above this is damage; a real batch is some hundred KiB."""

SNAPSHOT_RECORD_BYTES: Final = 256 * limits.KiB
"""Rows of a snapshot that share one record: what one flipped bit costs at most, against 21 bytes
for each record."""

SEARCH_BUDGET: Final = 16
"""The search for records after damage may read this many times the file. Values that look like
records, on purpose or not, would otherwise make it quadratic. One pass is the normal case."""

_HEADER = Struct(">8sHH8sQ")
_U64 = Struct(">Q")
_U32 = Struct(">I")
_U16 = Struct(">H")
_RECORD = Struct(">IQBQ")
_TYPE_AND_SEQUENCE = Struct(">BQ")

HEADER_BYTES: Final = _HEADER.size + _U64.size
RECORD_BYTES: Final = _RECORD.size

_TYPE_OFFSET = _U32.size + _U64.size
_DELETED: Final = 0xFFFFFFFF
_DELETED_BYTES = _U32.pack(_DELETED)


class FileKind(IntEnum):
    """What a file holds. The order is meant: a log comes before the snapshot of its number."""

    LOG = 1
    SNAPSHOT = 2


class RecordType(IntEnum):
    """What a record holds. Append-only numbers."""

    BATCH = 1
    END = 2


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
    """The start of a file. ``sequence``: of a log's first record; of the first after a snapshot."""
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


def encode_record(salt: bytes, type: RecordType, sequence: int, payload: bytes) -> bytes:
    """One record, whole, so that it leaves in one write."""
    length = _U32.pack(len(payload))
    tail = _TYPE_AND_SEQUENCE.pack(type, sequence)
    checksum = xxh3_64_intdigest(b"".join((salt, length, tail, payload)))
    return b"".join((length, _U64.pack(checksum), tail, payload))


def encode_batch(rows: Iterable[Row]) -> bytes:
    """The payload of a BATCH record.

    Raises:
        UsageError: a key, a value or all of it is over what the format can hold.
    """
    parts = [b""]
    add = parts.append
    try:
        for key, value in rows:
            add(_U16.pack(len(key)))
            add(key)
            if value is None:
                add(_DELETED_BYTES)
                add(b"")
            else:
                add(_U32.pack(len(value)))
                add(value)
    except StructError as error:
        raise UsageError(f"a key is over 65,535 bytes or a value over 4 GiB: {error}") from error
    parts[0] = _U32.pack(len(parts) // 4)
    payload = b"".join(parts)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise UsageError(f"a batch of {len(payload)} bytes is over {PAYLOAD_BYTES_MAX}: split it")
    return payload


def decode_batch(payload: bytes) -> list[Row]:
    """Rows of a BATCH payload.

    Raises:
        CorruptionError: it is no batch, although its checksum held: whoever wrote it has a bug.
    """
    rows: list[Row] = []
    try:
        (count,) = _U32.unpack_from(payload)
        at = _U32.size
        for _ in range(count):
            (key_bytes,) = _U16.unpack_from(payload, at)
            at += _U16.size
            key = payload[at : at + key_bytes]
            at += key_bytes
            (value_bytes,) = _U32.unpack_from(payload, at)
            at += _U32.size
            if value_bytes == _DELETED:
                rows.append((key, None))
            else:
                rows.append((key, payload[at : at + value_bytes]))
                at += value_bytes
    except StructError as error:
        raise CorruptionError(f"a batch ends within a row: {error}") from error
    if at != len(payload):
        raise CorruptionError(f"a batch of {len(payload)} bytes has rows for {at}")
    return rows


def decode_end(payload: bytes) -> int | None:
    """The row count of an END payload, or ``None`` when it is none."""
    return int(_U64.unpack(payload)[0]) if len(payload) == _U64.size else None


def encode_snapshot(rows: Mapping[bytes, bytes], salt: bytes, sequence: int) -> Iterator[bytes]:
    """A whole snapshot, in pieces to append: header, BATCH records numbered from 0, END.

    In the mapping's own order: sorting would hold the GIL all the while, and no reader needs it.
    """
    yield encode_header(FileKind.SNAPSHOT, salt, sequence)
    number = 0
    group: list[Row] = []
    group_bytes = 0
    for key, value in rows.items():
        group.append((key, value))
        group_bytes += len(key) + len(value)
        if group_bytes >= SNAPSHOT_RECORD_BYTES:
            yield encode_record(salt, RecordType.BATCH, number, encode_batch(group))
            number += 1
            group, group_bytes = [], 0
    if group:
        yield encode_record(salt, RecordType.BATCH, number, encode_batch(group))
        number += 1
    yield encode_record(salt, RecordType.END, number, _U64.pack(len(rows)))


def scan(data: bytes, salt: bytes, lowest: int) -> Iterator[Record | Damage]:
    """Everything after the header, in order: valid records, and stretches that hold none.

    ``lowest``: no record after damage can have a smaller sequence. It keeps copies of older
    records, which may sit inside values, from being taken for records.
    """
    budget = SEARCH_BUDGET * len(data)
    offset = HEADER_BYTES
    while offset < len(data):
        record = _record_at(data, offset, salt)
        if record is None:
            record, spent = _search(data, offset + 1, salt, lowest, budget)
            budget -= spent
            yield Damage(offset, record.offset if record else len(data), gave_up=budget < 0)
            if record is None:
                return
        yield record
        offset = record.end
        lowest = max(lowest, record.sequence + 1)


def _record_at(data: bytes, offset: int, salt: bytes) -> Record | None:
    if offset + RECORD_BYTES > len(data):
        return None
    length, checksum, type, sequence = _RECORD.unpack_from(data, offset)
    end = offset + RECORD_BYTES + length
    if end > len(data) or length > PAYLOAD_BYTES_MAX or type not in (1, 2):
        return None
    view = memoryview(data)
    covered = (salt, view[offset : offset + _U32.size], view[offset + _TYPE_OFFSET : end])
    if checksum != xxh3_64_intdigest(b"".join(covered)):
        return None
    return Record(offset, end, type, sequence, data[offset + RECORD_BYTES : end])


def _search(
    data: bytes, start: int, salt: bytes, lowest: int, budget: int
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
            length, _, _, sequence = _RECORD.unpack_from(data, offset)
            if sequence >= lowest and offset + RECORD_BYTES + length <= len(data):
                record = _record_at(data, offset, salt)
                if record is not None:
                    return record, spent
                spent += length
        match = likely.search(data, match.start() + 1)
    return None, spent
