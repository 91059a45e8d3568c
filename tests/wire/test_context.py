"""Tokens: a context in a client's hands, good for one key of one ring, and for nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.causality.versions import Dot, KeyState
from dynamokv.types import Actor
from dynamokv.wire import record as records
from dynamokv.wire.context import (
    READ_TOKEN,
    SEAL_BYTES,
    WRITE_TOKEN,
    open_token,
    own_dot,
    seal_of,
    token_after,
    token_of,
)
from tests.wire.samples import STATE
from tests.wire.test_record import states

KEY = b"\x00\x03\x01\x00user:1"
RING = b"sixteen secrets!"


def token_for(state: KeyState, row_key: bytes = KEY, context_key: bytes = RING) -> bytes:
    record = records.encode(state)
    return token_of(record, seal_of(records.context_bytes(record), row_key, context_key))


TOKEN = token_for(STATE)
REFUSED = pytest.raises(ValueError, match="context")


@given(states(), st.binary(max_size=40), st.binary(min_size=16, max_size=16))
def test_round_trip(state: KeyState, row_key: bytes, context_key: bytes) -> None:
    token = token_for(state, row_key, context_key)
    assert open_token(token, row_key, context_key) == state.context


def test_layout() -> None:
    """Clients keep tokens while members are upgraded: this one must open for ever."""
    entries = records.context_bytes(records.encode(STATE))
    assert b"\x01" + bytes.fromhex("943bf8ca15e387e3") + entries == TOKEN
    assert (READ_TOKEN, SEAL_BYTES) == (b"\x01", 8)


@pytest.mark.parametrize(
    "row_key",
    [b"", KEY[:-1], KEY + b"1", KEY[:-1] + b"2", b"\x00\x04" + KEY[2:]],
    ids=["none", "shorter", "longer", "another", "another partition"],
)
def test_bound_to_its_key(row_key: bytes) -> None:
    with REFUSED:
        open_token(TOKEN, row_key, RING)


@pytest.mark.parametrize("context_key", [b"", b"another secrets!", bytes(16), RING[:15]])
def test_bound_to_its_ring(context_key: bytes) -> None:
    with REFUSED:
        open_token(TOKEN, KEY, context_key)


def test_any_flipped_bit() -> None:
    for position in range(len(TOKEN) * 8):
        damaged = bytearray(TOKEN)
        damaged[position // 8] ^= 1 << position % 8
        with REFUSED:
            open_token(bytes(damaged), KEY, RING)


def test_cut_short_anywhere() -> None:
    for size in range(len(TOKEN)):
        with REFUSED:
            open_token(TOKEN[:size], KEY, RING)


@pytest.mark.parametrize("more", [b"\0", bytes(16), b"z" * 8 + (1).to_bytes(8)])
def test_made_longer(more: bytes) -> None:
    with REFUSED:
        open_token(TOKEN + more, KEY, RING)


def test_bytes_do_not_move_between_key_and_context() -> None:
    """The seal covers how long the key is: a longer key with a shorter context is another pair."""
    entries = records.context_bytes(records.encode(STATE))
    assert seal_of(entries[16:], KEY + entries[:16], RING) != seal_of(entries, KEY, RING)


def test_a_sealed_context_is_still_a_context() -> None:
    """The seal proves who made it. What it holds is checked as everything else."""
    for entries in (b"x", bytes(16)):
        with pytest.raises(ValueError, match="context"):
            open_token(READ_TOKEN + seal_of(entries, KEY, RING) + entries, KEY, RING)


def test_nothing_seen_is_a_context_too() -> None:
    assert open_token(READ_TOKEN + seal_of(b"", KEY, RING), KEY, RING) == {}


def test_a_writer_has_seen_what_it_was_given_and_its_own_write_alone() -> None:
    first = token_after(TOKEN, Dot(Actor(b"newactor"), 77), KEY, RING)
    assert own_dot(TOKEN) is None
    assert own_dot(first) == Dot(Actor(b"newactor"), 77)
    assert open_token(first, KEY, RING) == open_token(TOKEN, KEY, RING)
    second = token_after(first, Dot(Actor(b"newactor"), 99), KEY, RING)
    assert own_dot(second) == Dot(Actor(b"newactor"), 99)
    assert open_token(second, KEY, RING) == open_token(TOKEN, KEY, RING)


def test_a_dot_cannot_be_turned_into_a_context() -> None:
    """Read as a context, the dot of a write would cover every earlier write of its actor."""
    token = token_after(READ_TOKEN + seal_of(b"", KEY, RING), Dot(Actor(b"newactor"), 7), KEY, RING)
    assert open_token(token, KEY, RING) == {}
    with pytest.raises(ValueError, match="not given by this ring"):
        open_token(READ_TOKEN + token[1:], KEY, RING)
    with pytest.raises(ValueError, match="not given by this ring"):
        open_token(WRITE_TOKEN + TOKEN[1:], KEY, RING)
