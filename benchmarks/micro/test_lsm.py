"""``LSMEngine`` without fsync: ``apply`` is one record to the kernel, then the memtable; ``get`` is
a look into a dict where the row is new or hot, and a block of a table where it is neither.

A fixed number of rounds, because every ``apply`` grows a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from benchmarks.micro.samples import PLAIN, Benchmark
from benchmarks.workload import KEYS
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.wire import keys as row_keys

ROUNDS = 200
ROW_KEYS = [row_keys.row_key(1, row_keys.name_of(b"", key.encode())) for key in KEYS]


@pytest.mark.parametrize("rows", [1, 100])
def test_apply_unsynced(benchmark: Benchmark, tmp_path: Path, rows: int) -> None:
    engine = LSMEngine(tmp_path / "store", background=False)
    try:
        batch = [(key, PLAIN) for key in ROW_KEYS[:rows]]
        options = {"sync": False}
        iterations = 100 // rows
        benchmark.pedantic(
            engine.apply, (batch,), options, rounds=ROUNDS, iterations=iterations, warmup_rounds=5
        )
        # None of it went on to a table in between.
        assert engine.chores.counters["flushes"] == 0
    finally:
        engine.close()


def test_get_from_the_memtable(benchmark: Benchmark, tmp_path: Path) -> None:
    engine = LSMEngine(tmp_path / "store", background=False)
    try:
        engine.apply([(key, PLAIN) for key in ROW_KEYS], sync=False)
        assert benchmark(engine.get, ROW_KEYS[0]) == PLAIN
    finally:
        engine.close()


@pytest.fixture
def in_tables(tmp_path: Path) -> Iterator[LSMEngine]:
    """All rows are in tables, and the cache has room for hardly any."""
    engine = LSMEngine(
        tmp_path / "store", LSMOptions(memtable_bytes=1, cache_bytes=0), background=False
    )
    engine.apply([(key, PLAIN) for key in ROW_KEYS], sync=False)
    engine.apply([(b"more", b"")], sync=False)
    yield engine
    engine.close()


def test_get_from_a_table(benchmark: Benchmark, in_tables: LSMEngine) -> None:
    keys = cycle(ROW_KEYS)
    assert benchmark(lambda: in_tables.get(next(keys))) == PLAIN


def test_get_of_what_is_not_there(benchmark: Benchmark, in_tables: LSMEngine) -> None:
    keys = cycle([key + b"-" for key in ROW_KEYS])
    assert benchmark(lambda: in_tables.get(next(keys))) is None
