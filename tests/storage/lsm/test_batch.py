"""Rows of a batch as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.errors import CorruptionError, UsageError
from dynamokv.ports import Row
from dynamokv.storage.lsm import batch as batch_module
from dynamokv.storage.lsm.batch import KEY_BYTES_MAX, decode_batch, encode_batch

ROWS = st.lists(st.tuples(st.binary(max_size=20), st.none() | st.binary(max_size=40)), max_size=5)


@given(ROWS)
def test_rows_are_read_as_they_were_written(rows: list[Row]) -> None:
    assert decode_batch(encode_batch(rows)) == rows


@given(ROWS, st.integers(0, 400), st.binary(max_size=3))
def test_a_batch_that_ends_elsewhere_is_none(rows: list[Row], cut: int, more: bytes) -> None:
    """A sound checksum over it: whoever wrote it has a bug."""
    payload = encode_batch(rows)
    for wrong in (payload[: min(cut, len(payload) - 1)], payload + b"x" + more):
        with pytest.raises(CorruptionError, match=r"a batch "):
            decode_batch(wrong)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_batch_or_an_error(payload: bytes) -> None:
    try:
        rows = decode_batch(payload)
    except CorruptionError:
        return
    assert encode_batch(rows) == payload


def test_a_key_of_the_greatest_length_fits() -> None:
    rows: list[Row] = [(b"k" * KEY_BYTES_MAX, b"v"), (b"l" * KEY_BYTES_MAX, None)]
    assert decode_batch(encode_batch(rows)) == rows
    assert decode_batch(encode_batch(rows[:1])) == rows[:1]


@pytest.mark.parametrize("row", [(b"k" * 65536, b""), (b"k" * 65536, None)])
@pytest.mark.parametrize("others", [[], [(b"a", b"1")]])
def test_a_longer_key_is_refused(row: Row, others: list[Row]) -> None:
    with pytest.raises(UsageError, match="a key is over 65535 bytes"):
        encode_batch([*others, row])


def test_a_batch_that_no_record_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "PAYLOAD_BYTES_MAX", 100)
    assert len(encode_batch([(b"a", b"x" * 40), (b"b", b"x" * 42)])) == 100
    with pytest.raises(UsageError, match="a batch of 101 bytes is over 100: split it"):
        encode_batch([(b"a", b"x" * 40), (b"b", b"x" * 43)])
    assert len(encode_batch([(b"a", b"x" * 89)])) == 100
    with pytest.raises(UsageError, match="split it"):
        encode_batch([(b"a", b"x" * 90)])
