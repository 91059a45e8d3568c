"""Values: what comes back as it went in, and what is refused, with a way out in the message."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import random
import sys
import uuid
from decimal import Decimal
from typing import Any

import pytest

import dynamokv
from dynamokv import limits
from dynamokv.api.blocking import BlockingStore
from dynamokv.api.values import CBOR, decode_value, encode_value
from dynamokv.errors import SerializationError, ValueTooLarge

UTC = dt.UTC
PARIS = dt.timezone(dt.timedelta(hours=2))

SAME: list[Any] = [
    None, True, False, 0, 1, -1, 23, 24, 255, 256, 2**31, 2**63, -(2**63), 2**64, -(2**64) - 1,
    10**500, -(10**500), 0.0, -0.0, 1.5, 1e300, 5e-324, math.inf, -math.inf, sys.float_info.max,
    "", "text", "naïve \U0001f600 \x00", "x" * 100_000, b"", b"bytes \x00\xff", b"y" * 100_000,
    [], [1, [2, [3]]], {}, {"a": 1}, {1: "a", "1": "b", b"1": "c", None: "d", 1.5: "e"},
    {"a": {"b": [{"c": None}]}}, set(), {1, "a", b"b", None}, {frozenset({1}), frozenset()},
    {(1, 2), (3,)}, [{"a": {1, 2}}],
    dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=PARIS), dt.datetime(1, 1, 1, tzinfo=UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    dt.date(2026, 1, 2), dt.date(1, 1, 1), dt.date(9999, 12, 31),
    {dt.date(2026, 1, 2): Decimal("1.10")}, Decimal("0"), Decimal("-1E+400"),
    uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), [uuid.UUID(int=5)] * 3,
]  # fmt: skip


class Colour(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    LARGE = 3


class Word(enum.StrEnum):
    YES = "yes"


class Point:
    pass


REFUSED: list[Any] = [
    Point(), Point, object(), len, lambda: None, Colour.RED, bytearray(b"a"), memoryview(b"a"),
    range(3), iter([]), 1j, ..., dt.time(1, 2), dt.timedelta(1), dt.datetime(2026, 1, 2),
    [dt.datetime(2026, 1, 2)], {(1, 2): 3}, {frozenset(): 1}, {"a": [Point()]}, {Point()}, "\ud800",
    ["\ud800"], {"\ud800": 1}, Exception("x"),
]  # fmt: skip


@pytest.mark.parametrize("value", SAME, ids=lambda value: repr(value)[:40])
def test_what_goes_in_comes_out(kv: BlockingStore, key: str, value: Any) -> None:
    kv.put(key, value)
    found = kv.get(key)
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value) or isinstance(value, (set, dt.datetime))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (frozenset({1}), {1}),
        (Size.LARGE, 3),
        (Word.YES, "yes"),
        ({"a": (1,)}, {"a": [1]}),
        (Decimal("-Infinity"), -math.inf),
    ],
)
def test_what_comes_out_as_its_nearest_kin(node: dynamokv.Node, value: Any, found: Any) -> None:
    node.put("kin", value)
    assert node.get("kin") == found
    assert type(node.get("kin")) is type(found)


def test_what_is_no_number_stays_none(node: dynamokv.Node) -> None:
    node.put("nan", [math.nan, Decimal("NaN")])
    assert all(number != number for number in node.get("nan"))


def test_a_moment_is_the_same_in_every_zone(node: dynamokv.Node) -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=PARIS)
    node.put("moment", moment)
    assert node.get("moment").utcoffset() == moment.utcoffset()


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_would_not_come_back_is_refused(kv: BlockingStore, key: str, value: Any) -> None:
    with pytest.raises(SerializationError, match="cannot be stored") as caught:
        kv.put(key, value)
    assert "serializer=" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert key not in kv


def nested(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value} if kind == "dict" else [value]
    return value


def nested_sets(depth: int, innermost: Any) -> Any:
    value: Any = innermost
    for _ in range(depth):
        value = frozenset([value])
    return value


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: {"at": [it]}, lambda it: {it}])
def test_a_datetime_without_a_time_zone_is_told_how_to_get_one(wrap: Any) -> None:
    with pytest.raises(SerializationError, match=r"needs a time zone: datetime\.now\(UTC\)"):
        encode_value(wrap(dt.datetime(2026, 1, 2)), CBOR)


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_depth_has_a_limit(node: dynamokv.Node, kind: str) -> None:
    deepest = nested(limits.VALUE_DEPTH_MAX, kind)
    node.put("deep", deepest)
    assert node.get("deep") == deepest
    for depth in (limits.VALUE_DEPTH_MAX + 1, 10_000):
        with pytest.raises(SerializationError, match="nested deeper than 100"):
            node.put("deep", nested(depth, kind))


@pytest.mark.parametrize(
    "innermost",
    [1, Decimal("1.5"), uuid.UUID(int=7), 2**100, dt.datetime(2026, 1, 2, tzinfo=UTC), ()],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_accepted_can_be_read_back(innermost: Any) -> None:
    """Sets and some atoms count twice in CBOR. What is stored and never readable is lost."""
    for depth in range(limits.VALUE_DEPTH_MAX - 3, limits.VALUE_DEPTH_MAX + 3):
        value = nested_sets(depth, innermost)
        try:
            data = encode_value(value, CBOR)
        except SerializationError:
            assert depth >= limits.VALUE_DEPTH_MAX
        else:
            assert decode_value(data, CBOR) == value


def test_random_values_come_back() -> None:
    rng = random.Random(7)
    atoms = [value for value in SAME if not isinstance(value, (list, dict, set))]

    def make(depth: int) -> Any:
        kind = rng.randrange(6) if depth else 0
        if kind < 3:
            return rng.choice(atoms)
        if kind == 3:
            return [make(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 4:
            return {rng.choice(atoms): make(depth - 1) for _ in range(rng.randrange(4))}
        return {rng.choice(atoms) for _ in range(rng.randrange(4))}

    for _ in range(2000):
        value = make(4)
        assert decode_value(encode_value(value, CBOR), CBOR) == value


def test_what_contains_itself_is_refused(kv: BlockingStore, key: str) -> None:
    ring: list[Any] = []
    ring.append(ring)
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    for value in (ring, loop):
        with pytest.raises(SerializationError, match="within itself"):
            kv.put(key, value)


def test_a_value_changed_afterwards_does_not_change_the_store(node: dynamokv.Node) -> None:
    value = {"list": [1]}
    node.put("copy", value)
    value["list"].append(2)
    assert node.get("copy") == {"list": [1]}
    node.get("copy")["list"].append(3)
    assert node.get("copy") == {"list": [1]}


def test_the_size_has_a_limit_with_a_way_out(kv: BlockingStore, key: str) -> None:
    header = 5  # CBOR's, for a byte string of this length
    largest = bytes(limits.VALUE_BYTES_MAX - header)
    kv.put(key, largest)
    assert kv.get(key) == largest
    with pytest.raises(ValueTooLarge, match="blob store") as caught:
        kv.put(key, largest + b"1")
    assert "1,048,577 bytes" in str(caught.value)
    assert kv.get(key) == largest


class Json:
    """A serializer of the application's own."""

    def dumps(self, value: object, /) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes, /) -> object:
        return json.loads(data)


class Broken(Json):
    """Fails where it is told to."""

    def __init__(self, gives: object = b"", error: Exception | None = None) -> None:
        self.gives = gives
        self.error = error

    def dumps(self, value: object, /) -> bytes:
        if self.error is not None:
            raise self.error
        return self.gives  # type: ignore[return-value]

    def loads(self, data: bytes, /) -> object:
        raise KeyError("unreadable")


def test_a_serializer_of_your_own() -> None:
    with (
        dynamokv.join(serializer=Json()) as kv,
        dynamokv.connect([kv.address], serializer=Json()) as client,
        dynamokv.connect([kv.address]) as stranger,
    ):
        kv.put("k", {"a": [1, 2]})
        assert client.get("k") == kv.get("k") == {"a": [1, 2]}
        with pytest.raises(SerializationError, match="cannot be stored"):
            kv.put("k", {1, 2})
        with pytest.raises(SerializationError, match="another serializer"):
            stranger.get("k")
        found = stranger.batch_get(["k", "nothing"])
        assert found == {"nothing": None}
        assert isinstance(found.errors["k"], SerializationError)


@pytest.mark.parametrize("gives", [None, "text", 5, bytearray(b"a"), [b"a"]])
def test_a_serializer_that_gives_no_bytes(gives: object) -> None:
    with dynamokv.join(serializer=Broken(gives)) as kv:
        with pytest.raises(SerializationError, match=type(gives).__name__):
            kv.put("k", 1)
        assert kv.get("k", "nothing") == "nothing"


@pytest.mark.parametrize("error", [KeyError("k"), RecursionError(), RuntimeError("no"), OSError()])
def test_a_serializer_that_raises_anything(error: Exception) -> None:
    with dynamokv.join(serializer=Broken(error=error)) as kv:
        with pytest.raises(SerializationError) as caught:
            kv.put("k", 1)
        assert caught.value.__cause__ is error


def test_a_serializer_that_cannot_read_back() -> None:
    with dynamokv.join(serializer=Broken(b"data")) as kv:
        kv.put("k", 1)
        with pytest.raises(SerializationError, match="read back"):
            kv.get("k")
        with pytest.raises(SerializationError, match="read back"):
            kv.get("k", consistency="ONE")
        with pytest.raises(SerializationError, match="read back"):
            kv.read("k")
