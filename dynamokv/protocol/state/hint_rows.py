"""Rows of the region of hints: what one says, and where those of a partition are.

Knows: their encoding. Must not know: who keeps how many of them, and who gets them when.

::

    key   = HINTS | target id | row key of what was missed
    value = kind u8 | since u64, wall time in ms | content
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys

_HEAD = Struct(">BQ")


class Kind(IntEnum):
    """What is behind the head of a hint. Numbers on disk: append only."""

    KEPT = 1
    OWED = 2


class Hint(NamedTuple):
    """One row of the region, taken apart; ``since_ms``: wall time of the first miss."""

    target: NodeId
    key: bytes
    kind: Kind
    since_ms: int
    content: bytes

    @classmethod
    def read(cls, at: bytes, value: bytes) -> Hint:
        """From the row."""
        target, key = row_keys.split_hint_row(at)
        kind, since_ms = _HEAD.unpack_from(value)
        return cls(target, key, Kind(kind), since_ms, value[_HEAD.size :])

    @staticmethod
    def pack(kind: Kind, since_ms: int, content: bytes) -> bytes:
        """The row's value."""
        return _HEAD.pack(kind, since_ms) + content

    @property
    def partition(self) -> int:
        """Of the row that was missed."""
        return row_keys.partition_of(self.key)


def partitions_of(at: bytes) -> list[int]:
    """The partition that this place in the region is in, if it is in one."""
    row = row_keys.split_hint_row(at)[1]
    return [row_keys.partition_of(row)] if len(row) >= row_keys.ROW_PREFIX_BYTES - 1 else []


def after_partition(at: bytes) -> bytes:
    """Where the next partition of the same target begins."""
    target, row = row_keys.split_hint_row(at)
    return row_keys.HINTS + target + (row_keys.partition_of(row) + 1).to_bytes(2)
