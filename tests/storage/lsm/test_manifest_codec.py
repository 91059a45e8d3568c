"""Edits as bytes: what was written is read, and nothing else is taken for an edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.manifest_codec import UnknownFields, decode_edit, encode_edit
from dynamokv.storage.lsm.tree import LEVELS, Edit, Lost, TableMeta

NUMBERS = st.integers(0, (1 << 64) - 1)
KEYS = st.binary(max_size=20)
RANGES = st.tuples(KEYS, KEYS)


@st.composite
def metas(draw: st.DrawFn) -> TableMeta:
    first, last = sorted(draw(st.tuples(KEYS, KEYS)))
    return TableMeta(
        number=draw(NUMBERS),
        size_bytes=draw(NUMBERS),
        digest=draw(st.binary(min_size=16, max_size=16)),
        rows=draw(NUMBERS),
        deletions=draw(NUMBERS),
        first_key=first,
        last_key=last,
        first_sequence=draw(NUMBERS),
        last_sequence=draw(NUMBERS),
        dropped=tuple(draw(st.lists(RANGES, max_size=3))),
    )


EDITS = st.builds(
    Edit,
    removed=st.lists(NUMBERS, max_size=4).map(tuple),
    added=st.lists(st.tuples(st.integers(0, LEVELS - 1), metas()), max_size=3).map(tuple),
    log_number=st.none() | NUMBERS,
    sequence=st.none() | NUMBERS,
    next_number=st.none() | NUMBERS,
    lost=st.lists(st.builds(Lost, st.text(), KEYS, KEYS, st.text()), max_size=2).map(tuple),
    healed=st.lists(RANGES, max_size=3).map(tuple),
    forgot=st.none() | st.booleans(),
)

META = TableMeta(3, 100, bytes(16), 5, 1, b"a", b"z", 7, 9, ((b"b", b"c"),))
LOST = Lost("table-1", b"a", b"b", "gone")
EDIT = Edit((1, 2), ((0, META),), 4, 5, 6, (LOST,), ((b"a", b"b"),), forgot=True)
FIELDS = cbor2.loads(encode_edit(EDIT))


@given(EDITS)
def test_an_edit_is_read_as_it_was_written(edit: Edit) -> None:
    assert decode_edit(encode_edit(edit)) == edit


def test_what_changes_nothing_takes_no_space() -> None:
    assert encode_edit(Edit()) == b"\xa0"
    assert decode_edit(b"\xa0") == Edit()
    assert sorted(FIELDS) == list(range(1, 9))


@given(st.binary(max_size=80))
def test_any_bytes_are_an_edit_or_an_error(payload: bytes) -> None:
    check_refused(payload)


@given(EDITS, st.data())
def test_bytes_in_the_wrong_place_are_an_edit_or_an_error(edit: Edit, data: st.DataObject) -> None:
    payload = bytearray(encode_edit(edit))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check_refused(bytes(payload))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 65), 1 << 65)
    | st.floats()
    | st.binary(max_size=20)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.integers(), inner, max_size=3),
    max_leaves=20,
)


@given(ANYTHING | st.dictionaries(st.integers(1, 8), ANYTHING))
def test_any_item_is_an_edit_or_an_error(item: Any) -> None:
    check_refused(cbor2.dumps(item))


@given(st.sampled_from(sorted(FIELDS)), ANYTHING)
def test_a_field_of_another_kind_is_an_error(field: int, value: Any) -> None:
    check_refused(cbor2.dumps({**FIELDS, field: value}, canonical=True))


@given(st.integers(0, 10), ANYTHING)
def test_a_table_with_a_field_of_another_kind_is_an_error(place: int, value: Any) -> None:
    table = list(FIELDS[2][0])
    table[place] = value
    check_refused(cbor2.dumps({2: [table]}, canonical=True))


def check_refused(payload: bytes) -> None:
    """An error of the store; or the bytes are the one form of what was read."""
    try:
        edit = decode_edit(payload)
    except CorruptionError:
        return
    assert encode_edit(edit) == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80",
        b"\x83\x01\x02\x03",  # known fields, in a list
        b"\xa0\xa0",  # two
        b"\xa2\x03\x01\x03\x01",  # a field twice
        b"\xa2\x04\x01\x03\x01",  # out of order
        b"\xa1\x03\x18\x01",  # a number that is longer than it has to be
        b"\xa1\x01\x80",  # nothing, where there is nothing to say
        b"\xa1\xf9\x42\x00\x01",  # 3.0 for 3
        b"\xa1\x03\xf5",
        b"\xa1\x03\x20",
        b"\xa1\x08\x01",  # 1 for true
        b"\xd8\x23\x61\x28",  # a tag with a fault of its own
        b"\x9f" * 2000,
    ],
)
def test_what_is_nearly_an_edit_is_none(payload: bytes) -> None:
    with pytest.raises(CorruptionError, match="an edit of the manifest cannot be read"):
        decode_edit(payload)


@pytest.mark.parametrize(
    "change",
    [{"digest": bytes(15)}, {"first_key": b"zz"}],
    ids=["a digest too short", "keys the wrong way round"],
)
def test_a_table_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    payload = encode_edit(Edit(added=((0, replace(META, **change)),)))
    with pytest.raises(CorruptionError, match="table 3 makes no sense"):
        decode_edit(payload)


@given(st.integers(9, 1 << 60), ANYTHING)
def test_an_edit_of_a_newer_library_is_told_apart(field: int, value: Any) -> None:
    payload = cbor2.dumps({**FIELDS, field: value}, canonical=True)
    with pytest.raises(UnknownFields, match=rf"fields \[{field}\].*: upgrade dynamokv"):
        decode_edit(payload)
