"""Who owns what: a pure function from the topology to the owners of each partition.

The circle of positions is cut into equal partitions, for ever. Members stand on it with virtual
nodes. From its start a partition walks clockwise and takes the first members it meets, except that

1. its owners are distinct members, in as many distinct zones as there are, evenly;
2. no member owns more than ``LOAD_FACTOR`` times its fair share, or the share rounded up where that
   is more;
3. its primary (the first owner) is chosen so that primaries are spread like copies; the others
   follow by nearness.

Zones come before load: the copies of a partition in one zone are lost together, and that loses
data, while a loaded member is only slow, and visibly so. So a zone of one member, next to two zones
of five, owns everything. A member without a zone is a zone of its own.

A fair share is in proportion to weight, as far as rule 1 lets it: nobody owns a partition twice.

Rules:
    - The result depends on the set of members, the seed, n and the number of partitions, never on
      the order of members, the epoch or an address: an owner changes only when something about
      ownership changes.
    - Of a member, its place counts, not its id: who replaces another stands on its tokens, and all
      lists of owners stay as they were, but for the name.
    - Adding a member moves little more than its fair share, because everyone else's tokens stay;
      the excess comes from the bounds, which get tighter for all. Measured with 256 partitions,
      n = 3 and equal weights, from 3..20 members to one more: 1.06 times the newcomer's share on
      average, 1.34 at most (``tests/ring/test_movement.py``). Where a partition is a tenth of a
      share or more, rounding makes the bound jump, and single steps move more: an eighth of all
      data from 95 members to 96, where everybody owns exactly 8. More partitions cure that.

Sources: Dynamo (DeCandia et al., SOSP 2007) section 6.2, strategy 3, and 4.3 and 4.6 for preference
lists; Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (arXiv 1608.01350).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from dynamokv import limits
from dynamokv.ring.hashing import POSITIONS, partition_shift, tokens_of
from dynamokv.ring.matching import match
from dynamokv.ring.quotas import Zone, zones_of
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId

_Bin = TypeVar("_Bin")

PLACED_MAX: Final = 8
"""Topologies whose placement is kept: the members of a ring in one process need the same one."""


class Preference(NamedTuple):
    """One entry of a preference list.

    Attributes:
        node: who to ask.
        primary: True for an owner, False for a fallback.
        stands_for: the owner that a fallback keeps a hint for; None for an owner.
    """

    node: NodeId
    primary: bool
    stands_for: NodeId | None


@dataclass(frozen=True, slots=True)
class Placement:
    """What ``place`` found. Make it once for each topology.

    Attributes:
        owners: for each partition its owners, the primary first. ``owners[p]`` is the whole hot
            path.
        ring: the member of each token, clockwise from position 0.
        starts: for each partition the index into ``ring`` of the first token at or after its start;
            ``len(ring)`` when there is none before position 0 comes again.
    """

    owners: tuple[tuple[NodeId, ...], ...]
    ring: tuple[NodeId, ...]
    starts: tuple[int, ...]


def preference_list(
    partition: int, placement: Placement, up: Collection[NodeId]
) -> tuple[Preference, ...]:
    """Who serves a partition: its owners in order, up or not, then a fallback for each one not up.

    Fallbacks come in the order of the owners they stand for. They are the next members on the ring
    that are up and are no owners, each once; when these run out, the last owners that are down have
    none.

    Args:
        partition: 0 to partitions - 1.
        placement: of the current topology.
        up: members that answer, best as a set; may hold strangers, who never serve.
    """
    owners = placement.owners[partition]
    primaries = tuple(Preference(owner, True, None) for owner in owners)
    down = [owner for owner in owners if owner not in up]
    # In a ring of three nobody can stand in for anybody: do not walk round it on every request to
    # find that out.
    if not down or all(node in owners for node in up):
        return primaries
    walk = _lap(placement.ring, placement.starts[partition])
    fallbacks = _distinct(node for node in walk if node in up and node not in owners)
    # ``down`` comes first, so that the walk ends as soon as everyone down has a fallback.
    return primaries + tuple(
        Preference(node, False, owner) for owner, node in zip(down, fallbacks, strict=False)
    )


@lru_cache(maxsize=PLACED_MAX)
def place(topology: Topology) -> Placement:
    """The owners of every partition, by the rules at the head of this file.

    Takes some 10 ms for 100 members of weight 1: once for each topology, never for each request.
    """
    members = sorted(topology.members, key=lambda member: member.place)
    tokens = [
        sorted(tokens_of(m.place, topology.seed, limits.VNODES_PER_WEIGHT * m.weight))
        for m in members
    ]
    circle = sorted((token, index) for index, mine in enumerate(tokens) for token in mine)
    positions = [position for position, _ in circle]
    ring = [index for _, index in circle]
    shift = partition_shift(topology.partitions)
    starts = [bisect_left(positions, p << shift) for p in range(topology.partitions)]

    zones = zones_of(members, topology.replicas, topology.partitions)
    chosen = _choose(zones, ring, starts, topology.replicas)
    near = [
        sorted(indices, key=lambda index: (_distance(p << shift, tokens[index]), index))
        for p, indices in enumerate(chosen)
    ]
    return Placement(
        owners=tuple(
            tuple(members[index].node_id for index in indices) for indices in _primaries_first(near)
        ),
        ring=tuple(members[index].node_id for index in ring),
        starts=tuple(starts),
    )


def _choose(
    zones: Sequence[Zone], ring: Sequence[int], starts: Sequence[int], replicas: int
) -> list[list[int]]:
    """For each partition its owners, as indices of members: first zones, then members of each."""
    partitions = range(len(starts))
    zone_of = {index: number for number, zone in enumerate(zones) for index in zone.bounds}
    extras = replicas - sum(zone.base for zone in zones)
    extra_zones = match(
        {p: extras for p in partitions if extras},
        lambda p: map(zone_of.__getitem__, _lap(ring, starts[p])),
        {number: zone.extra for number, zone in enumerate(zones)},
    )
    chosen: list[list[int]] = [[] for _ in partitions]
    for number, zone in enumerate(zones):
        demands = {p: zone.base + (number in extra_zones.get(p, ())) for p in partitions}
        for p, indices in _within(zone, demands, ring, starts).items():
            chosen[p] += indices
    return chosen


def _within(
    zone: Zone, demands: Mapping[int, int], ring: Sequence[int], starts: Sequence[int]
) -> dict[int, list[int]]:
    """Of one zone, the members nearest to each partition."""
    return match(
        {p: demand for p, demand in demands.items() if demand},
        lambda p: filter(zone.bounds.__contains__, _lap(ring, starts[p])),
        zone.bounds,
    )


def _primaries_first(near: Sequence[Sequence[int]]) -> list[list[int]]:
    """Each partition's owners with the primary moved to the front.

    A member is primary for at most its copies divided by the number of replicas, rounded up. That
    can always be met: it would be exact if every owner were primary for an equal part of the
    partition.
    """
    copies = Counter(index for indices in near for index in indices)
    replicas = len(near[0])
    primaries = match(
        dict.fromkeys(range(len(near)), 1),
        near.__getitem__,
        {index: -(-count // replicas) for index, count in copies.items()},
    )
    return [
        primaries[p] + [index for index in indices if index not in primaries[p]]
        for p, indices in enumerate(near)
    ]


def _distance(start: int, tokens: Sequence[int]) -> int:
    """How far it is clockwise from ``start`` to the nearest of a member's sorted tokens."""
    nearest = bisect_left(tokens, start) % len(tokens)
    return (tokens[nearest] - start) % POSITIONS


def _lap(ring: Sequence[_Bin], start: int) -> Iterator[_Bin]:
    """Once round the ring from an index, which may be its length. Negative indices count from the
    end, so no modulo."""
    return (ring[index] for index in range(start - len(ring), start))


def _distinct(nodes: Iterable[NodeId]) -> Iterator[NodeId]:
    """Each node once, as soon as it first comes."""
    seen: set[NodeId] = set()
    for node in nodes:
        if node not in seen:
            seen.add(node)
            yield node
