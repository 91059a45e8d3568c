"""Every call on one key: what it returns, and what it refuses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import dynamokv
from dynamokv import Consistency, InvalidContext, UsageError
from tests import waiting

Store = dynamokv.Node | dynamokv.Client
Members = list[dynamokv.Node]


@pytest.fixture
def key() -> str:
    """One that no other test uses."""
    return uuid.uuid4().hex


def test_get_and_defaults(kv: Store, key: str) -> None:
    assert kv.get(key) is None
    assert kv.get(key, 7) == 7
    assert kv.get(key, 7, consistency="ONE") == 7
    kv.put(key, None)
    assert kv.get(key, 7) is None


def test_read(kv: Store, key: str) -> None:
    nothing = kv.read(key, "default")
    assert (nothing.exists, nothing.values, nothing.value) == (False, [], "default")
    kv.put(key, "new", context=nothing.context)
    entry = kv.read(key)
    assert (entry.exists, entry.values, entry.value) == (True, ["new"], "new")
    assert entry.receipt.needed == 2
    assert entry.receipt.acks >= 2


def test_delete(kv: Store, key: str) -> None:
    kv.delete(key)
    kv.put(key, 1)
    context = kv.read(key).context
    kv.delete(key, context=context)
    kv.delete(key)
    assert kv.read(key).values == []
    kv.put(key, 2)
    assert kv.get(key) == 2


def test_update(kv: Store, key: str) -> None:
    for _ in range(3):
        kv.update(key, lambda count: count + 1, default=0)
    assert kv.read(key).values == [3]
    seen: list[object] = []
    kv.update(key + "2", lambda value: [seen.append(value)])  # type: ignore[func-returns-value]
    assert seen == [None]


def test_update_whose_function_fails(kv: Store, key: str) -> None:
    kv.put(key, "kept")

    def fail(value: object) -> object:
        raise LookupError(value)

    with pytest.raises(LookupError, match="kept"):
        kv.update(key, fail)
    assert kv.read(key).values == ["kept"]


def test_mapping(kv: Store, key: str) -> None:
    with pytest.raises(KeyError, match=key):
        kv[key]
    with pytest.raises(KeyError, match=key):
        del kv[key]
    assert key not in kv
    kv[key] = None
    assert key in kv
    assert kv[key] is None
    del kv[key]
    assert key not in kv
    with pytest.raises(KeyError):
        del kv[key]


def gone(store: Store | dynamokv.Bucket, key: str) -> bool:
    return bool(store.get(key, "gone") == "gone")


def test_ttl(kv: Store, key: str) -> None:
    bucket = kv.bucket("brief", ttl=0.2)
    kv.put(key, "brief", ttl=0.2)
    bucket.put(key, "brief")
    bucket.put(key + "long", "long", ttl=600)
    kv.put(key + "batch", "long")
    kv.batch_put({key + "batch": "brief"}, ttl=0.2).raise_for_errors()
    kv.update(key + "update", lambda _: "brief", ttl=0.2)
    for store, name in ((kv, key), (bucket, key), (kv, key + "batch"), (kv, key + "update")):
        waiting.until(partial(gone, store, name), "expiry")
        assert not store.read(name).exists
        assert name not in store
        assert store.batch_get([name], "gone") == {name: "gone"}
    assert bucket.get(key + "long") == "long"


@pytest.mark.parametrize("ttl", [0, -1, "x", True, float("nan")])
def test_bad_ttl(kv: Store, key: str, ttl: Any) -> None:
    for call in (
        lambda: kv.put(key, 1, ttl=ttl),
        lambda: kv.update(key, str, ttl=ttl),
        lambda: kv.batch_put({key: 1}, ttl=ttl),
        lambda: kv.bucket("b", ttl=ttl),
    ):
        with pytest.raises(UsageError, match="ttl must be a positive number"):
            call()
    assert key not in kv


@pytest.mark.parametrize("timeout", [0, -1, "x", True, float("nan"), [1]])
def test_bad_timeout(kv: Store, key: str, timeout: Any) -> None:
    for call in every_call(kv, key, timeout=timeout):
        with pytest.raises(UsageError, match="timeout must be a positive number"):
            call()
    with pytest.raises(UsageError, match="timeout"):
        kv.bucket("b", timeout=timeout)
    assert key not in kv


def every_call(kv: Store, key: str, **options: Any) -> list[Callable[[], object]]:
    return [
        lambda: kv.get(key, **options),
        lambda: kv.read(key, **options),
        lambda: kv.put(key, 1, **options),
        lambda: kv.delete(key, **options),
        lambda: kv.update(key, lambda _: 1, **options),
        lambda: kv.batch_get([key], **options),
        lambda: kv.batch_put({key: 1}, **options),
        lambda: kv.batch_delete([key], **options),
    ]


@pytest.mark.parametrize("timeout", [0.5, 5, 1e12, float("inf")])
def test_good_timeout(kv: Store, key: str, timeout: float) -> None:
    for call in every_call(kv, key, timeout=timeout):
        call()


@pytest.mark.parametrize("level", ["MOST", "", 0, -1, 255, 256, 1.0, True, b"ONE", ["ONE"]])
def test_bad_consistency(kv: Store, key: str, level: Any) -> None:
    for call in every_call(kv, key, consistency=level):
        with pytest.raises(UsageError, match="consistency must be ONE, TWO, QUORUM, ALL"):
            call()
    with pytest.raises(UsageError, match="consistency"):
        kv.bucket("b", consistency=level)
    assert key not in kv


NEEDED = [("ONE", 1), ("two", 2), ("Quorum", 2), ("ALL", 3), (1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("level", "needed"),
    [*NEEDED, *((each, n) for each, n in zip(Consistency, (2, 1, 2, 3), strict=True))],
)
def test_consistency(kv: Store, key: str, level: str | int, needed: int) -> None:
    receipt = kv.put(key, "v", consistency=level)
    assert receipt.needed == needed
    assert len(set(receipt.replicas)) == receipt.acks >= needed
    assert receipt.duration > 0
    assert receipt.context
    assert not receipt.sloppy
    assert kv.put(key, "v", consistency="ALL").acks == 3
    read = kv.read(key, consistency=level).receipt
    assert (read.needed, read.acks >= needed) == (needed, True)
    assert kv.get(key, consistency=level) == "v"
    assert kv.bucket("b", consistency=level).put(key, 1).needed == needed


def test_receipts_name_members(kv: Store, members: Members, key: str) -> None:
    ids = {node.node_id for node in members}
    assert set(kv.put(key, 1, consistency="ALL").replicas) == ids


def test_above_n(kv: Store, key: str) -> None:
    for call in every_call(kv, key, consistency=4)[:5]:
        with pytest.raises(dynamokv.DynamoKVError, match="4"):
            call()
    for result in (
        kv.batch_get([key], consistency=4),
        kv.batch_put({key: 1}, consistency=4),
        kv.batch_delete([key], consistency=4),
    ):
        assert not result
        assert list(result.errors) == [key]
    assert key not in kv


@pytest.mark.parametrize("sloppy", ["yes", 2, b""])
def test_bad_sloppy(kv: Store, key: str, sloppy: Any) -> None:
    with pytest.raises(UsageError, match="sloppy"):
        kv.put(key, 1, sloppy=sloppy)
    assert kv.put(key, 1, sloppy=False).acks >= 2
    assert kv.delete(key, sloppy=True).acks >= 2


# Contexts and siblings.


def test_contexts_that_are_none(kv: Store, key: str) -> None:
    kv.put(key, "kept")
    own, other = kv.read(key).context, kv.put(key + "2", 1).context
    damaged = [
        other,
        own[:-1],
        own[1:],
        own[:1],
        own + b"\0",
        bytes(reversed(own)),
        bytes([own[0] ^ 1]) + own[1:],
        own[:-1] + bytes([own[-1] ^ 1]),
        b"",
        b"x" * 100_000,
    ]
    for context in [*damaged, own.hex(), bytearray(own), 7, False]:
        with pytest.raises(InvalidContext):
            kv.put(key, "lost", context=context)  # type: ignore[arg-type]
        with pytest.raises(InvalidContext):
            kv.delete(key, context=context)  # type: ignore[arg-type]
    with pytest.raises(InvalidContext):
        kv.bucket("b").put(key, "lost", context=own)
    assert kv.read(key).values == ["kept"]
    kv.put(key, "new", context=own)
    assert kv.read(key).values == ["new"]


def siblings(members: Members, key: str, *values: object, bucket: str = "s") -> bytes:
    """Put values that have not seen each other, oldest first; what had all seen, none has."""
    stores = [node.bucket(bucket) for node in members]
    context = stores[0].read(key).context
    for at, value in enumerate(values):
        stores[at % 3].put(key, value, context=context, consistency="ALL")
    return context


def test_siblings_are_kept_and_merged(kv: Store, members: Members, key: str) -> None:
    siblings(members, key, "a", "b", "c")
    entry = kv.bucket("s").read(key)
    assert sorted(entry.values) == ["a", "b", "c"]
    assert entry.value == entry.values[0] == "c"
    kv.bucket("s").put(key, "merged", context=entry.context)
    assert kv.bucket("s").read(key).values == ["merged"]


def test_a_receipt_is_a_context(kv: Store, key: str) -> None:
    first = kv.put(key, 1)
    second = kv.put(key, 2, context=first.context)
    kv.put(key, 3, context=first.context)
    assert sorted(kv.read(key).values) == [2, 3]
    kv.delete(key, context=second.context)
    assert kv.read(key).values == [3]


@pytest.mark.parametrize(
    ("resolver", "values", "shown"),
    [
        ("latest", [1, 3, 2], 2),
        ("union", [{1}, {2}, {2, 3}], {1, 2, 3}),
        ("union", [[1, 2], [2, 3]], [1, 2, 3]),
        ("union", [{"a": 1, "b": [1]}, {"a": 2, "b": [2], "c": 3}], {"a": 2, "b": [1, 2], "c": 3}),
        ("union", [5, 3], 3),
        ("union", [[1], {2}], {2}),
        ("merge", [5, 3.5], 5),
        ("merge", [{"n": 5}, {"n": 3}], {"n": 5}),
        ("merge", [True, False], False),
        (sum, [1, 2, 3], 6),
        (lambda values: "-".join(values), ["a", "b"], "b-a"),
    ],
)
def test_resolvers(
    kv: Store, members: Members, key: str, resolver: Any, values: list[Any], shown: object
) -> None:
    siblings(members, key, *values)
    bucket = kv.bucket("s", resolver=resolver)
    assert bucket.get(key) == shown
    assert bucket[key] == shown
    assert bucket.read(key).value == shown
    assert bucket.batch_get([key]) == {key: shown}
    bucket.update(key, lambda value: value)
    assert bucket.read(key).values == [shown]


def test_keep_all(kv: Store, members: Members, key: str) -> None:
    siblings(members, key, 1, 2)
    bucket = kv.bucket("s", resolver="keep_all")
    for level in ("ONE", "QUORUM"):
        with pytest.raises(dynamokv.SiblingsError) as caught:
            bucket.get(key, consistency=level)
        assert caught.value.values == [2, 1]
    assert isinstance(bucket.batch_get([key]).errors[key], dynamokv.SiblingsError)
    with pytest.raises(dynamokv.SiblingsError):
        bucket.update(key, str)
    assert bucket.read(key).values == [2, 1]
    bucket.put(key, sum(caught.value.values), context=caught.value.context)
    assert bucket.get(key) == 3


def test_resolver_that_fails(kv: Store, members: Members, key: str) -> None:
    siblings(members, key, 1, 2)
    bucket = kv.bucket("s", resolver=lambda values: getattr(values, "no_such_" + "name"))
    with pytest.raises(AttributeError, match="no_such_name"):
        bucket.get(key)
    assert bucket.read(key).values == [2, 1]


@pytest.mark.parametrize("resolver", ["newest", "", 1, ["latest"]])
def test_bad_resolver(kv: Store, resolver: Any) -> None:
    with pytest.raises(UsageError, match="resolver must be one of latest, keep_all"):
        kv.bucket("b", resolver=resolver)
