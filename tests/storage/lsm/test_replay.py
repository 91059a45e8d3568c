"""A log is read in pieces, wherever those are cut; and the record of one row is the same bytes,
whichever way it was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.errors import CorruptionError, UsageError
from dynamokv.ports import Row
from dynamokv.storage.lsm import replay as replaying
from dynamokv.storage.lsm.batch import KEY_BYTES_MAX, VALUE_BYTES_MAX, encode_batch
from dynamokv.storage.lsm.framing import FileKind, RecordType, encode_header, encode_record
from dynamokv.storage.lsm.replay import replay
from dynamokv.storage.lsm.row_record import encode_row_record
from dynamokv.testing.disk import SimulatedDisk

LOG = Path("/log")
SALT = b"saltsalt"
SEED = int.from_bytes(SALT, "big")
BATCHES: list[list[Row]] = [
    [(b"a", b"1")],
    [],
    [(b"b", b"2" * 90), (b"c", None)],
    [(b"", b"")],
    [(b"c", b"3" * 300)],
    [(b"a", None)],
    [],
]
ROWS = {b"a": None, b"b": b"2" * 90, b"c": b"3" * 300, b"": b""}


def log_of(batches: list[list[Row]]) -> bytes:
    records = (
        encode_record(SEED, RecordType.BATCH, sequence, encode_batch(batch))
        for sequence, batch in enumerate(batches, 5)
    )
    return encode_header(FileKind.WAL, SALT, 5) + b"".join(records)


def replayed(data: bytes, size_bytes: int) -> tuple[int, dict[bytes, bytes | None]]:
    disk = SimulatedDisk()
    disk.put(LOG, data)
    rows: dict[bytes, bytes | None] = {}
    return replay(disk.open_read(LOG), size_bytes, 5, rows), rows


def test_any_piece_gives_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in range(len(BATCHES) + 1):
        data = log_of(BATCHES[:count])
        whole = replayed(data, len(data))
        assert whole[0] == 5 + count
        for size in range(32, len(data) + 1):
            monkeypatch.setattr(replaying, "PIECE_BYTES", size)
            assert replayed(data, len(data)) == whole
            # What was appended since is not read.
            assert replayed(data + b"more", len(data)) == whole
    assert whole[1] == ROWS


@pytest.mark.parametrize("piece_bytes", [40, 1000])
def test_every_flipped_bit_and_every_cut_is_noticed(
    monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(replaying, "PIECE_BYTES", piece_bytes)
    data = log_of(BATCHES)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptionError):
            replayed(bytes(flipped), len(data))
    for size in range(len(data)):
        with pytest.raises(CorruptionError):
            replayed(data[:size], len(data))


def test_a_record_of_one_row_is_that_of_a_batch() -> None:
    rows: list[Row] = [(b"k", b"v" * 50), (b"", b""), (b"k" * KEY_BYTES_MAX, None), (b"k", b"")]
    for key, value in rows:
        payload = encode_batch([(key, value)])
        expected = encode_record(SEED, RecordType.BATCH, 2**33, payload)
        assert encode_row_record(SEED, 2**33, key, value) == expected


def test_a_row_that_does_not_fit_is_refused() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return VALUE_BYTES_MAX + 1

    for key, value in ((b"k" * (KEY_BYTES_MAX + 1), b""), (b"k", Huge())):
        with pytest.raises(UsageError, match="is over"):
            encode_row_record(SEED, 1, key, value)
