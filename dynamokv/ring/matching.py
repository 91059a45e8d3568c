"""Partitions choose bins (zones, members, a primary): nearest first, none above its bound.

First every partition, in order, takes the nearest bins that have room. When bounds are tight, the
last partitions can find room only in bins that they hold already. Then somebody must make room:
partition P takes bin B, which is full, from partition Q, and Q takes bin C, which has room. The
shortest such chain of any length is an augmenting path of the bipartite graph, and it exists
whenever the bounds can be met at all.

Rules:
    - The result depends on the arguments only: no set is iterated.
    - Chains are as short as possible, so that as few partitions as possible leave their nearest
      bins.

Sources: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (arXiv 1608.01350)
for the first pass; Ford and Fulkerson 1956, in the shortest-path form of Edmonds and Karp 1972, for
the repair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

Choices: TypeAlias = Callable[[int], Iterable[int]]
"""Partition -> the bins it may hold, nearest first; a bin may come again. Asked repeatedly, always
answers the same."""


def match(
    demands: Mapping[int, int], choices: Choices, bounds: Mapping[int, int]
) -> dict[int, list[int]]:
    """Distinct bins for each partition, as many as it demands, and no bin above its bound.

    Args:
        demands: partition -> number of bins, 1 or more.
        choices: see ``Choices``; yields only bins that have a bound.
        bounds: bin -> how many partitions it may serve.

    Returns:
        Partition -> bins, in the order of ``demands``; the bins of one partition in no particular
        order.
    """
    held: dict[int, list[int]] = {partition: [] for partition in demands}
    room = dict(bounds)
    for partition, demand in demands.items():
        mine = held[partition]
        for bin_ in choices(partition):
            if room[bin_] > 0 and bin_ not in mine:
                mine.append(bin_)
                room[bin_] -= 1
                if len(mine) == demand:
                    break
    for partition, demand in demands.items():
        while len(held[partition]) < demand:
            _make_room(partition, choices, held, room)
    return held


def _make_room(
    start: int, choices: Choices, held: dict[int, list[int]], room: dict[int, int]
) -> None:
    """Give ``start`` one more bin by the shortest chain of partitions that each hand one on."""
    taker_of: dict[int, int] = {}
    """Bin -> the partition that would take it."""
    given_by: dict[int, int] = {start: -1}
    """Partition -> the bin that it would hand on; ``start`` hands on none."""
    full: deque[int] = deque()
    takers = [start]
    while True:
        for taker in takers:
            for bin_ in choices(taker):
                if bin_ in taker_of or bin_ in held[taker]:
                    continue
                taker_of[bin_] = taker
                if room[bin_] > 0:
                    _hand_on(start, bin_, taker_of, given_by, held, room)
                    return
                full.append(bin_)
        assert full, "the bounds leave no room: the caller computed them wrongly"
        wanted = full.popleft()
        takers = [p for p, bins in held.items() if wanted in bins and p not in given_by]
        given_by.update(dict.fromkeys(takers, wanted))


def _hand_on(
    start: int,
    bin_: int,
    taker_of: Mapping[int, int],
    given_by: Mapping[int, int],
    held: dict[int, list[int]],
    room: dict[int, int],
) -> None:
    """Walk back from the bin with room to ``start``: each one takes a bin and hands one on."""
    room[bin_] -= 1
    taker = taker_of[bin_]
    held[taker].append(bin_)
    while taker != start:
        bin_ = given_by[taker]
        held[taker].remove(bin_)
        taker = taker_of[bin_]
        held[taker].append(bin_)
