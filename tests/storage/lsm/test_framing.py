"""Headers and records, and what is found of them in damaged bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm import framing
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    SEARCH_BUDGET,
    Damage,
    FileKind,
    Header,
    Record,
    RecordType,
    decode_header,
    encode_header,
    encode_record,
    salt_seed,
    scan,
)
from tests.storage.lsm.stores import checked, flipped

SALT = b"12345678"
SEED = salt_seed(SALT)
PAYLOADS = [b"first", b"", b"third " * 10, b"\x01" * 30]


def file_of(payloads: list[bytes], first: int = 1) -> bytes:
    data = encode_header(FileKind.WAL, SALT, first)
    for sequence, payload in enumerate(payloads, first):
        data += encode_record(SEED, RecordType.BATCH, sequence, payload)
    return data


def found_in(data: bytes, lowest: int = 1, salt: bytes = SALT) -> list[Record | Damage]:
    """What a scan finds. It accounts for every byte."""
    found = list(scan(data, salt, lowest))
    ends = [HEADER_BYTES, *(item.end for item in found)]
    assert [item.offset for item in found] == ends[:-1]
    assert ends[-1] == max(len(data), HEADER_BYTES)
    return found


def payloads_in(data: bytes, lowest: int = 1) -> list[bytes]:
    return [item.payload for item in found_in(data, lowest) if isinstance(item, Record)]


# Headers.


@pytest.mark.parametrize("kind", FileKind)
@pytest.mark.parametrize("sequence", [0, 1, (1 << 64) - 1])
def test_a_header_is_read_as_it_was_written(kind: FileKind, sequence: int) -> None:
    data = encode_header(kind, SALT, sequence)
    assert len(data) == HEADER_BYTES
    assert decode_header(data + b"more", kind) == Header(SALT, sequence)


def test_a_flipped_bit_of_a_header_is_a_fault_and_never_a_newer_version() -> None:
    data = encode_header(FileKind.WAL, SALT, 7)
    for bit in range(len(data) * 8):
        found = decode_header(flipped(data, bit), FileKind.WAL)
        assert found.fault == "the header fails its checksum"
        # Records are under the salt, so it is worth a try where it may be whole.
        assert (found.salt == SALT) == (not 12 <= bit // 8 < 20)


@pytest.mark.parametrize("size", range(HEADER_BYTES))
def test_half_a_header_is_a_fault(size: int) -> None:
    data = encode_header(FileKind.WAL, SALT, 7)
    assert decode_header(data[:size], FileKind.WAL).fault == "the header is cut off"


def test_a_header_of_another_kind_is_a_fault() -> None:
    data = encode_header(FileKind.TABLE, SALT, 7)
    assert decode_header(data, FileKind.WAL) == Header(
        SALT, 0, "the header is of kind 2, version 1"
    )
    older = checked(data[:8] + b"\x00\x00" + data[10:28])
    assert decode_header(older, FileKind.TABLE).fault == "the header is of kind 2, version 0"


def test_a_newer_version_is_refused() -> None:
    data = encode_header(FileKind.WAL, SALT, 7)
    newer = checked(data[:8] + b"\x00\x03" + data[10:28])
    with pytest.raises(CorruptionError, match=r"version 3 is newer than .* 1: upgrade dynamokv"):
        decode_header(newer, FileKind.WAL)


# Records.


def test_records_are_read_as_they_were_written() -> None:
    found = found_in(file_of(PAYLOADS))
    assert [
        (item.type, item.sequence, item.payload) for item in found if isinstance(item, Record)
    ] == [(RecordType.BATCH, n, payload) for n, payload in enumerate(PAYLOADS, 1)]


@given(st.lists(st.binary(max_size=100)), st.integers(0, (1 << 64) - 20))
def test_any_payloads_at_any_sequence(payloads: list[bytes], first: int) -> None:
    assert payloads_in(file_of(payloads, first), first) == payloads


def test_a_cut_at_every_byte_costs_the_record_that_it_is_in() -> None:
    data = file_of(PAYLOADS)
    ends = [item.end for item in found_in(data)]
    for size in range(HEADER_BYTES, len(data)):
        found = found_in(data[:size])
        whole = sum(end <= size for end in ends)
        assert payloads_in(data[:size]) == PAYLOADS[:whole]
        torn = [item for item in found if isinstance(item, Damage)]
        end = ends[whole - 1] if whole else HEADER_BYTES
        assert torn == ([] if size == end else [Damage(end, size)])


def test_a_flipped_bit_costs_the_record_that_it_is_in() -> None:
    data = file_of(PAYLOADS)
    for number, item in enumerate(found_in(data)):
        for bit in range(item.offset * 8, item.end * 8):
            found = found_in(flipped(data, bit))
            assert found[number] == Damage(item.offset, item.end)
            others = PAYLOADS[:number] + PAYLOADS[number + 1 :]
            assert [x.payload for x in found if isinstance(x, Record)] == others


@pytest.mark.parametrize("first", [1, 1 << 32, (1 << 32) - 1, (1 << 40) + 3])
def test_records_behind_damage_are_found_at_any_sequence(first: int) -> None:
    data = file_of(PAYLOADS, first)
    assert payloads_in(flipped(data, HEADER_BYTES * 8), first) == PAYLOADS[1:]


def test_bytes_of_another_file_are_no_records() -> None:
    """What a block of the disk shows that was given out again: sound records, of another salt."""
    data = file_of(PAYLOADS)
    other = encode_header(FileKind.WAL, b"another.", 1) + data[HEADER_BYTES:]
    assert found_in(other, salt=b"another.") == [Damage(HEADER_BYTES, len(data))]
    behind = data + encode_record(SEED + 1, RecordType.BATCH, 5, b"stale")
    assert found_in(behind)[-1] == Damage(len(data), len(behind))


def test_records_within_a_payload_are_none() -> None:
    """Somebody stores a log as a value. Older records stay what they were, and those that would be
    next pass only behind damage, where nobody can tell."""
    older = file_of(PAYLOADS)[HEADER_BYTES:]
    data = file_of([*PAYLOADS, older])
    assert payloads_in(data) == [*PAYLOADS, older]
    assert found_in(data[:-1])[-1] == Damage(len(file_of(PAYLOADS)), len(data) - 1)


@pytest.mark.parametrize("length", [PAYLOAD_BYTES_MAX + 1, (1 << 32) - 1])
def test_a_length_that_cannot_be_is_not_believed(length: int) -> None:
    data = file_of([]) + bytes(8) + length.to_bytes(4, "big") + b"\x01" + bytes(8)
    assert found_in(data) == [Damage(HEADER_BYTES, len(data))]


def test_a_length_above_the_limit_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "PAYLOAD_BYTES_MAX", 59)
    assert payloads_in(file_of(PAYLOADS)) == [b"first", b"", b"\x01" * 30]


def test_a_record_of_an_unknown_type_is_none() -> None:
    data = file_of([])
    for type in set(range(256)) - set(RecordType):
        unknown = encode_record(SEED, type, 1, b"payload")
        assert found_in(data + unknown) == [Damage(HEADER_BYTES, len(data + unknown))]


@given(st.binary(max_size=300), st.integers(0, 1 << 40))
def test_any_bytes_are_scanned_to_their_end(junk: bytes, lowest: int) -> None:
    found_in(encode_header(FileKind.WAL, SALT, 1) + junk, lowest)


@given(st.data())
def test_good_records_survive_junk_between_them(data: st.DataObject) -> None:
    made = file_of([])
    for sequence in range(1, 5):
        made += encode_record(SEED, RecordType.BATCH, sequence, b"%d" % sequence)
        made += data.draw(st.binary(max_size=40))
    assert payloads_in(made) == [b"1", b"2", b"3", b"4"]


def test_the_search_for_records_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that look like one long record each make the search quadratic, if it is let."""
    hashed: list[int] = []

    def counting(data: bytes, seed: int = 0) -> int:
        hashed.append(len(data))
        return xxh3_64_intdigest(data, seed)

    looks_like_one = b"checksum" + b"\x00\x00\x40\x00" + b"\x01" + (7).to_bytes(8, "big")
    data = file_of([b"first"]) + looks_like_one * 5000
    monkeypatch.setattr(framing, "xxh3_64_intdigest", counting)
    found = found_in(data)
    assert found[-1] == Damage(found[0].end, len(data), gave_up=True)
    assert sum(hashed) < (SEARCH_BUDGET + 1) * len(data)


def test_damage_in_many_places_shares_one_budget() -> None:
    rng = random.Random(1)
    data = bytearray(file_of([b"payload %d" % n for n in range(300)]))
    for _ in range(100):
        data[rng.randrange(HEADER_BYTES, len(data))] ^= 0xFF
    found = found_in(bytes(data))
    assert not [item for item in found if isinstance(item, Damage) and item.gave_up]
    assert len([item for item in found if isinstance(item, Record)]) > 150
