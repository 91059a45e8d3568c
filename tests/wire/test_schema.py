"""The closed schema: each message passes as it is, and no field of it takes anything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dynamokv import limits
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from dynamokv.wire.messages import Message
from dynamokv.wire.probes import BOOT_MS_MAX, COUNTER_MAX
from dynamokv.wire.schema import TAG_OF, check_message
from tests.wire.samples import MESSAGES, MODEST, NAMES, ROWS, U64, fields_of, pack_body, unpack

REFUSED = r"message|schema|field|number|length|protocol"
BY_NAME = {type(message).__name__: message for message in MESSAGES}


def deliver(fields: list[Any]) -> Message:
    """What a receiver makes of a message with these fields."""
    (message,) = unpack(pack_body([fields]))
    return message


def refuse(fields: list[Any]) -> None:
    """In a frame, and also where the codec would let more through, as large integers."""
    with pytest.raises(ValueError, match=REFUSED):
        deliver(fields)
    with pytest.raises(ValueError, match=REFUSED):
        check_message(list(fields))


@pytest.mark.parametrize("message", MESSAGES + MODEST, ids=lambda message: type(message).__name__)
def test_round_trip(message: Message) -> None:
    received = deliver(fields_of(message))
    assert received == message
    assert type(received) is type(message)


def test_every_message_is_tried() -> None:
    assert sorted(TAG_OF[type(message)] for message in MESSAGES) == list(TAG_OF.values())
    assert len(BY_NAME) == len(TAG_OF)


# --- wrong types ----------------------------------------------------------------------------------

ANYTHING: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, U64, -U64, 1.0, 0.0, float("nan"), "", "1", b"", b"1",
    [], [0], [[]], [None], {}, {"a": 1}, [b"1"], ["1"], [1.5], [True], [-1], [U64], [[b"1"]],
)  # fmt: skip


def fits(value: Any, sample: Any) -> bool:
    """Whether the value has the type of the sample, all the way down, and is no number below 0 or
    above 64 bits."""
    if type(value) is not type(sample):
        return False
    if isinstance(value, list):
        return all(any(fits(item, one) for one in sample) for item in value)
    return type(value) is not int or 0 <= value < U64


def wrong_values(sample: Any) -> Iterator[Any]:
    """What may not stand where the sample stands."""
    yield from (value for value in ANYTHING if not fits(value, sample))
    if isinstance(sample, list):
        for at in range(len(sample)):
            for value in ANYTHING:
                if not any(fits(value, one) for one in sample):
                    yield [*sample[:at], value, *sample[at + 1 :]]


TOPOLOGIES = (m.Refresh, m.TopologyReply, m.Announce)
"""Their list is checked by ``ring.topology``."""


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_no_field_takes_another_type(message: Message) -> None:
    good = fields_of(message)
    tried = 0
    for at in range(len(good)):
        opaque = isinstance(message, TOPOLOGIES) and at == len(good) - 1
        for value in wrong_values(good[at]):
            if opaque and isinstance(value, list):
                continue
            refuse([*good[:at], value, *good[at + 1 :]])
            tried += 1
    assert tried >= 20 * len(good)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_no_message_has_a_field_more_or_less(message: Message) -> None:
    good = fields_of(message)
    for at in range(len(good)):
        refuse(good[:at] + good[at + 1 :])
        refuse(good[:at])
    extra: list[Any] = [0, None, b"", [], good[-1]]
    for more in extra:
        refuse([*good, more])


@pytest.mark.parametrize("tag", [0, -1, max(TAG_OF.values()) + 1, 255, 2**32, U64 - 1, -U64])
def test_unknown_tags(tag: int) -> None:
    refuse([tag])
    refuse([tag, 1])


@pytest.mark.parametrize("tag", [True, False, 5.0, "5", b"\x05", None, [5], {}])
def test_tags_of_another_type(tag: Any) -> None:
    refuse([tag, 1])


@pytest.mark.parametrize("fields", [None, 5, "5", b"\x05", {}, {"a": 1}, [], True, (5, 1)])
def test_a_message_is_a_list_that_starts_with_its_tag(fields: Any) -> None:
    with pytest.raises(ValueError, match="starts with its tag"):
        check_message(fields)


# --- ranges and lengths ---------------------------------------------------------------------------


def changed(name: str, **values: Any) -> list[Any]:
    """The sample message of this name with other values."""
    sample = BY_NAME[name]
    fields = fields_of(sample)
    for field, value in values.items():
        fields[1 + sample._fields.index(field)] = value
    return fields


PROBES = ("Probe", "ProbeAck", "ProbeFor", "ProbeNack")
COLUMNS = ("ids", "boots", "counters", "states", "lags", "accusers")


def news_of(count: int) -> dict[str, Any]:
    """The lists of a message with news of so many members."""
    ids = [number.to_bytes(16) for number in range(count)]
    return {**dict.fromkeys(COLUMNS, [0] * count), "ids": ids, "accusers": ids}


ID = bytes(16)
TEXT = "x" * limits.TEXT_BYTES_MAX
VALUE = bytes(limits.VALUE_BYTES_MAX)
LONG_NAME = name_of(b"b" * 64, b"k" * 1024)
LONG_ROW = row_key(0x7FFF, LONG_NAME)

AT_THE_LIMIT: list[tuple[str, dict[str, Any]]] = [
    ("Same", {"id": 0}),
    ("Same", {"id": U64 - 1}),
    ("GetRequest", {"level": 0}),
    ("GetRequest", {"level": 255}),
    ("GetRequest", {"names": [LONG_NAME]}),
    ("PutRequest", {"values": [VALUE, b""]}),
    ("PutRequest", {"delete": True, "values": [b"", b""]}),
    ("PutRequest", {"ttl_ms": 2**44 - 1}),
    ("Replicate", {"keys": [LONG_ROW, ROWS[0]]}),
    ("WrongCluster", {"cluster": TEXT}),
    ("Failed", {"failed": [TEXT, ""], "detail": TEXT}),
    ("Scan", {"start": LONG_ROW}),
    ("Scanned", {"next": LONG_ROW}),
    ("JoinRequest", {"node_id": ID}),
    ("PutDone", {"replicas": [ID] * 9, "hinted": [ID]}),
    ("Probe", news_of(limits.MEMBERS_MAX)),
    ("ProbeAck", {"lags": [limits.DURATION_MS_MAX, 0]}),
    ("CompareLeaves", {"branches": [31], "sums": bytes(32 * 512)}),
    ("CompareKeys", {"leaves": [1023], "start": LONG_ROW, "end": LONG_ROW}),
    ("Compared", {"end": LONG_ROW, "keys": [LONG_ROW], "missing": [U64 - 1]}),
]

BEYOND: list[tuple[str, dict[str, Any]]] = [
    ("GetRequest", {"level": 256}),
    ("GetRequest", {"level": -1}),
    ("PutRequest", {"level": 256}),
    ("GetRequest", {"names": []}),
    ("GetRequest", {"names": [b""]}),
    ("GetRequest", {"names": [b"\x00"]}),
    ("GetRequest", {"names": [LONG_NAME + b"k"]}),
    ("GetRequest", {"names": [NAMES[0], NAMES[0]]}),
    ("GetRequest", {"names": [NAMES[0], NAMES[1], NAMES[0]]}),
    ("PutRequest", {"names": [], "values": [], "contexts": []}),
    ("PutRequest", {"names": [NAMES[1], NAMES[1]]}),
    ("PutRequest", {"names": [b"\x05abc", NAMES[0]]}),
    ("PutRequest", {"values": [VALUE + b"x", b""]}),
    ("PutRequest", {"values": [b"", VALUE + b"x"]}),
    ("PutRequest", {"delete": True}),
    ("PutRequest", {"delete": True, "values": [b"", b"x"]}),
    ("PutRequest", {"ttl_ms": 2**44}),
    ("PutRequest", {"ttl_ms": U64 - 1}),
    ("Replicate", {"keys": [ROWS[0], ROWS[0]]}),
    ("Replicate", {"keys": [ROWS[0], LONG_ROW + b"k"]}),
    ("Replicate", {"keys": [ROWS[0], b"\xff\xff\x00identity"]}),
    ("Replicate", {"keys": [b"\x80\x00" + ROWS[0][2:], ROWS[0]]}),
    ("Fetch", {"keys": [ROWS[1], b"\xff\xff\x00topology"]}),
    ("Fetch", {"keys": [ROWS[1], ROWS[1]]}),
    ("Fetch", {"digests": [0, U64]}),
    ("Fetch", {"digests": [-1, 0]}),
    ("Scanned", {"keys": [ROWS[0], b"\xff\xff\x00identity"]}),
    ("Scanned", {"keys": [ROWS[0], ROWS[0]]}),
    ("Scanned", {"next": LONG_ROW + b"xx"}),
    ("Scan", {"start": LONG_ROW + b"xx"}),
    ("WrongCluster", {"cluster": TEXT + "x"}),
    ("TopologyRequest", {"cluster": TEXT + "x"}),
    ("Refused", {"detail": TEXT + "x"}),
    ("JoinAnswer", {"detail": TEXT + "x"}),
    ("Failed", {"detail": TEXT + "x"}),
    ("Failed", {"failed": [TEXT + "x"]}),
    ("JoinRequest", {"cluster": TEXT + "x"}),
    ("JoinRequest", {"address": TEXT + "x"}),
    ("JoinRequest", {"zone": TEXT + "x"}),
    ("JoinRequest", {"node_id": ID[:15]}),
    ("JoinRequest", {"node_id": ID + b"x"}),
    ("JoinRequest", {"node_id": b""}),
    ("PutDone", {"replicas": [ID, ID[:15]]}),
    ("PutDone", {"hinted": [ID + b"x"]}),
    ("GetDone", {"replicas": [b""]}),
    ("Probe", news_of(0)),
    ("Probe", news_of(limits.MEMBERS_MAX + 1)),
    ("ProbeAck", {"ids": [ID, ID]}),
    ("ProbeAck", {"ids": [ID, ID[:15]]}),
    ("ProbeAck", {"boots": [0, BOOT_MS_MAX + 1]}),
    ("ProbeFor", {"counters": [COUNTER_MAX + 1, 0]}),
    ("ProbeNack", {"states": [0, 4]}),
    ("Probe", {"lags": [0, limits.DURATION_MS_MAX + 1]}),
    ("Probe", {"accusers": [ID, b""]}),
    ("ProbeFor", {"target": ID[:15]}),
    ("CompareRoot", {"root": bytes(15)}),
    ("CompareRoot", {"root": bytes(17)}),
    ("Branches", {"sums": bytes(511)}),
    ("CompareLeaves", {"branches": [32]}),
    ("CompareLeaves", {"sums": bytes(511)}),
    ("Differing", {"leaves": [1024]}),
    ("CompareKeys", {"leaves": [1024]}),
    ("CompareKeys", {"start": LONG_ROW + b"x"}),
    ("CompareKeys", {"end": LONG_ROW + b"x"}),
    ("Compared", {"keys": [b"\xff\xff\x00identity"]}),
    ("Compared", {"keys": [ROWS[0], ROWS[0]]}),
    ("Hint", {"target": ID[:15]}),
    ("Hint", {"keys": [ROWS[0], ROWS[0]]}),
    ("Hint", {"keys": [ROWS[0], b"\xff\xfe" + ID + ROWS[0]]}),
]

PARALLEL: list[tuple[str, dict[str, Any], bool]] = [
    ("Replicate", {"records": [b"1"]}, False),
    ("Replicate", {"records": []}, False),
    ("Replicate", {"records": [b"1"] * 3}, False),
    ("Replicate", {"keys": []}, False),
    ("Fetch", {"digests": []}, True),
    ("Fetch", {"digests": [1]}, False),
    ("Fetch", {"digests": [1] * 3}, False),
    ("PutRequest", {"contexts": []}, True),
    ("PutRequest", {"contexts": [b""]}, False),
    ("PutRequest", {"contexts": [b""] * 3}, False),
    ("PutRequest", {"values": []}, False),
    ("PutRequest", {"values": [b""]}, False),
    ("PutRequest", {"values": [b""] * 3}, False),
    ("GetDone", {"seals": []}, True),
    ("GetDone", {"seals": [b""]}, False),
    ("GetDone", {"seals": [b""] * 3}, False),
    ("GetDone", {"records": []}, False),
    ("Scanned", {"records": []}, False),
    ("Scanned", {"records": [b"1"] * 3}, False),
    ("Scanned", {"keys": []}, False),
    ("CompareKeys", {"digests": [1]}, False),
    ("CompareKeys", {"hashes": []}, False),
    *((name, {column: []}, False) for name in PROBES for column in COLUMNS),
    *(
        (name, {column: [ID] if column == "accusers" else [1]}, False)
        for name in PROBES
        for column in COLUMNS[1:]
    ),
    ("Hint", {"records": []}, False),
    ("Hint", {"keys": []}, False),
]


@pytest.mark.parametrize(("name", "values"), AT_THE_LIMIT)
def test_at_the_limit(name: str, values: dict[str, Any]) -> None:
    message = deliver(changed(name, **values))
    assert message._asdict() | values == message._asdict()


@pytest.mark.parametrize(("name", "values"), BEYOND)
def test_beyond_the_limit(name: str, values: dict[str, Any]) -> None:
    refuse(changed(name, **values))


@pytest.mark.parametrize(
    "name", [name for name, message in BY_NAME.items() if "budget_ms" in message._fields]
)
def test_a_budget_is_a_duration(name: str) -> None:
    most = limits.DURATION_MS_MAX
    deliver(changed(name, budget_ms=most))
    refuse(changed(name, budget_ms=most + 1))


@pytest.mark.parametrize(("name", "values", "good"), PARALLEL)
def test_lists_that_belong_together(name: str, values: dict[str, Any], good: bool) -> None:
    if good:
        deliver(changed(name, **values))
    else:
        refuse(changed(name, **values))


def test_tags_stand_in_order() -> None:
    """So that the next free one is found at the end."""
    tags = list(TAG_OF.values())
    assert tags == sorted(tags)
    assert set(range(1, tags[-1] + 1)) - set(tags) == {39}
