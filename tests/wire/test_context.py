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
from tests.wire.samples import STATE, U64, A, B
from tests.wire.test_record import states

KEY = b"\x00\x03\x01\x00user:1"
RING = b"sixteen secrets!"


def token_for(state: KeyState, row_key: bytes = KEY, context_key: bytes = RING) -> bytes:
    record = records.encode(state)
    return token_of(record, seal_of(records.context_bytes(record), row_key, context_key))


ENTRIES = records.context_bytes(records.encode(STATE))
READ = token_for(STATE)
WRITTEN = token_after(READ, Dot(B, 400), KEY, RING)
TOKENS = pytest.mark.parametrize("token", [READ, WRITTEN], ids=["read", "written"])
REFUSED = pytest.raises(ValueError, match="context")


@given(states(), st.binary(max_size=40), st.binary(min_size=16, max_size=16))
def test_what_was_read(state: KeyState, row_key: bytes, context_key: bytes) -> None:
    token = token_for(state, row_key, context_key)
    assert open_token(token, row_key, context_key) == state.context
    assert own_dot(token) is None


@given(
    states(),
    st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.integers(1, U64 - 1)), min_size=1),
)
def test_what_was_written(state: KeyState, writes: list[tuple[bytes, int]]) -> None:
    """However long a client goes on from its receipts: what it read, and its last write."""
    token = token_for(state)
    for actor, time in writes:
        dot = Dot(Actor(actor), time)
        token = token_after(token, dot, KEY, RING)
        assert open_token(token, KEY, RING) == state.context
        assert own_dot(token) == dot


def test_layout() -> None:
    """Clients keep tokens while members are upgraded: these must open for ever."""
    assert b"\x01" + bytes.fromhex("943bf8ca15e387e3") + ENTRIES == READ
    assert b"\x02" + bytes.fromhex("b7702738531440c8") + B + (400).to_bytes(8) + ENTRIES == WRITTEN
    assert (READ_TOKEN, WRITE_TOKEN, SEAL_BYTES) == (b"\x01", b"\x02", 8)


def test_nothing_seen_is_a_context_too() -> None:
    """Whoever read that there is nothing must not overwrite what came meanwhile."""
    nothing = token_of(records.ABSENT, seal_of(b"", KEY, RING))
    assert open_token(nothing, KEY, RING) == {}
    assert open_token(token_after(nothing, Dot(A, 1), KEY, RING), KEY, RING) == {}


def test_a_receipt_is_not_taken_for_a_read() -> None:
    """Its dot would be an entry of the context, and cover what came before it."""
    for token, kind in ((READ, WRITE_TOKEN), (WRITTEN, READ_TOKEN)):
        with REFUSED:
            open_token(kind + token[1:], KEY, RING)


@TOKENS
@pytest.mark.parametrize(
    "row_key",
    [b"", KEY[:-1], KEY + b"1", KEY[:-1] + b"2", b"\x00\x04" + KEY[2:]],
    ids=["none", "shorter", "longer", "another", "another partition"],
)
def test_bound_to_its_key(token: bytes, row_key: bytes) -> None:
    with REFUSED:
        open_token(token, row_key, RING)


@TOKENS
@pytest.mark.parametrize("context_key", [b"", b"another secrets!", bytes(16), RING[:15]])
def test_bound_to_its_ring(token: bytes, context_key: bytes) -> None:
    with REFUSED:
        open_token(token, KEY, context_key)


@TOKENS
def test_any_flipped_bit(token: bytes) -> None:
    for position in range(len(token) * 8):
        damaged = bytearray(token)
        damaged[position // 8] ^= 1 << position % 8
        with REFUSED:
            open_token(bytes(damaged), KEY, RING)


@TOKENS
def test_cut_short_anywhere(token: bytes) -> None:
    for size in range(len(token)):
        with REFUSED:
            open_token(token[:size], KEY, RING)


@TOKENS
@pytest.mark.parametrize("more", [b"\0", bytes(16), b"z" * 8 + (1).to_bytes(8)])
def test_made_longer(token: bytes, more: bytes) -> None:
    with REFUSED:
        open_token(token + more, KEY, RING)


def test_bytes_do_not_move_between_key_and_context() -> None:
    """The seal covers how long the key is: a longer key with a shorter context is another pair."""
    assert seal_of(ENTRIES[16:], KEY + ENTRIES[:16], RING) != seal_of(ENTRIES, KEY, RING)


@pytest.mark.parametrize("kind", [READ_TOKEN, WRITE_TOKEN])
def test_a_sealed_context_is_still_a_context(kind: bytes) -> None:
    """The seal proves who made it. What it holds is checked as everything else."""
    dot = b"" if kind == READ_TOKEN else B + (400).to_bytes(8)
    for entries in (b"x", bytes(16)):
        token = kind + seal_of(dot + entries, KEY, RING, kind) + dot + entries
        with pytest.raises(ValueError, match="context"):
            open_token(token, KEY, RING)
