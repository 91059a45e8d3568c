"""Bins for partitions under bounds: the first pass, and the chains that make room."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.ring.matching import match


def test_the_nearest_bins_are_taken() -> None:
    choices = [[2, 2, 1, 0], [0, 1, 2]]
    assert match({0: 2, 1: 1}, choices.__getitem__, {0: 9, 1: 9, 2: 9}) == {0: [2, 1], 1: [0]}


def test_a_full_bin_is_passed_over() -> None:
    choices = [[0, 1], [0, 1]]
    assert match({0: 1, 1: 1}, choices.__getitem__, {0: 1, 1: 1}) == {0: [0], 1: [1]}


def test_one_partition_makes_room() -> None:
    choices = [[0, 1], [0]]
    assert match({0: 1, 1: 1}, choices.__getitem__, {0: 1, 1: 1}) == {0: [1], 1: [0]}


def test_a_chain_of_partitions_makes_room() -> None:
    choices = [[0, 1], [1, 2], [2, 3], [0]]
    found = match(dict.fromkeys(range(4), 1), choices.__getitem__, dict.fromkeys(range(4), 1))
    assert found == {0: [1], 1: [2], 2: [3], 3: [0]}


def test_a_partition_short_of_a_second_bin_gets_it_from_another() -> None:
    """Only bin 2 has room, and partition 1 holds it already."""
    choices = [[0, 1, 2], [2, 0, 1]]
    assert match({0: 2, 1: 2}, choices.__getitem__, {0: 1, 1: 1, 2: 2}) == {0: [1, 2], 1: [2, 0]}


def test_a_chain_never_passes_a_partition_twice() -> None:
    """Partition 0 is met through bin 0, and again through bin 1: it hands on the first."""
    choices = [[0, 1, 2], [2, 1, 3], [3, 4], [0]]
    found = match({0: 2, 1: 1, 2: 1, 3: 1}, choices.__getitem__, dict.fromkeys(range(5), 1))
    assert found == {0: [1, 2], 1: [3], 2: [4], 3: [0]}


def test_bounds_that_cannot_be_met_are_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="no room"):
        match({0: 1, 1: 1}, [[0], [0]].__getitem__, {0: 1})


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=12), st.integers(1, 6))
def test_the_tightest_bounds_are_met(choices: list[list[int]], demand: int) -> None:
    """Bounds that add up to the demand, with no slack at all, as even as whole numbers are."""
    total = len(choices) * demand
    bounds = {bin_: (total + bin_) // 6 for bin_ in range(6)}
    found = match(dict.fromkeys(range(len(choices)), demand), choices.__getitem__, bounds)
    assert all(len(bins) == len(set(bins)) == demand for bins in found.values())
    assert Counter(b for bins in found.values() for b in bins) == +Counter(bounds)
