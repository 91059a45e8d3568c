"""Records: what every replica does with every write."""

from __future__ import annotations

import pytest

from benchmarks.micro.samples import (
    NEWER,
    OTHER,
    PLAIN,
    SIBLINGS,
    WRITTEN_BY_ALL,
    Benchmark,
)
from benchmarks.workload import VALUE
from dynamokv.wire import record as records

RECORDS = {"plain": PLAIN, "written by all": WRITTEN_BY_ALL, "3 siblings": SIBLINGS}
each_record = pytest.mark.parametrize("kind", RECORDS)


@each_record
def test_encode(benchmark: Benchmark, kind: str) -> None:
    record = RECORDS[kind]
    assert benchmark(records.encode, records.decode(record)) == record


@each_record
def test_decode(benchmark: Benchmark, kind: str) -> None:
    assert benchmark(records.decode, RECORDS[kind]).versions[0].value == VALUE


@each_record
def test_check(benchmark: Benchmark, kind: str) -> None:
    record = RECORDS[kind]
    assert benchmark(records.check, record) == records.context_of(record)


@each_record
def test_live_values(benchmark: Benchmark, kind: str) -> None:
    assert benchmark(records.live_values, RECORDS[kind], 0)[0] == VALUE


def test_digest(benchmark: Benchmark) -> None:
    assert benchmark(records.digest, PLAIN)


def test_join_newer(benchmark: Benchmark) -> None:
    assert benchmark(records.join_records, PLAIN, NEWER) is NEWER


def test_join_same(benchmark: Benchmark) -> None:
    again = bytes(bytearray(PLAIN))
    assert benchmark(records.join_records, PLAIN, again) is PLAIN


def test_join_concurrent(benchmark: Benchmark) -> None:
    joined = benchmark(records.join_records, PLAIN, OTHER)
    assert len(records.decode(joined).versions) == 2
