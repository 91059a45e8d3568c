"""Fair shares against a slow oracle, and what zones may own."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.ring.quotas import fair_shares, zones_of
from tests.ring.rings import ring


@pytest.mark.parametrize(
    ("total", "weights", "lows", "highs", "shares"),
    [
        (12, [1, 1, 1], [0, 0, 0], [9, 9, 9], [4, 4, 4]),
        (12, [1, 2, 3], [0, 0, 0], [9, 9, 9], [2, 4, 6]),
        (12, [1, 2, 9], [0, 0, 0], [9, 9, 6], [2, 4, 6]),  # the brim of the third
        (12, [1, 1, 9], [0, 5, 0], [9, 9, 9], [Fraction(7, 10), 5, Fraction(63, 10)]),
        (12, [5, 1, 1], [4, 4, 4], [9, 9, 9], [4, 4, 4]),  # nothing above the floors
        (12, [5, 1, 1], [0, 0, 0], [4, 4, 4], [4, 4, 4]),  # nothing below the brims
    ],
)
def test_shares(
    total: int, weights: list[int], lows: list[int], highs: list[int], shares: list[Fraction]
) -> None:
    assert fair_shares(total, weights, lows, highs) == shares


@given(st.data())
def test_shares_add_up_and_stand_at_one_level(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.tuples(st.integers(1, 20), st.integers(0, 50), st.integers(0, 50)),
            min_size=1,
            max_size=8,
        )
    )
    weights = [weight for weight, _, _ in rows]
    lows = [low for _, low, _ in rows]
    highs = [low + more for _, low, more in rows]
    total = data.draw(st.integers(sum(lows), sum(highs)))

    shares = fair_shares(total, weights, lows, highs)

    assert sum(shares) == total
    between = [s for s, low, high in zip(shares, lows, highs, strict=True) if low < s < high]
    assert all(low <= s <= high for s, low, high in zip(shares, lows, highs, strict=True))
    levels = {
        share / weight
        for share, weight, low, high in zip(shares, weights, lows, highs, strict=True)
        if low < share < high
    }
    assert len(levels) == (1 if between else 0)
    for level in levels:
        for share, weight, low, high in zip(shares, weights, lows, highs, strict=True):
            assert share == min(max(level * weight, low), high)


def test_members_without_a_zone_are_zones_of_their_own() -> None:
    zones = zones_of(ring(6).members, 3, 256)
    assert [(zone.base, zone.extra) for zone in zones] == [(0, 140)] * 6
    assert [zone.bounds for zone in zones] == [{index: 140} for index in range(6)]


def test_the_bound_is_the_share_rounded_up_where_a_tenth_more_is_less_than_one() -> None:
    (bound,) = zones_of(ring(95).members, 3, 256)[0].bounds.values()
    assert 256 * 3 / 95 * 1.10 < 9
    assert bound == 9


def test_as_many_zones_as_copies_hold_one_each() -> None:
    zones = zones_of(ring(9, zone=lambda i: "abc"[i % 3]).members, 3, 256)
    assert [(zone.base, zone.extra) for zone in zones] == [(1, 23)] * 3  # 3 * 93 - 256, unused


def test_few_zones_hold_copies_evenly_as_far_as_they_have_members() -> None:
    zones = zones_of(ring(6, n=5, zone=lambda i: "aabccc"[i]).members, 5, 256)
    assert [zone.base for zone in zones] == [2, 1, 2]
    assert [len(zone.bounds) for zone in zones] == [2, 1, 3]
    assert [list(zone.bounds.values()) for zone in zones[:2]] == [[256, 256], [256]]


def test_a_zone_of_one_member_owns_everything_when_zones_are_few() -> None:
    zones = zones_of(ring(11, zone=lambda i: "abbbbbccccc"[i]).members, 3, 256)
    assert zones[0].bounds == {0: 256}
    assert set(zones[1].bounds.values()) == {56}
