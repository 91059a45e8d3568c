"""Golden bytes and numbers: what was written or sent by one version is read by every later one.

A failure here is not repaired by new bytes. Append a message or a field, and then append to the
table and to ``frame-v1.bin``; or make a new version number and a new file beside the old one.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import get_args

import pytest

from dynamokv.types import Consistency
from dynamokv.wire import frame, rounds
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.probes import State
from dynamokv.wire.schema import TAG_OF
from tests.wire.samples import MESSAGES, SENDER, STATE, TAG, pack, unpack

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RECORD = (GOLDEN / "record-v1.bin").read_bytes()
FRAME = (GOLDEN / "frame-v1.bin").read_bytes()


def test_the_record_is_made_and_read() -> None:
    assert records.encode(STATE) == RECORD
    assert records.decode(RECORD) == STATE
    assert records.join_records(None, RECORD) is RECORD
    assert records.live_values(RECORD, 0) == [b"third value", b"first"]


def test_the_digest_is_the_same_on_every_replica() -> None:
    """Replicas of two versions that digest differently would repair each other for ever."""
    assert records.digest(RECORD) == 0x20D618A815DB1DD3


def test_the_frame_is_made_and_read() -> None:
    assert pack(*MESSAGES) == FRAME
    assert frame.read_head(FRAME) == (TAG, SENDER)
    assert unpack(FRAME) == list(MESSAGES)
    assert {type(message) for message in MESSAGES} == set(TAG_OF)


TAGS = [
    (1, "Replicate", "id epoch budget_ms keys records"),
    (2, "Replicated", "id"),
    (3, "Fetch", "id epoch budget_ms keys digests"),
    (4, "Fetched", "id records"),
    (5, "Same", "id"),
    (6, "Refused", "id reason detail"),
    (7, "Refresh", "id topology"),
    (8, "PutRequest", "id epoch budget_ms level sloppy delete ttl_ms names values contexts"),
    (9, "PutDone", "id epoch needed replicas sloppy hinted contexts errors"),
    (10, "GetRequest", "id epoch budget_ms level sealed names"),
    (11, "GetDone", "id epoch needed replicas records seals"),
    (12, "Failed", "id code needed got failed detail"),
    (13, "TopologyRequest", "id cluster"),
    (14, "TopologyReply", "id topology"),
    (15, "JoinRequest", "id cluster node_id address zone weight partitions n"),
    (16, "JoinAnswer", "id reason detail"),
    (17, "Announce", "topology"),
    (18, "Scan", "id epoch start"),
    (19, "Scanned", "id keys records next"),
    (20, "Filled", "id epoch"),
    (21, "WrongCluster", "cluster"),
    (22, "StatusRequest", "id epoch budget_ms"),
    (23, "StatusReply", "id document"),
    (24, "Probe", "id full ids boots counters states lags accusers"),
    (25, "ProbeAck", "id ids boots counters states lags accusers"),
    (26, "ProbeFor", "id target ids boots counters states lags accusers"),
    (27, "ProbeNack", "id linked ids boots counters states lags accusers"),
    (28, "CompareRoot", "id epoch partition root"),
    (29, "Branches", "id sums"),
    (30, "CompareLeaves", "id epoch partition branches sums"),
    (31, "Differing", "id leaves"),
    (32, "CompareKeys", "id epoch partition leaves salt start end hashes digests"),
    (33, "Compared", "id end keys missing"),
    (34, "Hint", "id epoch budget_ms target keys records"),
    (35, "Round", "id epoch step time partitions roots"),
    (36, "Agreed", "id partitions"),
    (37, "Horizons", "epoch floor partitions horizons collected trees"),
    (38, "Stamp", "life sent_ms"),
    (40, "Identify", "id"),
    (41, "Identified", "id node_id epoch"),
]


def test_tags_and_fields_are_append_only() -> None:
    found = [(tag, cls.__name__, " ".join(cls._fields)) for cls, tag in TAG_OF.items()]
    assert found == TAGS


def test_every_message_has_one_tag() -> None:
    assert len(set(TAG_OF.values())) == len(TAG_OF) == len(TAGS)
    assert set(get_args(m.Message)) == set(TAG_OF)


@pytest.mark.parametrize(
    ("enum", "numbers"),
    [
        (
            m.RefusedReason,
            {
                "STORAGE": 1,
                "CLOCK_DRIFT": 2,
                "NOT_READY": 3,
                "EXPIRED": 4,
                "OUTDATED": 5,
                "LATER": 6,
            },
        ),
        (
            m.JoinReason,
            {
                "NO_RING": 1,
                "BUSY": 2,
                "ASK": 3,
                "MISMATCH": 4,
                "FULL": 5,
                "DUPLICATE": 6,
                "REPLACED": 7,
                "WAITING": 8,
            },
        ),
        (
            m.FailedCode,
            {"UNAVAILABLE": 1, "INDETERMINATE": 2, "READ_FAILED": 3, "OVERLOADED": 4, "USAGE": 5},
        ),
        (m.PutError, {"CONTEXT": 1, "SIBLINGS": 2}),
        (State, {"ALIVE": 0, "SLOW": 1, "SUSPECT": 2, "DOWN": 3}),
        (
            rounds.RoundStep,
            {"SETTLE": 1, "CONFIRM": 2, "ADOPT": 3, "COLLECT": 4, "ABANDON": 5, "HOLD": 6},
        ),
        (Consistency, {"QUORUM": 0, "ONE": 1, "TWO": 2, "ALL": 255}),
    ],
)
def test_numbers_on_the_wire_are_append_only(enum: type[IntEnum], numbers: dict[str, int]) -> None:
    assert {name: int(member) for name, member in enum.__members__.items()} == numbers


def test_only_these_travel_before_the_ring_is_known() -> None:
    assert {cls.__name__ for cls in m.BEFORE_THE_RING} == {
        "TopologyRequest", "TopologyReply", "JoinRequest", "JoinAnswer", "WrongCluster",
        "Identify", "Identified",
    }  # fmt: skip
