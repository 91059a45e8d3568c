"""The tree of one partition: 1,024 leaves that together say what a store holds, kept in step with
every write.

A *leaf* is the sum modulo 2^128 of one keyed hash of (key, digest) for each record whose key falls
into it. A *branch* is the sum of 32 leaves, the *root* the sum of 32 branches. A write takes one
hash out and puts one in, at each level; nothing is read, and nothing has to be computed afterwards.

Rules:
    - The tree depends on the contents only, never on the order or number of the writes that made
      them.
    - Sums, not exclusive-or. With that, what comes twice is gone: a record that was counted twice
      by mistake looks like one that is missing, and among any 129 hashes some always cancel out.
    - The hash covers key and digest together. So records that change places, or change in the same
      way, never make up for each other.
    - A branch need not be a hash of its leaves: which leaf a key falls into depends on the key
      alone, so the order of leaves says nothing that a sum would lose.
    - Digest 0 means "no record", as in ``wire.record``.
    - All owners use the same seed, and nobody outside knows it: else one could choose keys that
      meet in one leaf. The hash is not cryptographic; members are trusted.
    - Hash, leaf and encoding are fixed for ever: trees of different versions of this library are
      compared.

Sources: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at
Reduced Cost" (EUROCRYPT 1997), for sums of hashes; Dynamo (DeCandia et al., SOSP 2007) section 4.7
for a tree for each partition.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

FAN_OUT: Final = 32
"""Branches of a root, and leaves of a branch: two steps lead to a leaf, and what is compared in
each takes 512 bytes."""

LEAVES: Final = FAN_OUT * FAN_OUT
"""At 10^6 records in a partition about a thousand share a leaf: listing them takes 18 KB."""

SUM_BYTES: Final = 16
BRANCH_BYTES: Final = FAN_OUT * SUM_BYTES

TREE_VERSION: Final = 1

_MODULUS: Final = 1 << 8 * SUM_BYTES
_U64_MAX: Final = (1 << 64) - 1
_ZEROS: Final = bytes(BRANCH_BYTES)
_SUM: Final = Struct(">QQ")  # halves: slices of 16 bytes and their integers cost twice as much
_HEAD: Final = Struct(">B3xI")
_CHECKSUM_BYTES: Final = 8


def leaf_of(key: bytes, seed: int) -> int:
    """The leaf, 0 to ``LEAVES`` - 1, that a key falls into: the low bits of its hash. The high ones
    may be what chose the partition, and then they are the same for all its keys."""
    return xxh3_64_intdigest(key, seed) % LEAVES


class Sums(Protocol):
    """What is compared with another one: a tree, or whoever keeps one."""

    seed: int

    def root(self) -> bytes:
        """The sum of everything, ``SUM_BYTES``."""
        ...

    def branches(self) -> bytes:
        """The sums of all branches, one after the other."""
        ...

    def leaves(self, branch: int) -> bytes:
        """The sums of one branch's leaves, one after the other."""
        ...


class Tree:
    """What one store holds of one partition.

    Leaves come into memory with their branch's first record: an empty tree takes 1 KB, a full one
    20 KB.
    """

    __slots__ = ("_branches", "_leaves", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._branches = [0] * FAN_OUT
        self._leaves: list[bytearray | None] = [None] * FAN_OUT

    def replace(self, key: bytes, old: int, new: int) -> None:
        """The record of this key had digest ``old`` and now has ``new``; 0 where there is none.

        ``old`` must be what the tree was last told of this key: it cannot know.
        """
        if old == new:
            return
        seed = self.seed
        change = xxh3_128_intdigest(new.to_bytes(8) + key, seed) if new else 0
        if old:
            change -= xxh3_128_intdigest(old.to_bytes(8) + key, seed)
        branch, leaf = divmod(xxh3_64_intdigest(key, seed) % LEAVES, FAN_OUT)
        self._branches[branch] = (self._branches[branch] + change) % _MODULUS
        leaves = self._leaves[branch]
        if leaves is None:
            leaves = self._leaves[branch] = bytearray(BRANCH_BYTES)
        high, low = _SUM.unpack_from(leaves, leaf * SUM_BYTES)
        total = (high << 64) + low + change
        _SUM.pack_into(leaves, leaf * SUM_BYTES, total >> 64 & _U64_MAX, total & _U64_MAX)

    def root(self) -> bytes:
        """The sum of everything, ``SUM_BYTES``."""
        return (sum(self._branches) % _MODULUS).to_bytes(SUM_BYTES)

    def branches(self) -> bytes:
        """The sums of all branches, one after the other."""
        return b"".join(branch.to_bytes(SUM_BYTES) for branch in self._branches)

    def leaves(self, branch: int) -> bytes:
        """The sums of one branch's leaves, one after the other: leaf number ``branch * FAN_OUT``
        comes first."""
        leaves = self._leaves[branch]
        return _ZEROS if leaves is None else bytes(leaves)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tree):
            return NotImplemented
        return self.encode() == other.encode()

    def encode(self) -> bytes:
        """The tree as bytes, to be kept over a clean stop. Big-endian::

        version u8 = 1 | zero 3 bytes | which branches have leaves u32, branch 0 in its low bit

        for each of these: 32 x sum of a leaf u128

        checksum u64, hashed with the seed
        """
        present = 0
        parts = [b""]
        for branch, leaves in enumerate(self._leaves):
            if leaves is not None and any(leaves):
                present |= 1 << branch
                parts.append(bytes(leaves))
        parts[0] = _HEAD.pack(TREE_VERSION, present)
        body = b"".join(parts)
        return body + xxh3_64_intdigest(body, self.seed).to_bytes(_CHECKSUM_BYTES)


def decode(data: bytes, seed: int) -> Tree:
    """The tree in these bytes.

    Raises:
        ValueError: they are damaged, of another version, or of a tree with another seed. The tree
            then has to be built anew from the store.
    """
    body = data[:-_CHECKSUM_BYTES]
    if len(body) < _HEAD.size or xxh3_64_intdigest(body, seed).to_bytes(8) != data[len(body) :]:
        raise ValueError("tree with a wrong checksum, or of another ring")
    version, present = _HEAD.unpack_from(body)
    if version != TREE_VERSION:
        raise ValueError(f"tree of version {version}, this library reads {TREE_VERSION}")
    if len(body) != _HEAD.size + present.bit_count() * BRANCH_BYTES:
        raise ValueError("tree of another length than its branches")
    tree = Tree(seed)
    at = _HEAD.size
    for branch in range(FAN_OUT):
        if present >> branch & 1:
            leaves = body[at : at + BRANCH_BYTES]
            at += BRANCH_BYTES
            tree._leaves[branch] = bytearray(leaves)
            total = sum((high << 64) + low for high, low in _SUM.iter_unpack(leaves))
            tree._branches[branch] = total % _MODULUS
    return tree


def differing(ours: bytes, theirs: bytes) -> list[int]:
    """The places at which these sums, one after the other, differ.

    Raises:
        ValueError: they are not equally many.
    """
    if len(ours) != len(theirs):
        raise ValueError("sums of trees with different shapes")
    slices = (slice(at, at + SUM_BYTES) for at in range(0, len(ours), SUM_BYTES))
    return [place for place, part in enumerate(slices) if ours[part] != theirs[part]]
