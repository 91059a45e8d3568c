"""Bytes made smaller where it pays.

Knows: two codecs. Must not know: what the bytes are.

Append-only numbers: each piece of a table says which one it is stored with. A context of zstd must
not be shared between threads and takes 20 us to make, so each thread keeps its own.
"""

from __future__ import annotations

from enum import IntEnum
from threading import local
from typing import Final

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.options import Compression

LEVEL: Final = 1
"""The fastest: blocks are small, and the levels above gain a few hundredths for twice the time."""

SAVING_SHIFT: Final = 3
"""Compressed bytes are kept where they save an eighth. Less is not worth the
decompression."""


class Codec(IntEnum):
    """How a piece is stored."""

    RAW = 0
    ZSTD = 1


class _Contexts(local):
    """Each thread's own. The methods, not their owners: one look-up less for every block."""

    def __init__(self) -> None:
        # The size of the content makes reading it one allocation; our checksum is around it.
        self.compress = ZstdCompressor(
            level=LEVEL, write_content_size=True, write_checksum=False
        ).compress
        self.decompress = ZstdDecompressor().decompress


_contexts = _Contexts()

# Plain numbers: comparing with a member of an enumeration takes three times as long.
_RAW: Final = int(Codec.RAW)
_ZSTD: Final = int(Codec.ZSTD)


def compress(raw: bytes, compression: Compression) -> tuple[Codec, bytes]:
    """What to store, and how."""
    if compression is Compression.ZSTD:
        stored = _contexts.compress(raw)
        if len(stored) <= len(raw) - (len(raw) >> SAVING_SHIFT):
            return Codec.ZSTD, stored
    return Codec.RAW, raw


def decompress(stored: bytes, codec: int) -> bytes:
    """What was stored.

    Raises:
        CorruptionError: the codec is unknown, or these are not its bytes.
    """
    if codec == _ZSTD:
        try:
            return _contexts.decompress(stored)
        except ZstdError as error:
            raise CorruptionError(f"zstd cannot read it: {error}") from error
    if codec == _RAW:
        return stored
    raise CorruptionError(f"codec {codec} is unknown")
