"""The filter of a table: is a key surely not in it?

Knows: hashes of keys. Must not know: keys, tables.

A register-blocked Bloom filter (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient
Bloom Filters", WEA 2007): all bits of a key are in one word of 64, so that a look is one index and
one ``&``. It costs a few more false positives than bits all over the filter would, and saves most
of their time. Words are kept inverted: a word begins with all bits set and a key clears its own, so
that a bit of its mask that is still set says "surely absent", without a comparison.

Fixed for ever, because it is on disk: which hash, which word, which mask.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError

key_hash = xxh3_64_intdigest
"""The hash of a key, of 64 bits. Never Python's own, which differs between processes."""

WORD_BITS: Final = 64
MASK_SHIFT: Final = 52
"""The upper 12 bits of a hash choose one of 4,096 masks; all of it, modulo, the word."""

MASK_BITS: Final = 5
"""Best for 10 to 14 bits a key in blocks of this size."""

_EVERY: Final = (1 << WORD_BITS) - 1

OPEN: Final = array("Q", [0])
"""The words of a filter that lets every key through."""


@cache
def masks() -> tuple[int, ...]:
    """For each value of a hash's upper bits, five bits to look at.

    Mask ``i`` has the first five different numbers among the digits to base 64, lowest first, of
    the xxh3-64 of ``i`` as two bytes; ``i + 4096`` and so on follow, should that have too few.
    """
    return tuple(_mask(i) for i in range(1 << WORD_BITS - MASK_SHIFT))


@cache
def _keeps() -> tuple[int, ...]:
    """All bits but those of each mask."""
    return tuple(_EVERY ^ mask for mask in masks())


def _mask(i: int) -> int:
    mask = 0
    while True:
        digits = xxh3_64_intdigest(i.to_bytes(2, "big"))
        for _ in range(10):
            mask |= 1 << (digits & 63)
            if mask.bit_count() == MASK_BITS:
                return mask
            digits >>= 6
        i += 4096


def build(hashes: Iterable[int], count: int, bits: int) -> array[int]:
    """A filter for ``count`` hashes with about so many bits for each; for 0 bits, ``OPEN``."""
    if not bits or not count:
        return OPEN
    size = -(-count * bits // WORD_BITS)
    keep = _keeps()
    words = [_EVERY] * size
    for hash in hashes:
        words[hash % size] &= keep[hash >> MASK_SHIFT]
    return array("Q", words)


def lets_through(words: Sequence[int], hash: int) -> bool:
    """Whether the key of this hash may be there. ``View.find`` and ``Table.get`` say it in line."""
    return not words[hash % len(words)] & masks()[hash >> MASK_SHIFT]


def encode(words: array[int]) -> bytes:
    """The words, big-endian."""
    return _big_endian(words).tobytes()


def decode(payload: bytes) -> array[int]:
    """Words of a payload.

    Raises:
        CorruptionError: there are none, or not whole ones.
    """
    words = array("Q")
    if not payload or len(payload) % words.itemsize:
        raise CorruptionError(f"a filter of {len(payload)} bytes")
    words.frombytes(payload)
    return _big_endian(words)


def _big_endian(words: array[int]) -> array[int]:
    if sys.byteorder == "little":
        words = words[:]
        words.byteswap()
    return words
