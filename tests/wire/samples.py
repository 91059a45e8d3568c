"""One message of every kind, all of its fields in use, and shorthands for frames and records."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.merkle import messages as trees
from dynamokv.types import Actor
from dynamokv.wire import codec, frame, probes, rounds
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from dynamokv.wire.messages import Message
from dynamokv.wire.probes import BOOT_MS_MAX, COUNTER_MAX

U64 = 2**64
TAG = bytes(range(8))
SENDER = bytes(range(16, 32))
HEAD_BYTES = 26
PEERS = [b"a" * 16, b"b" * 16]

ROWS = [row_key(3, name_of(b"", b"k1")), row_key(3, name_of(b"users", b"k2"))]
NAMES = [name_of(b"", b"k1"), name_of(b"users", b"k2")]

NEWS = (PEERS, [1, BOOT_MS_MAX], [COUNTER_MAX, 0], [1, 3], [2, 0], PEERS[::-1])

MESSAGES: tuple[Message, ...] = (
    m.Replicate(U64 - 1, 2, 3000, ROWS, [b"record 1", b""]),
    m.Replicated(4),
    m.Fetch(5, 6, 7, ROWS, [0, U64 - 1]),
    m.Fetched(8, [b"record", b""]),
    m.Same(9),
    m.Refused(10, m.RefusedReason.EXPIRED, "späte Antwort"),
    m.Refresh(11, [b"ring", "test", 1, [[b"node", "host:1", "", 1]], None]),
    m.PutRequest(12, 13, 14, 255, True, False, 15, NAMES, [b"v", b""], [b"", b"token"]),
    m.PutDone(16, 17, 2, PEERS, False, PEERS[:1], [b"token", b""], [0, m.PutError.SIBLINGS]),
    m.GetRequest(18, 19, 20, 2, False, NAMES),
    m.GetDone(21, 22, 3, PEERS, [b"record", b""], [b"seal", b""]),
    m.Failed(23, m.FailedCode.USAGE, 2, 1, ["no answer in time", ""], "detail"),
    m.TopologyRequest(24, "test"),
    m.TopologyReply(25, [b"ring", 26]),
    m.JoinRequest(27, "test", PEERS[0], "host:1", "north", 1, 512, 3),
    m.JoinAnswer(28, m.JoinReason.DUPLICATE, "detail"),
    m.Announce([b"ring", 29]),
    m.Scan(30, 31, ROWS[0]),
    m.Scanned(32, ROWS, [b"record 1", b"record 2"], ROWS[1]),
    m.Filled(33, 34),
    m.WrongCluster("other"),
    m.StatusRequest(35, 36, 37),
    m.StatusReply(38, b"\xa0"),
    probes.Probe(39, True, *NEWS),
    probes.ProbeAck(40, *NEWS),
    probes.ProbeFor(41, PEERS[1], *NEWS),
    probes.ProbeNack(42, True, *NEWS),
    trees.CompareRoot(43, 44, 45, bytes(range(16))),
    trees.Branches(46, bytes(range(256)) * 2),
    trees.CompareLeaves(47, 48, 49, [0, 31], bytes(range(256)) * 4),
    trees.Differing(50, [0, 1023]),
    trees.CompareKeys(51, 52, 53, [7, 8], 54, b"", ROWS[1], [U64 - 1, 0], [55, 56]),
    trees.Compared(57, ROWS[1], ROWS[:1], [0, 1]),
    m.Hint(43, 44, 45, PEERS[0], ROWS, [b"record 1", b"record 2"]),
    m.Stamp(46, 47),
    m.Identify(60),
    m.Identified(61, PEERS[1], 62),
    rounds.Round(39, 40, rounds.RoundStep.CONFIRM, U64 - 1, [0, 511], [b"r" * 16, b"s" * 16]),
    rounds.Agreed(41, [0, 511]),
    rounds.Horizons(42, 43, [0, 511], [44, U64 - 1], [0, 45], [b"r" * 16, b""]),
)

MODEST: tuple[Message, ...] = (
    m.Replicate(0, 0, 0, [], []),
    m.Fetch(0, 0, 0, ROWS, []),
    m.Fetched(0, []),
    m.Refused(0, 0, ""),
    m.Refresh(0, []),
    m.PutRequest(0, 0, 0, 0, False, True, 0, NAMES, [b"", b""], []),
    m.PutDone(0, 0, 0, [], True, [], [], []),
    m.GetDone(0, 0, 0, [], [b"record", b""], []),
    m.Failed(0, 0, 0, 0, [], ""),
    m.Scan(0, 0, b""),
    m.Scanned(0, [], [], b""),
    trees.CompareLeaves(0, 0, 0, [], b""),
    trees.Differing(0, []),
    trees.CompareKeys(0, 0, 0, [], 0, b"", b"", [], []),
    trees.Compared(0, b"", [], []),
    rounds.Round(0, 0, 0, 0, [1, 2], []),
    rounds.Agreed(0, []),
    rounds.Horizons(0, 0, [], [], [], []),
)
"""Empty where a message may be."""

_READER = frame.FrameReader()
"""One for all tests, as a node has one for all frames: nothing bad may stay in it."""


def pack(*messages: Message) -> bytes:
    """A frame of messages."""
    return frame.encode_frame(frame.head(TAG, SENDER), messages)


def pack_body(body: object) -> bytes:
    """A frame of anything."""
    return frame.head(TAG, SENDER) + codec.encode(body)


def fields_of(message: Message) -> list[Any]:
    """A message as it travels: its tag, then its fields."""
    (fields,) = codec.decode(pack(message)[HEAD_BYTES:])
    return list(fields)


def unpack(data: bytes) -> list[Message]:
    """What is in a frame, checked."""
    frame.read_head(data)
    return _READER.messages(data)


# --- records --------------------------------------------------------------------------------------

A, B, C = (Actor(letter * 8) for letter in (b"a", b"b", b"c"))

STATE = KeyState(
    (
        Version(Dot(A, 100), b"first"),
        Version(Dot(A, 2**63), b"", tombstone=True),
        Version(Dot(B, 300), b"third value", expires_ms=1_800_000_000_000),
    ),
    {A: U64 - 1, B: 300, C: 1},
)
"""Two versions of one actor, one of another, none of a third."""

_HEAD = Struct(">BBHH")
_ENTRY = Struct(">8sQ")
_VERSION = Struct(">8sQBQI")

Entries = Sequence[tuple[bytes, int]]
RawVersion = tuple[bytes, int, int, int, int]
"""Actor, time, flags, expires_ms, length."""


def raw_record(
    context: Entries,
    versions: Sequence[RawVersion],
    values: bytes = b"",
    version: int = 1,
    zero: int = 0,
) -> bytes:
    """The layout of a record written out once more, for any content, good or bad."""
    head = _HEAD.pack(version, zero, len(versions), len(context))
    entries = b"".join(_ENTRY.pack(*entry) for entry in context)
    return head + entries + b"".join(_VERSION.pack(*one) for one in versions) + values
