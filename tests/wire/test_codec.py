"""The closed codec: what messages need goes through, and nothing else of CBOR."""

from __future__ import annotations

import resource
import sys
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv import limits
from dynamokv.wire import codec

ITEMS = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.booleans() | st.binary(max_size=30) | st.text(max_size=9),
    lambda items: st.lists(items, max_size=4),
    max_leaves=20,
)


@pytest.fixture(params=["kept", "new"])
def decode(request: pytest.FixtureRequest) -> Any:
    """A decoder that has seen much before, and a new one."""
    return KEPT.decode if request.param == "kept" else codec.decode


KEPT = codec.Decoder()
GOOD = codec.encode([[1, 2**64 - 1, True, "text", [b"bytes", b""]]])


def refuse(decode: Any, data: bytes) -> None:
    """``ValueError`` and no other, and the same decoder goes on as if nothing had been."""
    with pytest.raises(ValueError, match=r"protocol|after the end"):
        decode(data)
    assert decode(GOOD) == [[1, 2**64 - 1, True, "text", [b"bytes", b""]]]


@given(ITEMS)
def test_round_trip(item: object) -> None:
    assert codec.decode(codec.encode(item)) == KEPT.decode(codec.encode(item)) == item


def test_a_named_tuple_is_a_list_of_its_fields() -> None:
    assert codec.encode((1, (b"a", "b"), True)) == codec.encode([1, [b"a", "b"], True])
    assert codec.encode([1, b"a", "b", True]) == bytes.fromhex("84 01 41 61 61 62 f5")


@given(ITEMS, st.binary(min_size=1, max_size=3))
def test_bytes_after_the_end(item: object, more: bytes) -> None:
    for decode in (codec.decode, KEPT.decode):
        with pytest.raises(ValueError, match="after the end"):
            decode(codec.encode(item) + more)


@given(ITEMS)
def test_cut_short_anywhere(item: object) -> None:
    data = codec.encode(item)
    for size in range(len(data)):
        with pytest.raises(ValueError, match="protocol"):
            KEPT.decode(data[:size])


# --- tags -----------------------------------------------------------------------------------------

DATE = cbor2.dumps("2026-07-01T00:00:00Z")
PLAUSIBLE = (b"\x01", cbor2.dumps(b"\x01\x02"), DATE, cbor2.dumps([1, 2]), cbor2.dumps("a"))
"""Contents, one of which each of cbor2's own tags would take."""


@pytest.mark.parametrize("content", PLAUSIBLE[:2])
def test_every_short_tag(content: bytes) -> None:
    """All of them, and not those that today's cbor2 knows: a new release may learn others."""
    for tag in range(2**16):
        with pytest.raises(ValueError, match="protocol"):
            KEPT.decode(b"\xd9" + tag.to_bytes(2) + content)
    assert KEPT.decode(GOOD)


def test_tags_in_every_width(decode: Any) -> None:
    for tag in (*range(300), 1004, 1040, 43000, 55799, 2**31, 2**32, 2**64 - 1):
        heads = [bytes((0xC0 | tag,))] if tag < 24 else []
        for lead, size in ((b"\xd8", 1), (b"\xda", 4), (b"\xdb", 8)):
            if tag < 256**size:
                heads.append(lead + tag.to_bytes(size))
        for head in heads:
            for content in PLAUSIBLE:
                refuse(decode, head + content)
                refuse(decode, b"\x82\x01" + head + content)


OWN_TAGS = [
    (0, "2026-07-01T00:00:00Z"), (1, 1), (2, b"\1"), (3, b"\1"), (4, [1, 2]), (5, [1, 2]),
    (28, [1]), (30, [1, 2]), (35, "a"), (36, "Content-Type: text/plain\n\na"), (37, bytes(16)),
    (52, bytes(4)), (54, bytes(16)), (100, 1), (256, ["a"]), (258, ["a"]), (260, bytes(4)),
    (261, {bytes(4): 24}), (1004, "2026-07-01"), (43000, [1, 2]), (55799, 1),
]  # fmt: skip
"""What cbor2 makes objects of: each tag with a content that it takes."""


@pytest.mark.parametrize(("tag", "content"), OWN_TAGS)
def test_tags_that_build_objects_elsewhere(decode: Any, tag: int, content: object) -> None:
    data = b"\xd9" + tag.to_bytes(2) + cbor2.dumps(content)
    cbor2.loads(data)
    refuse(decode, data)


def test_whatever_the_decoder_raises_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    class Angry:
        def __init__(self, *_: object, **__: object) -> None:
            self.fp = None

        def decode(self) -> object:
            raise OverflowError

    monkeypatch.setattr(cbor2, "CBORDecoder", Angry)
    with pytest.raises(ValueError, match="protocol"):
        codec.decode(GOOD)


# --- shapes that CBOR has and the protocol has not ------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "9f ff", "9f 01 ff", "81 9f ff",  # indefinite lists
        "bf ff", "bf 61 61 01 ff",  # maps
        "5f ff", "5f 41 61 ff",  # byte strings
        "7f ff", "7f 61 61 ff",  # texts
        "9f", "5f", "7f", "bf", "ff", "81 ff", "1f", "3f", "df",
    ],
)  # fmt: skip
def test_indefinite_lengths(decode: Any, text: str) -> None:
    refuse(decode, bytes.fromhex(text))


@pytest.mark.parametrize(
    "text",
    [
        "a2 61 61 01 61 61 02",  # "a" twice
        "a2 41 61 01 41 61 01",  # b"a" twice
        "a3 61 61 01 61 62 02 61 61 03",
        "81 a2 61 61 01 61 61 02",
        "a2 61 61 01 78 01 61 02",  # "a" twice, once with a longer length
        "a1 01 02",  # numbers, lists and nothing as keys
        "a1 80 02",
        "a1 f6 02",
        "a1 f5 02",
        "a1 f9 00 00 02",
    ],
)
def test_maps_with_equal_or_odd_keys(decode: Any, text: str) -> None:
    refuse(decode, bytes.fromhex(text))


@pytest.mark.parametrize(
    "text",
    [
        "", "1c", "1d", "1e", "3c", "5c", "7c", "9c", "bc", "dc", "fc", "fd", "fe",
        "f8 00", "f8 1f",  # reserved
        "61 ff", "62 c3 28", "63 ed a0 80", "64 f0 28 8c bc",  # no UTF-8
        "18", "19 00", "1a 00 00", "1b 00", "d8", "f9 00", "fa 00", "fb 00",
    ],
)  # fmt: skip
def test_what_is_no_cbor(decode: Any, text: str) -> None:
    refuse(decode, bytes.fromhex(text))


@pytest.mark.parametrize("open_one", [b"\x81", b"\xa1\x61a", b"\x82\x01"])
def test_depth(decode: Any, open_one: bytes) -> None:
    deepest = open_one * limits.CBOR_DEPTH_MAX + b"\x01"
    assert decode(deepest)
    refuse(decode, open_one + deepest)
    refuse(decode, open_one * 100_000 + b"\x01")
    refuse(decode, open_one * limits.CBOR_DEPTH_MAX * 2)
    assert decode(deepest)


# --- what it may cost -----------------------------------------------------------------------------


@pytest.mark.parametrize("lead", ["9a", "ba", "5a", "7a", "9b", "bb", "5b", "7b"])
@pytest.mark.parametrize("content", [b"", b"\x01", b"\x61a\x01" * 5, b"\x9a\xff\xff\xff\xff" * 9])
def test_a_huge_length_costs_nothing(decode: Any, lead: str, content: bytes) -> None:
    """A list of 2^31 items would be 16 GiB if anybody believed it."""
    size = 4 if lead.endswith("a") else 8
    before = peak_bytes()
    for declared in (2**31 - 1, 2**31, 2**32 - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1):
        refuse(decode, bytes.fromhex(lead) + declared.to_bytes(size) + content)
    assert peak_bytes() - before < 64 * limits.MiB


def peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
