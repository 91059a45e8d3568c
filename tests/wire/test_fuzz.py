"""Frames from nowhere: damaged, spliced and made up, seeded, so that a failure comes back.

What comes out is messages or ``ValueError``. Messages that come out pass again as they are, and
one reader takes it all, so that nothing bad may stay in it.

``FUZZ_FRAMES`` in the environment says how many frames are tried.
"""

from __future__ import annotations

import os
from collections import Counter
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from tests.wire.samples import (
    HEAD_BYTES,
    MESSAGES,
    MODEST,
    U64,
    fields_of,
    pack,
    pack_body,
    unpack,
)

FUZZ_FRAMES = int(os.environ.get("FUZZ_FRAMES", "60_000"))
SLICES = 6

FRAMES = [pack(*MESSAGES), *[pack(message) for message in MESSAGES + MODEST]]
PIECES = [
    b"\x80", b"\x81", b"\x9f", b"\xff", b"\xf6", b"\xf7", b"\xf5", b"\xa0", b"\xbf", b"\xa1\x61a",
    b"\xc2\x41", b"\xd8\x1c", b"\xd8\x1d\x00", b"\xd9\x01\x00", b"\xd8\x19\x00", b"\xd9\x01\x02",
    b"\x1b" + b"\xff" * 8, b"\x3b" + b"\xff" * 8, b"\x5b" + b"\x7f" * 8, b"\x9a" + b"\xff" * 4,
    b"\xf9\x7e\x00", b"\xfb" + bytes(8), b"\x5f\x41a\xff", b"\x81" * 20, bytes(16), b"\x18",
]  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, U64 - 1, U64, 0.5, "", "x" * 1025, b"", b"x" * 16, [], [[]],
    [b""], [0], [""], {}, {"a": 1}, {b"a": []}, list(range(30)),
)  # fmt: skip


def outcome(data: bytes) -> str:
    """``refused``, or the number of messages that came out."""
    try:
        messages = unpack(data)
    except ValueError:
        return "refused"
    again = pack(*messages)
    assert (
        pack(*unpack(again)) == again
    )  # as bytes: a topology may hold what is not equal to itself
    return "some" if messages else "none"


def damaged(random: Random) -> bytes:
    """A frame after a few blows."""
    data = bytearray(random.choice(FRAMES))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        start = min(HEAD_BYTES, len(data)) if random.random() < 0.95 else 0
        at = random.randint(start, len(data))
        match random.randrange(7):
            case 0:
                data[at : at + 1] = bytes((random.randrange(256),))
            case 1 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 2:
                del data[at : at + random.randrange(1, 9)]
            case 3:
                data[at:at] = random.choice(PIECES)
            case 4:
                piece = random.choice(PIECES)
                data[at : at + len(piece)] = piece
            case 5:
                other = random.choice(FRAMES)
                data[at:] = other[random.randrange(HEAD_BYTES, len(other)) :]
            case _:
                data[at:at] = data[at // 2 :][: random.randrange(1, 20)]
    return bytes(data)


def made_up(random: Random) -> bytes:
    """A well-formed list of messages, some of whose fields are something else."""
    body = [fields_of(random.choice(MESSAGES)) for _ in range(random.randint(1, 3))]
    for _ in range(random.randint(0, 2)):
        spot: list[Any] = random.choice(body)
        while spot and isinstance(inner := random.choice(spot), list) and random.random() < 0.7:
            spot = inner
        at = random.randrange(len(spot) + 1)
        match random.randrange(4):
            case 0:
                del spot[at:]
            case 1:
                spot.insert(at, deepcopy(random.choice(ODD)))
            case 2:
                spot[at : at + 1] = [deepcopy(random.choice(ODD))]
            case _:
                spot[at : at + 1] = fields_of(random.choice(MESSAGES))[1:2]
    return pack_body(body)


@pytest.mark.parametrize("seed", range(SLICES))
def test_frames_from_nowhere(seed: int) -> None:
    random = Random(seed)
    outcomes: Counter[str] = Counter()
    good = pack(*MESSAGES)
    for number in range(FUZZ_FRAMES // SLICES):
        outcomes[outcome(made_up(random) if number % 4 == 0 else damaged(random))] += 1
        if number % 50 == 0:
            assert unpack(good) == list(MESSAGES)
    assert outcomes["refused"] > outcomes.total() // 3
    assert outcomes["some"] > outcomes.total() // 20


def test_bytes_from_nowhere() -> None:
    random = Random(0)
    head = pack()[:HEAD_BYTES]
    assert {outcome(head + random.randbytes(random.randrange(40))) for _ in range(5_000)} == {
        "refused", "none",
    }  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_flipped_bit_of_every_message(message: Any) -> None:
    data = pack(message)
    for position in range(HEAD_BYTES * 8, len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        outcome(bytes(flipped))
