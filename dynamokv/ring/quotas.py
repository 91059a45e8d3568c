"""How much each zone and each member may own: fair shares, and the bounds above them.

Rules:
    - A partition's copies lie in as many zones as there are, evenly: no zone gets a second copy
      before each has one, nor a third before each has two, as far as it has members.
    - Within that, shares are in proportion to weight, and nobody owns a partition twice.
    - No member may own more than ``LOAD_FACTOR`` times its fair share, or the share rounded up
      where that is more: somebody has to own the remainder. A zone may own what its members may.
    - Exact fractions: a share that two machines round differently would place data differently.

Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (arXiv 1608.01350).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Final

from dynamokv import limits
from dynamokv.ring.topology import Member

_LOAD_FACTOR: Final = Fraction(str(limits.LOAD_FACTOR))
"""Exactly 1.10, which no float is."""


@dataclass(frozen=True, slots=True)
class Zone:
    """What one zone and its members may own.

    Attributes:
        base: copies of every single partition that it certainly holds.
        extra: partitions of which it may hold one copy more.
        bounds: member, as an index into the members given to ``zones_of`` -> partitions it may own.
    """

    base: int
    extra: int
    bounds: dict[int, int]


def zones_of(members: Sequence[Member], replicas: int, partitions: int) -> list[Zone]:
    """The zones of a ring in order of their first member. A member without a zone is one by itself.

    The bounds can always be met: fractions of partitions fill them exactly at the fair shares, and
    where a bipartite graph has a fractional flow under whole bounds, it has a whole one.
    """
    # A zone's name is text and a lone member's is bytes, so they never meet.
    grouped: dict[str | bytes, list[int]] = {}
    for index, member in enumerate(members):
        grouped.setdefault(member.zone or member.place, []).append(index)
    zones = list(grouped.values())

    level = _level([len(zone) for zone in zones], replicas)
    bases = [min(len(zone), level) for zone in zones]
    mosts = [min(len(zone), level + 1) for zone in zones]
    weights = [[members[index].weight for index in zone] for zone in zones]
    zone_shares = fair_shares(
        replicas * partitions,
        [sum(each) for each in weights],
        [partitions * base for base in bases],
        [partitions * most for most in mosts],
    )
    planned = []
    for zone, base, each, zone_share in zip(zones, bases, weights, zone_shares, strict=True):
        shares = fair_shares(zone_share, each, [0] * len(zone), [partitions] * len(zone))
        bounds = {
            index: min(partitions, max(floor(share * _LOAD_FACTOR), ceil(share)))
            for index, share in zip(zone, shares, strict=True)
        }
        extra = min(partitions, sum(bounds.values()) - partitions * base)
        planned.append(Zone(base, extra, bounds))
    return planned


def fair_shares(
    total: Fraction | int, weights: Sequence[int], lows: Sequence[int], highs: Sequence[int]
) -> list[Fraction]:
    """A total divided so that each share is ``level * weight``, kept within its low and high.

    The picture is water poured into vessels: it stands at one level in all, except where a floor is
    higher or a brim is lower.

    Args:
        total: from the sum of ``lows`` to the sum of ``highs``.
        weights: 1 or more each; as many as ``lows`` and ``highs``.
    """

    def filled(level: Fraction) -> list[Fraction]:
        return [
            min(max(level * weight, Fraction(low)), Fraction(high))
            for weight, low, high in zip(weights, lows, highs, strict=True)
        ]

    # The sum grows with the level in straight lines, which bend where a share meets its low or its
    # high. So the level lies between two neighbouring bends, and there proportion is exact.
    bends = sorted(
        {
            Fraction(bound, weight)
            for bounds in (lows, highs)
            for bound, weight in zip(bounds, weights, strict=True)
        }
    )
    above = bisect_left(bends, total, key=lambda level: sum(filled(level)))
    if above == 0:
        return filled(bends[0])
    left, right = bends[above - 1], bends[above]
    left_sum, right_sum = sum(filled(left)), sum(filled(right))
    return filled(left + (right - left) * (total - left_sum) / (right_sum - left_sum))


def _level(sizes: Sequence[int], replicas: int) -> int:
    """How many copies of every partition each zone holds for certain, if it has the members."""
    level = 0
    while level < max(sizes) and sum(min(size, level + 1) for size in sizes) <= replicas:
        level += 1
    return level
