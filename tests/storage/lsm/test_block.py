"""One block: by column, looked into without being decoded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.storage.lsm.block import MISSING, check_block, decode_block, encode_block, find
from dynamokv.storage.lsm.bloom import key_hash
from tests.storage.lsm.tables import ABSENT, ROWS


def block_of(rows: list[Row], tag: int | None = None) -> bytes:
    keys = [key for key, _ in rows]
    tags = bytes(key_hash(key) & 0xFF if tag is None else tag for key in keys)
    return encode_block(keys, [value for _, value in rows], tags)


def check(rows: list[Row], absent: list[bytes], tag: int | None = None) -> bytes:
    block = block_of(rows, tag)
    assert decode_block(block) == rows
    assert check_block(block)[0] == rows
    for key, value in rows:
        assert find(block, key, key_hash(key) & 0xFF if tag is None else tag) == value
    for key in absent:
        assert find(block, key, key_hash(key) & 0xFF if tag is None else tag) is MISSING
    return block


def test_rows_come_back() -> None:
    check(ROWS, ABSENT)


def test_one_tag_for_all_keys() -> None:
    check(ROWS, ABSENT, tag=7)


@given(
    st.dictionaries(st.binary(max_size=40), st.none() | st.binary(max_size=40), min_size=1),
    st.lists(st.binary(max_size=3)),
)
def test_any_rows_come_back(rows: dict[bytes, bytes | None], keys: list[bytes]) -> None:
    check(sorted(rows.items()), [key for key in keys if key not in rows])


def test_an_empty_value_is_not_a_deletion() -> None:
    block = check([(b"a", b""), (b"b", None), (b"c", b"")], [])
    assert find(block, b"a", key_hash(b"a") & 0xFF) == b""
    assert find(block, b"b", key_hash(b"b") & 0xFF) is None


@pytest.mark.parametrize("size", [65_535 - 24, 65_535 - 15, 65_535 - 14, 65_535, 70_000, 1 << 21])
def test_offsets_are_as_wide_as_they_must_be(size: int) -> None:
    """4 bytes of head, 1 tag, 2 pairs and a key of 2: 15 bytes are not the value's."""
    block = check([(b"ab", bytes(size))], [b"ab\0", b"a", b""])
    assert len(block) - size == (15 if size <= 65_535 - 15 else 23)


@pytest.mark.parametrize("key_bytes", [0, 1, 1024, 65_535])
def test_large_rows_among_small_ones(key_bytes: int) -> None:
    generator = random.Random(key_bytes)
    key = b"m" + bytes(key_bytes - 1) if key_bytes else b""
    small: list[Row] = [(b"z%03d" % i, generator.randbytes(i % 50) or None) for i in range(500)]
    for value in (None, b"", generator.randbytes(70_000)):
        check([(key, value), *small], [b"m" + key, b"z"])


def test_most_rows_that_fit() -> None:
    rows: list[Row] = [(b"%04x" % i, None if i % 3 else b"") for i in range(8_000)]
    assert decode_block(block_of(rows)) == rows
    assert check_block(block_of(rows))[0] == rows


def test_a_changed_block_is_an_error_or_other_rows() -> None:
    """``check_block`` is for bytes that nothing is known about: nothing else may come out of it."""
    block = block_of(ROWS[:6])
    for bit in range(8 * len(block)):
        changed = bytearray(block)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            rows, tags = check_block(bytes(changed))
        except CorruptionError:
            continue
        assert (rows, tags) != check_block(block)
    for size in range(len(block)):
        with pytest.raises(CorruptionError):
            check_block(block[:size])


def test_a_block_without_rows_is_none() -> None:
    with pytest.raises(CorruptionError):
        check_block(encode_block([], [], b""))
