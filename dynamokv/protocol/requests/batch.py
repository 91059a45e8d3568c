"""Batches: names grouped by their owners, so that each group is one request and one message per
peer.

Grouping is pure and happens where the topology is known, at the caller's side; each group then wins
or fails on its own, and one bad key fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from dynamokv import limits
from dynamokv.protocol.state.home import Home
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys


def first_owner(home: Home, name: bytes) -> NodeId:
    """The owner that the puts of a name are passed on to."""
    return home.owners_of(row_keys.partition_of(home.locate(name)[0]))[0]


def group(
    home: Home, names: Sequence[bytes], sizes: Sequence[int], *, writes: bool = False
) -> list[list[int]]:
    """Positions of ``names`` in groups that share their owners, each within the limits of one
    message.

    Args:
        sizes: bytes that each name brings along (its value).
        writes: if they are passed on, they also share the owner that a single put goes to.
    """
    groups: list[list[int]] = []
    open_groups: dict[tuple[NodeId, ...], tuple[list[int], int]] = {}
    for position, (name, size) in enumerate(zip(names, sizes, strict=True)):
        owners = home.locate(name)[1]
        if writes and home.node_id not in owners:
            owners = first_owner(home, name), *owners
        members, total = open_groups.get(owners, ([], 0))
        full = len(members) >= limits.BATCH_GROUP_ITEMS or total + size > limits.BATCH_GROUP_BYTES
        if not members or full:
            members, total = [], 0
            groups.append(members)
        members.append(position)
        open_groups[owners] = (members, total + size)
    return groups
