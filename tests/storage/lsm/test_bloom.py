"""The filter: never a false negative, and few false positives."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_hexdigest

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm import bloom
from tests.storage.lsm.tables import FORMAT, build

ROOT = Path(__file__).parents[3]
KEYS = [b"user:%08d" % i for i in range(20_000)]
OTHERS = [b"user:%08d" % i for i in range(1_000_000, 1_100_000)]


def filter_of(keys: list[bytes], bits: int) -> array[int]:
    return bloom.build(map(bloom.key_hash, keys), len(keys), bits)


@given(st.lists(st.binary(max_size=20)), st.integers(0, 64))
def test_no_false_negatives(keys: list[bytes], bits: int) -> None:
    words = filter_of(keys, bits)
    assert all(bloom.lets_through(words, bloom.key_hash(key)) for key in keys)


@pytest.mark.parametrize(
    ("bits", "percent"), [(8, 4.0), (10, 2.2), (12, 1.5), (16, 0.7), (24, 0.25)]
)
def test_few_false_positives(bits: int, percent: float) -> None:
    words = filter_of(KEYS, bits)
    assert len(words) * 64 <= len(KEYS) * bits + 63
    let_through = sum(bloom.lets_through(words, bloom.key_hash(key)) for key in OTHERS)
    assert let_through / len(OTHERS) * 100 <= percent


def test_no_filter_lets_everything_through() -> None:
    assert filter_of(KEYS, 0) == bloom.OPEN
    assert all(bloom.lets_through(bloom.OPEN, bloom.key_hash(key)) for key in OTHERS[:1000])


def test_masks_are_fixed_for_ever() -> None:
    masks = bloom.masks()
    assert len(masks) == 4096
    assert {mask.bit_count() for mask in masks} == {5}
    assert masks[:2] == MASKS_0_AND_1
    assert xxh3_64_hexdigest(b"".join(m.to_bytes(8, "big") for m in masks)) == MASKS_DIGEST


def test_a_filter_is_fixed_for_ever() -> None:
    payload = bloom.encode(filter_of(KEYS, 12))
    assert xxh3_64_hexdigest(payload) == FILTER_DIGEST


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1))
def test_words_come_back(words: list[int]) -> None:
    payload = bloom.encode(array("Q", words))
    assert payload == b"".join(word.to_bytes(8, "big") for word in words)
    assert bloom.decode(payload).tolist() == words


@pytest.mark.parametrize("payload", [b"", b"1234567", b"123456789"])
def test_half_a_word_is_no_filter(payload: bytes) -> None:
    with pytest.raises(CorruptionError):
        bloom.decode(payload)


READ_ALL = """
import sys
from pathlib import Path
from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.bloom import key_hash
from dynamokv.storage.lsm.table import Table
from dynamokv.storage.lsm.tree import TableMeta
size, first, last = sys.argv[2:]
meta = TableMeta(1, int(size), b"", 500, 0, first.encode(), last.encode(), 1, 1)
table = Table(RealFiles(), Path(sys.argv[1]), meta)
keys = [b"user:%08d" % i for i in range(500)]
assert [table.get(key, key_hash(key)) for key in keys] == keys
assert not table.filter_rebuilt
for i in range(1000, 2000):
    table.get(b"user:0000%04dx" % (i % 500), key_hash(b"user:0000%04dx" % (i % 500)))
print(table.filter_passes, hash("salted"))
"""


def test_another_process_finds_the_same(tmp_path: Path) -> None:
    """A hash that differs between processes would call keys absent in every process but one."""
    path = tmp_path / "table"
    meta = build(path, [(key, key) for key in KEYS[:500]], FORMAT)
    arguments = [str(path), str(meta.size_bytes), meta.first_key.decode(), meta.last_key.decode()]
    printed = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", READ_ALL, *arguments],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(done.stdout.split())
    assert printed[0][0] == printed[1][0]
    assert printed[0][1] != printed[1][1], "the processes were to differ"


MASKS_0_AND_1 = (0x0100000080100420, 0x0000020000820060)
MASKS_DIGEST = "bf722a7ed4e44b65"
FILTER_DIGEST = "0153e3494394856e"
