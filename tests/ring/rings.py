"""Rings for tests: members with fixed ids, and what is counted about their placement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256

from dynamokv.ring.placement import Placement
from dynamokv.ring.topology import Member, Topology
from dynamokv.types import ClusterId, NodeId

CLUSTER_ID = ClusterId(bytes(range(16)))
CONTEXT_KEY = b"sixteen secrets!"


def node_id(number: int, family: int = 0) -> NodeId:
    """An id that looks random and is always the same; another family gives other ids."""
    return NodeId(sha256(b"%d/%d" % (family, number)).digest()[:16])


def member(number: int, zone: str = "", weight: int = 1, family: int = 0) -> Member:
    return Member(node_id(number, family), f"10.0.0.{number}:7401", zone, weight)


def ring(
    count: int,
    *,
    n: int = 3,
    partitions: int = 256,
    seed: int = 7,
    family: int = 0,
    zone: Callable[[int], str] = lambda number: "",
    weight: Callable[[int], int] = lambda number: 1,
) -> Topology:
    """A settled ring of members 0 to count - 1."""
    members = tuple(member(i, zone(i), weight(i), family) for i in range(count))
    return topology(members, n=n, partitions=partitions, seed=seed)


def topology(
    members: tuple[Member, ...], *, n: int = 3, partitions: int = 256, seed: int = 7
) -> Topology:
    return Topology(
        cluster_id=CLUSTER_ID,
        cluster="test",
        epoch=1,
        partitions=partitions,
        n=n,
        seed=seed,
        context_key=CONTEXT_KEY,
        members=members,
        change=None,
    )


def copies(placement: Placement) -> Counter[NodeId]:
    """How many partitions each member owns."""
    return Counter(owner for owners in placement.owners for owner in owners)


def primaries(placement: Placement) -> Counter[NodeId]:
    """How many partitions each member is the primary of."""
    return Counter(owners[0] for owners in placement.owners)


def moved(before: Placement, after: Placement) -> int:
    """Copies that have to be sent: owners of a partition that did not own it before."""
    pairs = zip(before.owners, after.owners, strict=True)
    return sum(len(set(new) - set(old)) for old, new in pairs)


def digest(placement: Placement) -> str:
    """All of a placement in a few letters."""
    text = repr((placement.owners, placement.ring, placement.starts))
    return sha256(text.encode()).hexdigest()[:32]
