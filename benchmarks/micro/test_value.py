"""Values of the application as bytes, and back."""

from __future__ import annotations

import pytest

from benchmarks.micro.samples import Benchmark
from benchmarks.workload import VALUE
from dynamokv.api.values import CBOR, decode_value, encode_value

VALUES: dict[str, object] = {
    "bytes 1 KB": VALUE,
    "text 1 KB": "dynamokv, " * 100,
    "dict of 8": {f"field {number}": [number, number / 2, f"text {number}"] for number in range(8)},
}
each_value = pytest.mark.parametrize("kind", VALUES)


@each_value
def test_encode(benchmark: Benchmark, kind: str) -> None:
    assert benchmark(encode_value, VALUES[kind], CBOR)


@each_value
def test_decode(benchmark: Benchmark, kind: str) -> None:
    data = encode_value(VALUES[kind], CBOR)
    assert benchmark(decode_value, data, CBOR) == VALUES[kind]
