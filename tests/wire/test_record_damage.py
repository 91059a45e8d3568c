"""Records that are none: every one refused, and with ``ValueError`` alone."""

from __future__ import annotations

from random import Random

import pytest

from dynamokv.causality.versions import EMPTY, Dot, KeyState, Version
from dynamokv.wire import record as records
from tests.wire.samples import STATE, A, B, C, Entries, RawVersion, raw_record

LONE = KeyState((Version(Dot(B, 300), b"value", expires_ms=5),), {B: 300})
DELETED = KeyState((Version(Dot(B, 300), b"", tombstone=True),), {A: 2, B: 300})
SAMPLES = pytest.mark.parametrize("state", [EMPTY, LONE, DELETED, STATE])


def accepted(data: bytes) -> bool:
    """Whether these bytes are a record; what is one has no other encoding."""
    try:
        state = records.decode(data)
    except ValueError:
        return False
    assert records.encode(state) == data
    return True


@SAMPLES
def test_cut_short_anywhere(state: KeyState) -> None:
    record = records.encode(state)
    for size in range(len(record)):
        with pytest.raises(ValueError, match="record"):
            records.decode(record[:size])
        with pytest.raises(ValueError, match="record"):
            records.join_records(records.encode(LONE), record[:size])


@SAMPLES
def test_any_flipped_bit(state: KeyState) -> None:
    """Either it is refused, or it is the one encoding of another state."""
    record = records.encode(state)
    survived = 0
    for position in range(len(record) * 8):
        damaged = bytearray(record)
        damaged[position // 8] ^= 1 << position % 8
        if accepted(bytes(damaged)):
            survived += 1
            assert records.decode(bytes(damaged)) != state
    assert survived < len(record) * 8


@SAMPLES
def test_one_byte_too_many(state: KeyState) -> None:
    for byte in range(256):
        with pytest.raises(ValueError, match="record"):
            records.decode(records.encode(state) + bytes((byte,)))


def test_random_damage() -> None:
    random = Random(1)
    pool = [records.encode(state) for state in (EMPTY, LONE, DELETED, STATE)]
    outcomes = {True: 0, False: 0}
    for _ in range(10_000):
        data = bytearray(random.choice(pool))
        for _ in range(random.randint(1, 3)):
            at = random.randrange(len(data) + 1)
            match random.randrange(4):
                case 0:
                    data[at : at + 1] = bytes((random.randrange(256),))
                case 1:
                    data[at : at + random.randrange(20)] = random.randbytes(random.randrange(20))
                case 2:
                    other = random.choice(pool)
                    data[at:] = other[at:]
                case _:
                    data[at : at + 2] = random.choice([b"\0\0", b"\xff\xff", b"\0\1"])
        outcomes[accepted(bytes(data))] += 1
    assert outcomes[True] > 100
    assert outcomes[False] > 5_000


def test_random_bytes() -> None:
    random = Random(2)
    for _ in range(5_000):
        data = random.randbytes(random.randrange(60))
        accepted(data)
        accepted(b"\x01\0\0\1\0\1" + data)


TWO: list[tuple[bytes, int]] = [(A, 5), (B, 5)]

MALFORMED: list[tuple[str, bytes]] = [
    ("no bytes", b""),
    ("part of a head", b"\x01\0\0\0\0"),
    ("version 0", raw_record(TWO, [], version=0)),
    ("version 2", raw_record(TWO, [], version=2)),
    ("second byte", raw_record(TWO, [], zero=1)),
    ("an entry missing", b"\x01\0\0\0\0\1" + bytes(15)),
    ("actors twice", raw_record([(A, 5), (A, 5)], [])),
    ("actors twice, other time", raw_record([(A, 5), (A, 6)], [])),
    ("actors not sorted", raw_record([(B, 5), (A, 5)], [])),
    ("a time of zero", raw_record([(A, 0), (B, 5)], [])),
    ("a last time of zero", raw_record([(A, 5), (B, 0)], [])),
    ("a version missing", b"\x01\0\0\1\0\0" + bytes(28)),
    ("a flag that is none", raw_record(TWO, [(A, 5, 2, 0, 0)])),
    ("all flags", raw_record(TWO, [(A, 5, 255, 0, 0)])),
    ("a tombstone with a value", raw_record(TWO, [(A, 5, 1, 0, 1)], b"v")),
    ("a value cut short", raw_record(TWO, [(A, 5, 0, 0, 2)], b"v")),
    ("a huge value", raw_record(TWO, [(A, 5, 0, 0, 2**32 - 1)], b"v")),
    ("no value for the second",
     raw_record(TWO, [(A, 5, 0, 0, 2), (B, 5, 0, 0, 1)], b"vv")),
    ("a byte after the values", raw_record(TWO, [(A, 5, 0, 0, 1)], b"vv")),
    ("a value without a version", raw_record(TWO, [], b"v")),
    ("a dot above its context", raw_record(TWO, [(A, 6, 0, 0, 0)])),
    ("a dot of a stranger", raw_record(TWO, [(C, 1, 0, 0, 0)])),
    ("a dot at no time", raw_record(TWO, [(A, 0, 0, 0, 0)])),
    ("a dot at no time of a stranger", raw_record(TWO, [(C, 0, 0, 0, 0)])),
    ("versions twice", raw_record(TWO, [(A, 5, 0, 0, 0)] * 2)),
    ("versions twice, other value",
     raw_record(TWO, [(A, 5, 0, 0, 0), (A, 5, 0, 0, 1)], b"v")),
    ("times not sorted", raw_record(TWO, [(A, 5, 0, 0, 0), (A, 4, 0, 0, 0)])),
    ("actors of versions not sorted",
     raw_record(TWO, [(B, 4, 0, 0, 0), (A, 5, 0, 0, 0)])),
    ("the last of three not sorted",
     raw_record(TWO, [(A, 4, 0, 0, 0), (B, 4, 0, 0, 0), (B, 3, 0, 0, 0)])),
]  # fmt: skip


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in MALFORMED])
def test_malformed(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"record|context"):
        records.decode(data)
    for held in (None, records.encode(STATE)):
        with pytest.raises(ValueError, match=r"record|context"):
            records.join_records(held, data)


@pytest.mark.parametrize(
    ("context", "versions", "values"),
    [
        ([], [], b""),
        (TWO, [], b""),
        (TWO, [(A, 5, 0, 0, 0)], b""),
        (TWO, [(A, 1, 0, 0, 1), (A, 5, 1, 9, 0), (B, 5, 0, 9, 2)], b"vvv"),
    ],
)
def test_well_formed(context: Entries, versions: list[RawVersion], values: bytes) -> None:
    assert accepted(raw_record(context, versions, values))


def test_a_huge_count_is_not_believed() -> None:
    for counts in (b"\xff\xff\xff\xff", b"\0\0\xff\xff", b"\xff\xff\0\0"):
        with pytest.raises(ValueError, match="cut short"):
            records.decode(b"\x01\0" + counts + bytes(100))


# --- a context alone ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*range(1, 16), *range(17, 32)])
def test_a_context_of_a_broken_length(size: int) -> None:
    with pytest.raises(ValueError, match="broken length"):
        records.decode_context(bytes(range(1, 1 + size)))


@pytest.mark.parametrize("entries", [[(A, 0)], [(A, 1), (A, 2)], [(B, 1), (A, 1)], [(bytes(8), 0)]])
def test_a_context_out_of_order(entries: list[tuple[bytes, int]]) -> None:
    data = b"".join(actor + time.to_bytes(8) for actor, time in entries)
    with pytest.raises(ValueError, match="context"):
        records.decode_context(data)
