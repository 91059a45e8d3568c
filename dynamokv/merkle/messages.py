"""What two owners tell each other while they compare a partition.

Knows no codec and no frame. Fields follow the rules of ``wire.messages``: plain tuples, numbers
within 64 bits unsigned, parallel lists of the same length, ``id`` of a question echoed by its
answer.

A *cursor* is a key, or ``EDGE``: the partition's first key where a range starts, and behind its
last one where a range ends.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

EDGE: Final = b""


class CompareRoot(NamedTuple):
    """Do we hold the same? Answered by ``Branches``, or by ``Differing`` without a leaf for yes."""

    id: int
    epoch: int
    partition: int
    root: bytes


class Branches(NamedTuple):
    """No; these are the sums of my branches."""

    id: int
    sums: bytes


class CompareLeaves(NamedTuple):
    """Which leaves of these branches differ? ``sums`` are the asker's, of all leaves of the first
    branch, then of the second, and so on. Answered by ``Differing``."""

    id: int
    epoch: int
    partition: int
    branches: list[int]
    sums: bytes


class Differing(NamedTuple):
    """These, in order."""

    id: int
    leaves: list[int]


class CompareKeys(NamedTuple):
    """What differs between the keys of these leaves, from ``start`` on and before ``end``? The
    asker holds the ones listed, and no others. Answered by ``Compared``.

    ``hashes`` stand for keys, which can be long. They are salted differently in each exchange, so
    two keys with the same hash hide a difference only in this one.
    """

    id: int
    epoch: int
    partition: int
    leaves: list[int]
    salt: int
    start: bytes
    end: bytes
    hashes: list[int]
    digests: list[int]


class Compared(NamedTuple):
    """I hold ``keys``, and you do not hold the same for them; you hold what stands at the places
    ``missing`` in your lists, and I do not.

    True for keys before ``end``, which comes before the end of the question when the answer grew
    too long.
    """

    id: int
    end: bytes
    keys: list[bytes]
    missing: list[int]


Question: TypeAlias = CompareRoot | CompareLeaves | CompareKeys
Answer: TypeAlias = Branches | Differing | Compared
