"""What messages weigh, roughly: the bytes that they carry, and a little for the rest."""

from __future__ import annotations

import pytest

from dynamokv.merkle import messages as trees
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message
from dynamokv.wire.rounds import Horizons, Round, RoundStep
from dynamokv.wire.weight import MESSAGE_BYTES, weight_of

KEYS, VALUES = [b"k" * 10, b"k" * 20], [b"v" * 1000, b""]


@pytest.mark.parametrize(
    ("message", "carried"),
    [
        (m.Replicate(1, 1, 1, KEYS, VALUES), 1030),
        (m.Hint(1, 1, 1, b"n" * 16, KEYS, VALUES), 1030),
        (m.Fetched(1, VALUES), 1000),
        (m.PutRequest(1, 1, 1, 1, True, False, 0, KEYS, VALUES, []), 1030),
        (m.GetRequest(1, 1, 1, 1, False, KEYS), 30),
        (m.GetDone(1, 1, 1, [], VALUES, KEYS), 1030),
        (m.Scanned(1, KEYS, VALUES, b""), 1030),
        (m.Fetch(1, 1, 1, KEYS, [1, 2]), 30),
        (m.Replicated(1), 0),
        (m.StatusReply(1, b"d" * 2000), 2000),
        (trees.Branches(1, b"s" * 512), 512),
        (trees.CompareLeaves(1, 1, 1, [1], b"s" * 128), 128),
        (trees.Compared(1, b"", KEYS, []), 30),
        (trees.CompareKeys(1, 1, 1, [], 1, b"", b"", [1, 2], [3, 4]), 36),
        (Round(1, 1, RoundStep.CONFIRM, 1, [1, 2], [b"r" * 16] * 2), 32),
        (Horizons(1, 1, [1, 2], [1, 1], [0, 0], [b"r" * 16, b""]), 52),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_weighs_what_it_carries_and_a_little(message: Message, carried: int) -> None:
    assert weight_of(message) == MESSAGE_BYTES + carried
