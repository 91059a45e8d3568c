"""The bytes of a table: pieces, index, properties and footer.

Knows: bytes at hand. Must not know: files, what is wrong for a store when they are. ``block.py``
and ``bloom.py`` have the contents of the other pieces; ``docs/formats/table.md`` is all of it in
prose, with worked bytes; ``tests/golden`` holds it still.

Invariants:

- Every byte of a table is under a checksum: of the header, of a piece or of the footer.
- A checksum covers the salt of the file and the place in it, so that bytes of another file, or of
  elsewhere in this one, never pass for a piece.
- The kind of a piece is under its checksum, so that an index is never read as a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise
from struct import Struct
from struct import error as StructError
from typing import Any, Final

import cbor2
from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.codec import compress, decompress
from dynamokv.storage.lsm.framing import SALT_BYTES, salt_seed
from dynamokv.storage.lsm.options import Compression

_HEAD = Struct(">QIBB")
_CHECKSUM = Struct(">Q")
_COVERED = Struct(">IBB")
_FOOTER = Struct(f">QQQ{SALT_BYTES}s")
_U32 = Struct(">I")

_CHECKSUM_BYTES: Final = _CHECKSUM.size

PIECE_BYTES: Final = _HEAD.size
"""What a piece takes besides its payload."""

FOOTER_BYTES: Final = _FOOTER.size + _CHECKSUM.size


class PieceKind(IntEnum):
    """What a piece holds. Append-only numbers."""

    BLOCK = 1
    INDEX = 2
    FILTER = 3
    PROPERTIES = 4


def encode_piece(
    seed: int, offset: int, kind: PieceKind, payload: bytes, compression: Compression
) -> bytes:
    """A piece for this place of the file with this seed."""
    codec, stored = compress(payload, compression)
    covered = _COVERED.pack(len(stored), kind, codec) + stored
    return _CHECKSUM.pack(xxh3_64_intdigest(covered, seed ^ offset)) + covered


def decode_piece(data: bytes, seed: int, offset: int, kind: int) -> bytes:
    """The payload of a piece that is exactly these bytes.

    Raises:
        CorruptionError: they are no such piece.
    """
    if len(data) < PIECE_BYTES:
        raise CorruptionError(f"a piece of {len(data)} bytes")
    checksum, _, found_kind, codec = _HEAD.unpack_from(data)
    # Copies of a few KiB cost less than views of them.
    if checksum != xxh3_64_intdigest(data[_CHECKSUM_BYTES:], seed ^ offset):
        raise CorruptionError("the checksum does not match")
    if found_kind != kind:
        raise CorruptionError(f"a piece of kind {found_kind} is not due here")
    return decompress(data[PIECE_BYTES:], codec)


def piece_bytes(head: bytes) -> int:
    """The size of a whole piece, as its first ``PIECE_BYTES`` say. Not checked."""
    (length,) = _U32.unpack_from(head, _CHECKSUM.size)
    return PIECE_BYTES + int(length)


@dataclass(frozen=True, slots=True)
class Index:
    """Where the blocks are and what they end with."""

    last_keys: list[bytes]
    """Of each block."""
    offsets: Sequence[int]
    """Of each block, and where the last one ends."""


def encode_index(index: Index) -> bytes:
    """``count offsets key_offsets keys``, both offsets with one more at the end."""
    count = len(index.last_keys)
    columns = Struct(f">{count + 1}Q{count + 1}I")
    start = _U32.size + columns.size
    key_offsets = accumulate(map(len, index.last_keys), initial=start)
    return b"".join(
        (_U32.pack(count), columns.pack(*index.offsets, *key_offsets), *index.last_keys)
    )


def decode_index(payload: bytes) -> Index:
    """An index.

    Raises:
        CorruptionError: it is none.
    """
    try:
        (count,) = _U32.unpack_from(payload)
        # Compared before anything is allocated for it.
        if count > len(payload):
            raise CorruptionError(f"an index of {len(payload)} bytes for {count} blocks")
        columns = Struct(f">{count + 1}Q{count + 1}I").unpack_from(payload, _U32.size)
    except StructError as error:
        raise CorruptionError(f"an index ends within its columns: {error}") from error
    keys = [payload[start:end] for start, end in pairwise(columns[count + 1 :])]
    index = Index(keys, columns[: count + 1])
    if not count or encode_index(index) != payload:
        raise CorruptionError("an index contradicts itself")
    return index


@dataclass(frozen=True, slots=True)
class Properties:
    """What a table says about itself: enough to use it when the manifest is lost."""

    rows: int
    deletions: int
    first_key: bytes
    last_key: bytes
    first_sequence: int
    last_sequence: int
    blocks: int
    raw_bytes: int
    """All blocks before compression."""
    bloom_bits: int
    inputs: tuple[int, ...]
    """Numbers of the tables that it was merged from: they are older than it."""


_PROPERTIES: Final = tuple(Properties.__dataclass_fields__)


def encode_properties(properties: Properties) -> bytes:
    """A CBOR map by name, so that a later version can add to it."""
    fields: dict[str, Any] = {name: getattr(properties, name) for name in _PROPERTIES}
    return cbor2.dumps(fields | {"inputs": list(properties.inputs)})


def decode_properties(payload: bytes) -> Properties:
    """Properties; names that are not known are left out.

    Raises:
        CorruptionError: they are none.
    """
    try:
        fields = cbor2.loads(payload)
        known = {name: fields[name] for name in _PROPERTIES}
        properties = Properties(**known | {"inputs": tuple(known["inputs"])})
    except (cbor2.CBORError, LookupError, TypeError, ValueError) as error:
        raise CorruptionError(f"the properties cannot be read: {error}") from error
    return properties


@dataclass(frozen=True, slots=True)
class Footer:
    """Where the pieces behind the blocks begin; each ends where the next one begins."""

    index: int
    filter: int
    properties: int
    salt: bytes
    """The same as in the header: with one of the two, the table can still be salvaged."""


def encode_footer(footer: Footer, offset: int) -> bytes:
    """The last bytes of a table, for this place."""
    fields = _FOOTER.pack(footer.index, footer.filter, footer.properties, footer.salt)
    return fields + _CHECKSUM.pack(xxh3_64_intdigest(fields, salt_seed(footer.salt) ^ offset))


def decode_footer(data: bytes, offset: int) -> Footer:
    """A footer.

    Raises:
        CorruptionError: it is none.
    """
    if len(data) != FOOTER_BYTES:
        raise CorruptionError("the footer is cut off")
    footer = Footer(*_FOOTER.unpack_from(data))
    if encode_footer(footer, offset) != data:
        raise CorruptionError("the footer fails its checksum")
    return footer
