"""Where keys and members stand: the fixed hashes of the ring.

A *position* is an unsigned 64-bit integer on a circle. Keys and virtual nodes stand on the same
circle, hashed with the seed of the cluster, so that two clusters spread the same keys differently
and nobody outside can aim at a partition.

Rules:
    - The algorithms are fixed for ever: data on disk lies where they put it. Golden values in the
      tests hold them.
    - Never the built-in hash: it differs between processes.
    - xxh3 is fast, not cryptographic. Nothing here proves who somebody is.

Sources: Dynamo (DeCandia et al., SOSP 2007) section 4.2 and 6.2, strategy 3: equal partitions.
xxHash, XXH3 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xxhash import xxh3_64_intdigest

from dynamokv.types import NodeId

POSITION_BITS: Final = 64

POSITIONS: Final = 1 << POSITION_BITS
"""How many there are: distances on the circle are taken modulo this."""

position_of: Final[Callable[[bytes, int], int]] = xxh3_64_intdigest
"""``position_of(key, seed)``: where a key stands. The hash itself, without a Python frame around
it, because every request calls it: ``position_of(key, seed) >> partition_shift(partitions)`` is the
key's partition."""


def partition_shift(partitions: int) -> int:
    """How far to shift a position to the right to get its partition; compute it once for each ring.

    Raises:
        ValueError: ``partitions`` is not a power of two.
    """
    if partitions < 1 or partitions & (partitions - 1):
        raise ValueError(f"partitions must be a power of two, not {partitions}")
    return POSITION_BITS + 1 - partitions.bit_length()


def partition_of(key: bytes, seed: int, partitions: int) -> int:
    """The partition, 0 to ``partitions`` - 1, that a key belongs to: the top bits of its position.

    Raises:
        ValueError: ``partitions`` is not a power of two.
    """
    return position_of(key, seed) >> partition_shift(partitions)


def tokens_of(node_id: NodeId, seed: int, count: int) -> tuple[int, ...]:
    """The positions of a member's first ``count`` virtual nodes, by number and so not sorted.

    Token ``i`` never depends on ``count``: a member with a greater weight keeps its tokens and gets
    more.
    """
    return tuple(
        xxh3_64_intdigest(node_id + number.to_bytes(4, "big"), seed) for number in range(count)
    )
