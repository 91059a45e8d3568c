"""Records: one encoding for each state, and what is read from the bytes without decoding them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv import limits
from dynamokv.causality.versions import EMPTY, Dot, KeyState, Version, join
from dynamokv.types import Actor
from dynamokv.wire import record as records
from tests.causality.oracle import World, worlds
from tests.wire.samples import STATE, U64, A, B, C, Entries, RawVersion, raw_record

WALLS = st.integers(0, 5)


@st.composite
def states(draw: st.DrawFn) -> KeyState:
    """Any state with a few siblings, also of the same actor."""
    actors = st.sampled_from([A, B, C]) | st.binary(min_size=8, max_size=8).map(Actor)
    times = st.integers(1, 6) | st.integers(1, U64 - 1)
    context = draw(st.dictionaries(actors, times, max_size=4))
    versions = []
    for actor, last in context.items():
        for time in draw(st.sets(st.integers(1, last), max_size=2)):
            tombstone = draw(st.booleans())
            value = b"" if tombstone else draw(st.binary(max_size=3))
            expires_ms = draw(WALLS | st.integers(0, U64 - 1))
            versions.append(Version(Dot(actor, time), value, tombstone, expires_ms))
    return KeyState(tuple(sorted(versions)), context)


def test_layout() -> None:
    assert records.encode(STATE) == raw_record(
        [(A, U64 - 1), (B, 300), (C, 1)],
        [(A, 100, 0, 0, 5), (A, 2**63, 1, 0, 0), (B, 300, 0, 1_800_000_000_000, 11)],
        b"firstthird value",
    )
    assert records.encode(EMPTY) == b"\x01\0\0\0\0\0"


@given(states())
def test_round_trip(state: KeyState) -> None:
    record = records.encode(state)
    assert records.decode(record) == state
    assert records.encode(records.decode(record)) == record
    assert records.context_of(record) == state.context


@given(states())
def test_the_order_of_a_context_in_memory_does_not_show(state: KeyState) -> None:
    backwards = dict(reversed(list(state.context.items())))
    assert records.encode(KeyState(state.versions, backwards)) == records.encode(state)


@given(states(), states())
def test_another_state_has_other_bytes(one: KeyState, other: KeyState) -> None:
    assert (one == other) == (records.encode(one) == records.encode(other))


# --- contexts -------------------------------------------------------------------------------------


@given(states())
def test_a_context_is_cut_out_as_it_stands(state: KeyState) -> None:
    piece = records.context_bytes(records.encode(state))
    assert piece == b"".join(a + t.to_bytes(8) for a, t in sorted(state.context.items()))
    assert records.decode_context(piece) == state.context


# --- live values ----------------------------------------------------------------------------------


@given(states(), WALLS | st.integers(0, U64 - 1))
def test_a_read_shows_what_is_alive_newest_first(state: KeyState, wall_ms: int) -> None:
    alive = [version for version in state.versions if version.alive(wall_ms)]
    alive.sort(key=lambda version: (version.dot.time, version.dot.actor))
    expected = [version.value for version in reversed(alive)]
    assert records.live_values(records.encode(state), wall_ms) == expected


@pytest.mark.parametrize(
    ("flags", "expires_ms", "wall_ms", "shown"),
    [
        (0, 0, 2**50, [b"value"]),
        (0, 1000, 999, [b"value"]),
        (0, 1000, 1000, []),
        (0, 1000, 2**50, []),
        (1, 0, 0, []),
        (1, 1000, 0, []),
    ],
)
@pytest.mark.parametrize("siblings", [0, 1])
def test_deleted_and_expired_versions_are_not_shown(
    flags: int, expires_ms: int, wall_ms: int, shown: list[bytes], siblings: int
) -> None:
    value = b"" if flags else b"value"
    versions = [(A, 1, flags, expires_ms, len(value)), (B, 2, 1, 0, 0)][: 1 + siblings]
    record = raw_record([(A, 1), (B, 2), (C, 3)], versions, value)
    assert records.live_values(record, wall_ms) == shown


def test_the_newest_comes_first_and_the_actor_decides_at_the_same_time() -> None:
    versions = [(A, 5, 0, 0, 2), (A, 7, 0, 0, 2), (B, 6, 0, 0, 2), (C, 6, 0, 0, 2)]
    record = raw_record([(A, 9), (B, 9), (C, 9)], versions, b"a5a7b6c6")
    assert records.live_values(record, 0) == [b"a7", b"c6", b"b6", b"a5"]


def test_a_context_alone_shows_nothing() -> None:
    assert records.live_values(raw_record([(A, 1)], []), 0) == []


# --- digests --------------------------------------------------------------------------------------


BASE = ([(A, 5), (B, 6)], [(A, 5, 0, 7, 3), (B, 4, 0, 0, 3)], b"onetwo")


def test_the_digest_leaves_values_out() -> None:
    assert records.digest(raw_record(*BASE)) == records.digest(raw_record(*BASE[:2], b"TWOONE"))


@pytest.mark.parametrize(
    ("context", "versions", "values"),
    [
        ([(A, 8), (B, 6)], *BASE[1:]),
        ([(A, 5), (C, 6)], [(A, 5, 0, 7, 3), (C, 4, 0, 0, 3)], BASE[2]),
        ([*BASE[0], (C, 1)], *BASE[1:]),
        (BASE[0], [(A, 4, 0, 7, 3), BASE[1][1]], BASE[2]),
        (BASE[0], [(A, 5, 1, 7, 0), BASE[1][1]], b"two"),
        (BASE[0], [(A, 5, 0, 8, 3), BASE[1][1]], BASE[2]),
        (BASE[0], BASE[1][:1], b"one"),
        (BASE[0], [], b""),
    ],
    ids=["time", "actor", "one more", "dot", "tombstone", "expiry", "one less", "none"],
)
def test_the_digest_covers_everything_else(
    context: Entries, versions: list[RawVersion], values: bytes
) -> None:
    record = raw_record(context, versions, values)
    records.decode(record)
    assert records.digest(record) != records.digest(raw_record(*BASE))


@given(states())
def test_a_digest_is_64_bits_and_never_that_of_nothing(state: KeyState) -> None:
    assert 0 < records.digest(records.encode(state)) < U64


def test_no_record_has_the_digest_zero() -> None:
    assert records.digest(None) == records.digest(records.ABSENT) == 0
    assert records.ABSENT == b""


def test_a_hash_of_zero_is_not_taken_for_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "xxh3_64_intdigest", lambda data: 0)
    assert records.digest(records.encode(STATE)) == 1


# --- joining --------------------------------------------------------------------------------------


@given(worlds(), st.data())
def test_records_join_as_their_states_do(world: World, data: st.DataObject) -> None:
    """Of all states that can come about: whether a record may be taken whole is seen from contexts
    alone."""
    one, other = (data.draw(st.sampled_from(world.views)).state for _ in range(2))
    held, incoming = records.encode(one), records.encode(other)
    joined = records.join_records(held, incoming)
    assert joined == records.encode(join(one, other))
    assert (joined is held) == (join(one, other) == one)


@given(states(), states())
def test_both_sides_come_to_the_same_record(one: KeyState, other: KeyState) -> None:
    """Also of states that no history leads to, as a store that forgot may make them: what differs
    would be repaired for ever."""
    held, incoming = (records.encode(with_values_of_their_dots(state)) for state in (one, other))
    joined = records.join_records(held, incoming)
    assert records.join_records(incoming, held) == joined
    assert records.join_records(joined, held) is joined
    assert records.join_records(joined, incoming) is joined


def with_values_of_their_dots(state: KeyState) -> KeyState:
    """A dot names one write for ever, so it has one value everywhere."""
    versions = tuple(Version(v.dot, b"%d" % v.dot.time) for v in state.versions)
    return KeyState(versions, state.context)


def test_states_with_one_context_and_other_versions() -> None:
    """Nobody can say which is ahead, so they are taken apart: what one side has dropped goes."""
    context = [(A, 5), (B, 5)]
    a = raw_record(context, [(A, 5, 0, 0, 1)], b"a")
    b = raw_record(context, [(B, 5, 0, 0, 1)], b"b")
    neither = raw_record(context, [])
    assert records.join_records(a, b) == records.join_records(b, a) == neither
    assert records.join_records(a, neither) == neither
    assert records.join_records(neither, a) is neither


def test_nothing_new_gives_back_the_very_record() -> None:
    """By identity the caller knows that there is nothing to write."""
    old = records.encode(KeyState((Version(Dot(A, 100), b"first"),), {A: 100}))
    held = records.encode(STATE)
    assert records.join_records(held, old) is held
    assert records.join_records(held, bytes(bytearray(held))) is held
    assert records.join_records(held, records.encode(EMPTY)) is held
    assert records.join_records(old, held) is held, "all of it is new: taken as it came"


@pytest.mark.parametrize("nothing", [None, b""])
def test_where_there_is_no_record_the_incoming_one_is_checked_and_taken(
    nothing: bytes | None,
) -> None:
    incoming = records.encode(STATE)
    assert records.join_records(nothing, incoming) is incoming
    with pytest.raises(ValueError, match="record"):
        records.join_records(nothing, incoming[:-1])


@pytest.mark.parametrize("damaged", [b"", b"\x01", records.encode(STATE)[:-1]])
def test_what_is_no_record_joins_nothing(damaged: bytes) -> None:
    for held in (None, records.encode(EMPTY), records.encode(STATE)):
        with pytest.raises(ValueError, match="record"):
            records.join_records(held, damaged)


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [
        ([], 0),
        ([0, 0, 0], 3),
        ([10], 1),
        ([11], 1),  # one goes always, or its key could never be read
        ([11, 0], 1),
        ([4, 6], 2),
        ([4, 6, 0], 3),
        ([4, 7], 1),
        ([4, 6, 1, 0], 2),
        ([0, 11, 1], 1),
        ([1, 2, 3, 4, 5], 4),
    ],
)
def test_as_many_records_as_an_answer_carries(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], fit: int
) -> None:
    monkeypatch.setattr(limits, "ANSWER_BYTES_MAX", 10)
    found = [bytes(size) for size in sizes]
    assert records.fitting(found) == found[:fit]
