"""Batches: each key fails alone, and large ones arrive whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import dynamokv
from dynamokv import InvalidKey, KeyTooLarge, UsageError

Store = dynamokv.Node | dynamokv.Client


def test_empty(kv: Store) -> None:
    for result in (kv.batch_get([]), kv.batch_put({}), kv.batch_put([]), kv.batch_delete(set())):
        assert result == {}
        assert result.ok
        result.raise_for_errors()


def test_a_bad_key_fails_alone(kv: Store) -> None:
    bad: list[Any] = ["", "k" * 1025, 7, None, "\ud800"]
    for result in (
        kv.batch_put([("good", 1), *((key, 1) for key in bad)]),
        kv.batch_get(["good", *bad]),
        kv.batch_delete(["good", *bad]),
    ):
        assert list(result) == ["good"]
        assert set(result.errors) == set(bad)
        assert type(result.errors["k" * 1025]) is KeyTooLarge
        assert all(isinstance(error, InvalidKey) for error in result.errors.values())
        assert not result.ok
        with pytest.raises(InvalidKey):
            result.raise_for_errors()
    assert kv.get("good", "gone") == "gone"


def test_a_key_that_cannot_stand_among_the_errors(kv: Store) -> None:
    keys: list[Any] = ["good", ["list"]]
    with pytest.raises(InvalidKey, match="list"):
        kv.batch_get(keys)
    with pytest.raises(InvalidKey, match="list"):
        kv.batch_delete(keys)
    with pytest.raises(UsageError, match="unhashable"):
        kv.batch_put([(key, 1) for key in keys])


def test_duplicates(kv: Store) -> None:
    assert list(kv.batch_put([("d", 1), ("e", 1), ("d", 2)])) == ["d", "e"]
    assert kv.read("d").values == [2]
    assert kv.batch_get(["d", "e", "d", "d"]) == {"d": 2, "e": 1}
    assert list(kv.batch_delete(["d", "d"])) == ["d"]


def test_text_and_its_bytes(kv: Store) -> None:
    kv.put("tb", "old")
    result = kv.batch_put([("tb", "text"), (b"tb", "bytes")])
    assert list(result) == ["tb"]
    assert isinstance(result.errors[b"tb"], InvalidKey)
    assert "twice" in str(result.errors[b"tb"])
    assert kv.read("tb").values == ["text"]
    found = kv.batch_get([b"tb", "tb"])
    assert found == {b"tb": "text"}
    assert list(found.errors) == ["tb"]


@pytest.mark.parametrize("items", [7, None, "ab", ["abc"], [("a",)], [1], {"set"}])
def test_items_that_are_none(kv: Store, items: Any) -> None:
    with pytest.raises(UsageError):
        kv.batch_put(items)


@pytest.mark.parametrize("keys", [7, None, "abc", b"abc"])
def test_keys_that_are_none(kv: Store, keys: Any) -> None:
    with pytest.raises(UsageError, match="several keys"):
        kv.batch_get(keys)
    with pytest.raises(UsageError, match="several keys"):
        kv.batch_delete(keys)


def test_iterators_and_views(kv: Store) -> None:
    values = {f"i{n}": n for n in range(5)}
    assert len(kv.batch_put(iter(values.items()))) == 5
    for keys in (iter(values), values.keys(), (key for key in values), dict(values)):
        given: Iterable[str] = keys
        assert kv.batch_get(given) == values


def test_an_iterator_that_fails(kv: Store) -> None:
    def keys() -> Iterable[str]:
        yield "a"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        kv.batch_get(keys())


def test_too_many(kv: Store) -> None:
    keys = [f"many{n}" for n in range(10_001)]
    for call in (
        lambda: kv.batch_get(keys),
        lambda: kv.batch_delete(keys),
        lambda: kv.batch_put(dict.fromkeys(keys, 1)),
    ):
        with pytest.raises(UsageError, match="at most 10,000 keys"):
            call()
    assert kv.get("many0") is None
    assert kv.batch_get(keys[1:], 0) == dict.fromkeys(keys[1:], 0)


def test_a_thousand_keys(kv: Store) -> None:
    values = {f"k{n}": str(n).encode() * 300 for n in range(1000)}
    kv.batch_put(values, timeout=20).raise_for_errors()
    assert kv.batch_get(values, timeout=20) == values
    kv.batch_delete(values, timeout=20).raise_for_errors()
    assert set(kv.batch_get(values, "gone", timeout=20).values()) == {"gone"}


def test_large_values(kv: Store) -> None:
    values = {f"l{n}": bytes([n]) * 200_000 for n in range(30)}
    receipts = kv.batch_put(values, timeout=20)
    receipts.raise_for_errors()
    assert list(receipts) == list(values)
    found = kv.batch_get(values, timeout=20)
    assert found == values
    kv.put("l0", "new", context=receipts["l0"].context)
    assert kv.read("l0").values == ["new"]


def test_a_bad_value_fails_alone(kv: Store) -> None:
    result = kv.batch_put({"good": 1, "large": bytes(1 << 20), "odd": object()})
    assert list(result) == ["good"]
    assert {key: type(error) for key, error in result.errors.items()} == {
        "large": dynamokv.ValueTooLarge,
        "odd": dynamokv.SerializationError,
    }
