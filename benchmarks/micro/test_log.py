"""``LogEngine.apply`` without fsync: one record to the kernel, then the table.

A fixed number of rounds, because every one of them grows a file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.micro.samples import PLAIN, Benchmark
from benchmarks.workload import KEYS
from dynamokv.storage.log import LogEngine
from dynamokv.wire import keys as row_keys

LOG_BYTES_MAX = 1 << 30
"""Above what the rounds write, so that no snapshot comes in between."""

ROUNDS = 200


@pytest.mark.parametrize("rows", [1, 100])
def test_apply_unsynced(benchmark: Benchmark, tmp_path: Path, rows: int) -> None:
    engine = LogEngine(tmp_path / "store", log_bytes_max=LOG_BYTES_MAX)
    try:
        names = [row_keys.name_of(b"", key.encode()) for key in KEYS[:rows]]
        batch = [(row_keys.row_key(1, name), PLAIN) for name in names]
        options = {"sync": False}
        iterations = 100 // rows
        benchmark.pedantic(
            engine.apply, (batch,), options, rounds=ROUNDS, iterations=iterations, warmup_rounds=5
        )
        assert engine.stats()["rows"] == rows
    finally:
        engine.close()
