"""What can be a key or the name of a bucket, and which keys are the same."""

from __future__ import annotations

import pytest

import dynamokv
from dynamokv import InvalidKey, KeyTooLarge

Store = dynamokv.Node | dynamokv.Client

BAD_KEYS: list[tuple[object, type[InvalidKey], str]] = [
    ("", InvalidKey, "empty"),
    (b"", InvalidKey, "empty"),
    ("k" * 1025, KeyTooLarge, "1,025 bytes"),
    (b"k" * 1025, KeyTooLarge, "1,024"),
    ("ä" * 513, KeyTooLarge, "1,026 bytes"),
    ("\ud800", InvalidKey, "not valid text"),
    ("a\udcffb", InvalidKey, "not valid text"),
    (None, InvalidKey, "NoneType"),
    (1, InvalidKey, "int"),
    (True, InvalidKey, "bool"),
    (("a",), InvalidKey, "tuple"),
    (["a"], InvalidKey, "list"),
    (bytearray(b"a"), InvalidKey, "bytearray"),
    (memoryview(b"a"), InvalidKey, "memoryview"),
]


@pytest.mark.parametrize(("key", "error", "message"), BAD_KEYS)
def test_bad_keys(kv: Store, key: object, error: type[InvalidKey], message: str) -> None:
    bad: str = key  # type: ignore[assignment]
    refuses(kv, bad, error, message)
    refuses(kv.bucket("b"), bad, error, message)


def refuses(
    store: Store | dynamokv.Bucket, bad: str, error: type[InvalidKey], message: str
) -> None:
    for call in (
        lambda: store.get(bad),
        lambda: store.get(bad, consistency="ONE"),
        lambda: store.read(bad),
        lambda: store.put(bad, 1),
        lambda: store.delete(bad),
        lambda: store.update(bad, lambda value: value),
        lambda: store[bad],
        lambda: bad in store,
        lambda: store.__setitem__(bad, 1),
        lambda: store.__delitem__(bad),
    ):
        with pytest.raises(error, match=message) as caught:
            call()
        assert type(caught.value) is error


@pytest.mark.parametrize("key", ["k", "k" * 1024, "ä" * 512, "\0", " ", "a/b:c", b"\xff\xfe\0"])
def test_good_keys(kv: Store, key: str | bytes) -> None:
    for store in (kv, kv.bucket("b" * 64)):
        store.put(key, [1])
        assert store.get(key) == [1]
        assert key in store
        del store[key]
        assert key not in store


def test_text_and_its_bytes_are_one_key(kv: Store) -> None:
    kv.put("schlüssel", "text")
    assert kv.get("schlüssel".encode()) == "text"
    kv.put("schlüssel".encode(), "bytes")
    assert kv.read("schlüssel").values == ["bytes"]
    assert kv.bucket(b"eimer") is not kv.bucket("eimer")
    kv.bucket(b"eimer").put("k", 1)
    assert kv.bucket("eimer").get(b"k") == 1


def test_normal_forms_are_two_keys(kv: Store) -> None:
    kv.put("\u00e9", "one")
    kv.put("e\u0301", "two")
    assert (kv.get("\u00e9"), kv.get("e\u0301")) == ("one", "two")


def test_buckets_are_apart(kv: Store) -> None:
    places: list[tuple[Store | dynamokv.Bucket, str | bytes]] = [
        (kv, "ab"),
        (kv.bucket("a"), "b"),
        (kv.bucket("ab"), "ab"),
        (kv.bucket("b"), "a"),
        (kv, b"\x01ab"),
        (kv.bucket(b"\x01"), "ab"),
        (kv, b"\x01abb"),
        (kv.bucket("a"), "bb"),
        (kv.bucket(b"a\0"), "b"),
        (kv.bucket(b"a"), "\0b"),
    ]
    for number, (store, key) in enumerate(places):
        store.put(key, number)
    assert [store.get(key) for store, key in places] == list(range(len(places)))
    places[1][0].delete("b")
    assert kv.get("ab") == 0


def test_a_bucket_of_a_bucket_is_no_deeper(kv: Store) -> None:
    kv.bucket("outer", ttl=60).bucket("inner").put("k", "v")
    assert kv.bucket("inner").get("k") == "v"
    assert kv.bucket("outer").get("k") is None


@pytest.mark.parametrize("name", ["b", "b" * 64, "ü" * 32, b"\xff" * 64, "\0"])
def test_bucket_names(kv: Store, name: str | bytes) -> None:
    kv.bucket(name).put("k", "v")
    assert kv.bucket(name)["k"] == "v"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "1 to 64 bytes, not 0"),
        (b"", "not 0"),
        ("b" * 65, "not 65"),
        ("ü" * 33, "not 66"),
        ("\ud800", "not valid text"),
        (None, "NoneType"),
        (7, "int"),
    ],
)
def test_bad_bucket_names(kv: Store, name: object, message: str) -> None:
    with pytest.raises(dynamokv.UsageError, match=message):
        kv.bucket(name)  # type: ignore[arg-type]
