"""How much data a join moves: little more than what the newcomer should own.

Measured over 6 families of ids and every step (256 partitions, n = 3), as copies moved for each
copy of the newcomer's fair share: 1.06 on average, 1.34 at most. The bounds here are the worst
measured, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dynamokv.ring.placement import place
from tests.ring.rings import moved, node_id, ring


@pytest.mark.parametrize("family", range(6))
def test_a_newcomer_among_equals_moves_little_more_than_its_share(family: int) -> None:
    before = place(ring(3, family=family))
    for count in range(4, 22):
        after = place(ring(count, family=family))
        assert moved(before, after) / (256 * 3 / count) <= 1.4, f"{count - 1} to {count} members"
        before = after


@pytest.mark.parametrize(
    ("zone", "bound"),
    [
        pytest.param(lambda i: "abc"[i % 3], 1.5, id="3 zones"),
        pytest.param(lambda i: "abcd"[i % 4], 2.0, id="4 zones"),
    ],
)
def test_zones_move_more_because_copies_also_change_zones(
    zone: Callable[[int], str], bound: float
) -> None:
    """From 12 members on, where zones are about equal. The share is what the newcomer got."""
    before = place(ring(12, zone=zone))
    for count in range(13, 22):
        after = place(ring(count, zone=zone))
        got = sum(node_id(count - 1) in owners for owners in after.owners)
        assert moved(before, after) / got <= bound, f"{count - 1} to {count} members"
        before = after


def test_nobody_but_the_newcomer_gains_in_a_ring_where_everybody_owns_everything() -> None:
    before, after = place(ring(3)), place(ring(4))
    for old, new in zip(before.owners, after.owners, strict=True):
        assert set(new) - set(old) <= {node_id(3)}
