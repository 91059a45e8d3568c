"""Keys of rows: how a bucket and a key become the bytes that are hashed, and the bytes under which
a store keeps them.

::

    name = bucket length u8 | bucket | key                  what is hashed, and what clients send
    row  = partition u16 | keyspace u8 | name               what stores and replicas use

So a partition is one contiguous range of a store. The partitions from 0x8000 up do not exist as
data: the last ones hold the store's own rows, which never leave the node under these keys::

    horizon  = 0xFFFC | partition u16                       0xFFFF: what this node has promised
    tree     = 0xFFFD | partition u16
    hint     = 0xFFFE | node id of the member it is for, 16 bytes | row
    the node = 0xFFFF | 0 u8 | "identity" or "topology"
"""

from __future__ import annotations

from typing import Final

from dynamokv import limits
from dynamokv.types import NODE_ID_BYTES, NodeId

KEYSPACE_DATA: Final = 1
"""Keyspaces are append-only numbers; 1 is what callers put."""

ROW_PREFIX_BYTES: Final = 3
ROW_KEY_BYTES_MAX: Final = (
    ROW_PREFIX_BYTES + 1 + limits.BUCKET_NAME_BYTES_MAX + limits.KEY_BYTES_MAX
)

HORIZONS: Final = b"\xff\xfc"
FLOOR_ROW: Final = HORIZONS + b"\xff\xff"
"""The horizons, one row for each partition, and behind them one for what this node promised."""

TREE_ROWS: Final = b"\xff\xfd"
END_OF_TREES: Final = b"\xff\xfe"
"""The range of the trees that a clean stop writes down, one row for each partition."""

HINTS: Final = b"\xff\xfe"
END_OF_HINTS: Final = b"\xff\xff"
"""The range of all hints; those for one member are one range within it."""

IDENTITY_ROW: Final = b"\xff\xff\x00identity"
TOPOLOGY_ROW: Final = b"\xff\xff\x00topology"

FIRST_DATA_ROW: Final = b"\x00\x00\x00"
END_OF_DATA: Final = b"\x80\x00\x00"
"""The range of all data rows, of every partition there can be."""

# Local names: these are looked at for every key of every message.
_BUCKET_MAX: Final = limits.BUCKET_NAME_BYTES_MAX
_KEY_MAX: Final = limits.KEY_BYTES_MAX
_END_OF_DATA_BYTE: Final = END_OF_DATA[0]


def name_of(bucket: bytes, key: bytes) -> bytes:
    """A key inside a bucket; the bucket without a name is ``b""``."""
    return bytes((len(bucket),)) + bucket + key


def row_key(partition: int, name: bytes) -> bytes:
    """Where a store keeps the record of a name."""
    return partition.to_bytes(2) + b"\x01" + name


def partition_range(partition: int) -> tuple[bytes, bytes]:
    """First row key of a partition, and the first one after it."""
    return partition.to_bytes(2) + b"\x00", (partition + 1).to_bytes(2) + b"\x00"


def partition_of(row: bytes) -> int:
    """The partition of a data row, or of a key that begins like one."""
    return row[0] << 8 | row[1]


def tree_row(partition: int) -> bytes:
    """Where a store keeps the tree of a partition while the node is down."""
    return TREE_ROWS + partition.to_bytes(2)


def hint_row(target: NodeId, row: bytes) -> bytes:
    """Where a store keeps the hint that this member missed a write of this row."""
    return HINTS + target + row


def split_hint_row(key: bytes) -> tuple[NodeId, bytes]:
    """The member and the row of a hint."""
    end = len(HINTS) + NODE_ID_BYTES
    return NodeId(key[len(HINTS) : end]), key[end:]


def horizon_row(partition: int) -> bytes:
    """Where a store keeps the horizon of a partition."""
    return HORIZONS + partition.to_bytes(2)


def is_name(name: bytes) -> bool:
    """Whether these bytes are what ``name_of`` makes of a bucket and a key within their limits."""
    if not name or name[0] > _BUCKET_MAX:
        return False
    return 1 <= len(name) - 1 - name[0] <= _KEY_MAX


def is_data_row(key: bytes) -> bool:
    """Whether these bytes may be the key of a row that replicas exchange."""
    rest = len(key) - ROW_PREFIX_BYTES - 1
    if rest < 1 or key[0] >= _END_OF_DATA_BYTE or key[2] != KEYSPACE_DATA:
        return False
    return key[ROW_PREFIX_BYTES] <= _BUCKET_MAX and 1 <= rest - key[ROW_PREFIX_BYTES] <= _KEY_MAX
