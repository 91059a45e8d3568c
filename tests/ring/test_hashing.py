"""Positions, tokens and actors: fixed algorithms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.ring.hashing import (
    POSITIONS,
    partition_of,
    partition_shift,
    position_of,
    tokens_of,
)
from dynamokv.types import NodeId
from tests.ring.rings import node_id

SEEDS = st.integers(0, 2**64 - 1)
POWERS = st.integers(0, 15).map(lambda exponent: 1 << exponent)


@given(st.binary(max_size=64), SEEDS, POWERS)
def test_a_partition_is_the_top_bits_of_the_position(key: bytes, seed: int, count: int) -> None:
    partition = partition_of(key, seed, count)
    assert partition == position_of(key, seed) >> partition_shift(count)
    assert partition == position_of(key, seed) * count // POSITIONS
    assert 0 <= partition < count


def test_one_partition_holds_everything() -> None:
    assert partition_shift(1) == 64
    assert partition_of(b"key", 5, 1) == 0


@pytest.mark.parametrize("count", [0, -1, -256, 3, 255, 257])
def test_only_powers_of_two_are_partitions(count: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        partition_shift(count)
    with pytest.raises(ValueError, match="power of two"):
        partition_of(b"key", 0, count)


def test_keys_spread_over_partitions() -> None:
    counts = [0] * 16
    for number in range(16_000):
        counts[partition_of(b"user:%d" % number, 3, 16)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


def test_the_seed_of_a_cluster_moves_keys_and_tokens() -> None:
    keys = [b"%d" % number for number in range(100)]
    assert [partition_of(k, 1, 256) for k in keys] != [partition_of(k, 2, 256) for k in keys]
    assert not set(tokens_of(node_id(0), 1, 64)) & set(tokens_of(node_id(0), 2, 64))


@given(st.binary(min_size=16, max_size=16).map(NodeId), SEEDS, st.integers(0, 200))
def test_more_tokens_keep_the_first_ones(node: NodeId, seed: int, count: int) -> None:
    tokens = tokens_of(node, seed, count)
    assert len(tokens) == count
    assert all(0 <= token < POSITIONS for token in tokens)
    assert tokens_of(node, seed, count + 50)[:count] == tokens
