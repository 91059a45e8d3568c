"""Names and rows: their bytes, their ranges, and where exactly they end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv import limits
from dynamokv.types import NodeId
from dynamokv.wire import keys
from dynamokv.wire.keys import is_data_row, is_name, name_of, partition_range, row_key

BUCKETS = st.binary(max_size=limits.BUCKET_NAME_BYTES_MAX)
KEYS = st.binary(min_size=1, max_size=40)
PARTITIONS = st.integers(0, limits.PARTITIONS_MAX - 1)


@given(BUCKETS, KEYS)
def test_a_name_keeps_bucket_and_key_apart(bucket: bytes, key: bytes) -> None:
    name = name_of(bucket, key)
    assert name == bytes([len(bucket)]) + bucket + key
    assert (name[1 : 1 + name[0]], name[1 + name[0] :]) == (bucket, key)
    assert is_name(name)


@given(BUCKETS, KEYS, BUCKETS, KEYS)
def test_no_two_pairs_share_a_name(bucket: bytes, key: bytes, other: bytes, last: bytes) -> None:
    assert (name_of(bucket, key) == name_of(other, last)) == ((bucket, key) == (other, last))


@given(PARTITIONS, BUCKETS, KEYS)
def test_a_row_lies_in_the_range_of_its_partition(
    partition: int, bucket: bytes, key: bytes
) -> None:
    row = row_key(partition, name_of(bucket, key))
    first, after = partition_range(partition)
    assert row == partition.to_bytes(2) + b"\x01" + name_of(bucket, key)
    assert is_data_row(row)
    assert keys.FIRST_DATA_ROW <= first <= row < after <= keys.END_OF_DATA


def test_ranges_follow_on_each_other() -> None:
    ranges = [partition_range(partition) for partition in range(limits.PARTITIONS_MAX)]
    assert ranges[0][0] == keys.FIRST_DATA_ROW
    assert ranges[-1][1] == keys.END_OF_DATA
    assert all(one[1] == following[0] for one, following in pairwise(ranges))
    assert all(first < after for first, after in ranges)


def test_numbers_on_disk_are_fixed_for_ever() -> None:
    assert keys.KEYSPACE_DATA == 1
    assert keys.IDENTITY_ROW == b"\xff\xff\x00identity"
    assert keys.TOPOLOGY_ROW == b"\xff\xff\x00topology"
    assert keys.END_OF_DATA == b"\x80\x00\x00"
    assert keys.ROW_KEY_BYTES_MAX == 3 + 1 + 64 + 1024


BUCKET_MAX = b"b" * limits.BUCKET_NAME_BYTES_MAX
KEY_MAX = b"k" * limits.KEY_BYTES_MAX


@pytest.mark.parametrize(
    ("name", "good"),
    [
        (b"", False),
        (b"\x00", False),  # no key
        (b"\x00k", True),
        (b"\x01b", False),
        (b"\x01bk", True),
        (b"\x02b", False),  # the bucket is cut short
        (b"\x00" + KEY_MAX, True),
        (b"\x00" + KEY_MAX + b"k", False),
        (name_of(BUCKET_MAX, b""), False),
        (name_of(BUCKET_MAX, b"k"), True),
        (name_of(BUCKET_MAX, KEY_MAX), True),
        (name_of(BUCKET_MAX, KEY_MAX + b"k"), False),
        (name_of(BUCKET_MAX + b"b", b"k"), False),
        (b"\xff" + bytes(300), False),
        (b"\x00\x00", True),  # any byte may be in a key
    ],
)
def test_names_and_rows_at_their_limits(name: bytes, good: bool) -> None:
    assert is_name(name) is good
    for partition in (0, 1, 255, 256, 0x7FFF):
        assert is_data_row(row_key(partition, name)) is good
    for partition in (0x8000, 0x8001, 0xFFFF):
        assert is_data_row(row_key(partition, name)) is False


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\x00\x01",
        b"\x00\x00\x01\x00",
        b"\x00\x00\x00\x00k",  # another keyspace
        b"\x00\x00\x02\x00k",
        b"\x7f\xff\x00\x00k",
        keys.FIRST_DATA_ROW,
        keys.END_OF_DATA,
        keys.END_OF_DATA + b"\x00k",
        b"\x80\x00\x01\x00k",
        keys.IDENTITY_ROW,
        keys.TOPOLOGY_ROW,
        b"\xff\xff\x01\x00k",
        keys.HINTS + bytes(16) + row_key(1, name_of(b"", b"k")),
    ],
)
def test_what_is_no_row_of_data(row: bytes) -> None:
    """Above all the store's own rows: a peer that could write those could make a node somebody
    else."""
    assert is_data_row(row) is False


@given(st.binary(max_size=12) | st.binary(max_size=6).map(lambda end: b"\x00\x00\x01" + end))
def test_a_row_of_data_is_exactly_what_row_key_makes(row: bytes) -> None:
    rebuilt = row_key(int.from_bytes(row[:2]), row[3:])
    expected = rebuilt == row and is_name(row[3:]) and row < keys.END_OF_DATA
    assert is_data_row(row) is expected


@given(st.binary(max_size=12))
def test_a_name_is_exactly_what_name_of_makes(name: bytes) -> None:
    size = name[0] if name else 0
    bucket, key = name[1 : 1 + size], name[1 + size :]
    assert is_name(name) is (name_of(bucket, key) == name and key != b"" and size <= 64)


def test_the_hints_for_a_member_are_one_range_outside_of_the_data() -> None:
    rows = [row_key(partition, name_of(b"", b"k")) for partition in (0, 0x7FFF)]
    ids = [NodeId(bytes((first,)) * 16) for first in (0, 1, 0xFF)]
    hints = [keys.hint_row(target, row) for target in ids for row in rows]
    assert hints == sorted(hints)
    assert all(keys.HINTS <= hint < keys.END_OF_HINTS < keys.IDENTITY_ROW for hint in hints)
    assert [keys.split_hint_row(hint) for hint in hints] == [(t, row) for t in ids for row in rows]
