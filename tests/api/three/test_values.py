"""What can be a value, that it comes back as it went in, and what is said of the others."""

from __future__ import annotations

import datetime as dt
import enum
import math
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dynamokv
from dynamokv.limits import VALUE_BYTES_MAX, VALUE_DEPTH_MAX

UTC: Final = dt.UTC
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(timezones=st.sampled_from([UTC, dt.timezone(dt.timedelta(hours=2))])),
    st.dates(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
HASHABLE: Final = st.one_of(st.integers(), st.text(), st.binary(), st.uuids(), st.dates())
VALUES: Final = st.recursive(
    SCALARS | st.sets(HASHABLE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_round_trip(members: list[dynamokv.Node], client: dynamokv.Client, value: object) -> None:
    members[0].put("v", value)
    for found in (client.get("v"), members[2].get("v")):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**64, -(2**80), 0.1, math.inf, "", "ä\0", b"", b"\xff", [], {},
        set(), {1, "a", b"b"}, {1: {2: [3]}}, dt.datetime(2024, 2, 29, 1, 2, 3, 456, UTC),
        dt.date(2024, 2, 29), Decimal("1.10"), UUID(int=7),
    ],
)  # fmt: skip
def test_edges(kv: dynamokv.Node | dynamokv.Client, value: object) -> None:
    kv.put("edge", value)
    found = kv.get("edge", "default")
    assert found == value
    assert type(found) is type(value)


def test_nan_comes_back(kv: dynamokv.Node | dynamokv.Client) -> None:
    kv.put("nan", math.nan)
    assert math.isnan(kv.get("nan"))


class Colour(enum.IntEnum):
    RED = 3


class Word(enum.StrEnum):
    YES = "yes"


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({(1, 2)}, {(1, 2)}),
        (frozenset({1}), {1}),
        ([Colour.RED], [3]),
        (Word.YES, "yes"),
    ],
)
def test_comes_back_as_the_plainer_kind(
    kv: dynamokv.Node | dynamokv.Client, given: object, back: object
) -> None:
    kv.put("plain", given)
    found = kv.get("plain")
    assert found == back
    assert type(found) is type(back)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


REFUSED: Final[dict[str, object]] = {
    "object": object(),
    "function": len,
    "class": int,
    "path": Path("a"),
    "complex": 1j,
    "bytearray": bytearray(b"a"),
    "time": dt.time(1, 2),
    "naive datetime": dt.datetime(2024, 1, 1),
    "naive within": {"at": [dt.datetime(2024, 1, 1)]},
    "within a list": [1, object()],
    "as a dict's value": {"a": {"b": 1j}},
    "a dict's key": {(1, 2): 3},
    "surrogate": "\ud800",
    "surrogate within": {"a": ["\udfff"]},
    "too deep": nested(VALUE_DEPTH_MAX + 1),
    "far too deep": nested(5000),
    "cyclic list": cyclic(),
    "cyclic dict": cyclic_dict(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(kv: dynamokv.Node | dynamokv.Client, name: str) -> None:
    kv.put("kept", "before")
    with pytest.raises(dynamokv.SerializationError, match="cannot be stored"):
        kv.put("kept", REFUSED[name])
    with pytest.raises(dynamokv.SerializationError):
        kv.update("kept", lambda _: REFUSED[name])
    result = kv.batch_put({"other": 1, "kept": REFUSED[name]})
    assert list(result) == ["other"]
    assert isinstance(result.errors["kept"], dynamokv.SerializationError)
    assert kv.read("kept").values == ["before"]


def test_depth_limit_itself(kv: dynamokv.Node | dynamokv.Client) -> None:
    deepest = nested(VALUE_DEPTH_MAX - 1)
    kv.put("deep", deepest)
    assert kv.get("deep") == deepest


def test_size_limit(kv: dynamokv.Node | dynamokv.Client) -> None:
    largest = bytes(VALUE_BYTES_MAX - 5)  # a CBOR string of that length has a head of 5 bytes
    kv.put("large", largest)
    assert kv.get("large") == largest
    with pytest.raises(dynamokv.ValueTooLarge, match="blob store") as caught:
        kv.put("large", largest + b"x")
    assert "1,048,577" in str(caught.value)
    assert "1,048,576" in str(caught.value)
    assert kv.read("large").values == [largest]


class Broken:
    """A serializer that does whatever it is told."""

    def __init__(self, dumped: object = b"x", loaded: object = None) -> None:
        self.dumped, self.loaded = dumped, loaded

    def dumps(self, value: object, /) -> bytes:
        if isinstance(self.dumped, Exception):
            raise self.dumped
        return cast(bytes, self.dumped)

    def loads(self, data: bytes, /) -> object:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.mark.parametrize(
    ("dumped", "message"),
    [
        (RuntimeError("no way"), "no way"),
        (KeyError("k"), "cannot be stored"),
        (RecursionError("deep"), "deep"),
        ("text", "returned str"),
        (None, "returned NoneType"),
        (bytearray(b"x"), "returned bytearray"),
    ],
)
def test_serializer_that_cannot_dump(dumped: object, message: str) -> None:
    with dynamokv.join("127.0.0.1:0", serializer=Broken(dumped)) as node:
        with pytest.raises(dynamokv.SerializationError, match=message):
            node.put("k", 1)
        result = node.batch_put({"k": 1})
        assert isinstance(result.errors["k"], dynamokv.SerializationError)
        assert not node.batch_put({}).errors
        assert "k" not in node


def test_serializer_that_cannot_load() -> None:
    with dynamokv.join("127.0.0.1:0", serializer=Broken(loaded=OSError("torn"))) as node:
        node.put("k", 1)
        with pytest.raises(dynamokv.SerializationError, match="torn"):
            node.get("k")
        with pytest.raises(dynamokv.SerializationError, match="torn"):
            node.get("k", consistency="ONE")
        with pytest.raises(dynamokv.SerializationError, match="another serializer"):
            node.read("k")
        result = node.batch_get(["k", "nothing"])
        assert result == {"nothing": None}
        assert isinstance(result.errors["k"], dynamokv.SerializationError)
        node.delete("k")
        assert node.get("k", "gone") == "gone"


def test_serializer_over_the_size_limit() -> None:
    serializer = Broken(bytes(VALUE_BYTES_MAX + 1))
    with dynamokv.join("127.0.0.1:0", serializer=serializer) as node:
        with pytest.raises(dynamokv.ValueTooLarge, match="blob store"):
            node.put("k", 1)
        assert "k" not in node


def test_own_serializer_is_used(members: list[dynamokv.Node]) -> None:
    with dynamokv.connect([members[0].address], serializer=Broken(b"\x01", "own")) as client:
        client.put("own", object())
        assert client.get("own") == "own"
    assert members[0].get("own") == 1
