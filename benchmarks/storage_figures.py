"""The figures of the storage workload. Their bounds stand with all others, in ``figures``."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import STORAGE_SIZES, Figure

ENGINES: Final = ("lsm", "rocksdict")
"""Ours, and RocksDB by way of the package rocksdict, called without anything between."""

WORKLOADS: Final = {
    "put": ("put, one row after the other", "rows/s", "put"),
    "synced": ("put of 64 rows, synced", "rows/s", "put and sync"),
    "hot": ("get of 100 hot keys", "gets/s", "get, hot"),
    "random": ("get of any key, data 4x the caches", "gets/s", "get, any"),
    "absent": ("get of absent keys", "gets/s", "get, absent"),
    "scan": ("scan of a partition", "rows/s", "whole scan"),
}
"""What its rate is called, its unit, and what one call of it is called."""

PERCENTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
MIXED: Final = ("put", "get")
WHEN: Final = {
    "idle": "idle",
    "busy": "compacting at 40,000 puts/s",
    "fast": "compacting at all puts/s that go",
}
MEMORY: Final = "storage: memory while five times the rows of 100 B are loaded"


def _workload(size: str, workload: str) -> dict[str, Figure]:
    group = f"storage: values of {size}"
    rate, unit, call = WORKLOADS[workload]
    name = f"storage.{size}.{workload}"
    return {
        f"{name}.over_rocksdict": Figure(group, f"{rate}, lsm / rocksdict", "x"),
        **{f"{name}.{engine}.rate": Figure(group, f"{rate}, {engine}", unit) for engine in ENGINES},
        **{
            f"{name}.{engine}.{percentile}": Figure(
                group, f"{call}, {percentile.replace('999', '99.9')}, {engine}", "us"
            )
            for engine in ENGINES
            for percentile in PERCENTILES
        },
    }


def _overwriting(size: str) -> dict[str, Figure]:
    group = f"storage: values of {size}, all of them overwritten five times"
    figures = {}
    for engine in ENGINES:
        name = f"storage.{size}.overwritten.{engine}"
        for call in MIXED:
            for when, words in WHEN.items():
                label = f"{call} p99.9, {words}, {engine}"
                figures[f"{name}.{call}.{when}"] = Figure(group, label, "us")
            figures[f"{name}.{call}.over_idle"] = Figure(
                group, f"{call} p99.9, compacting / idle, {engine}", "x"
            )
        figures[f"{name}.working"] = Figure(
            group, f"of the time of these, it flushed or compacted, {engine}", "%"
        )
        figures[f"{name}.amplification"] = Figure(
            group, f"bytes written / bytes put, {engine}", "x"
        )
        figures[f"{name}.open"] = Figure(group, f"open after a clean stop, {engine}", "ms")
    return figures


FIGURES: Final[dict[str, Figure]] = {
    **{
        name: figure
        for size in STORAGE_SIZES
        for workload in WORKLOADS
        for name, figure in _workload(size, workload).items()
    },
    **{name: figure for size in STORAGE_SIZES for name, figure in _overwriting(size).items()},
    **{
        f"storage.memory.{engine}": Figure(MEMORY, f"peak, {engine} with its children", "MiB")
        for engine in ENGINES
    },
    "storage.memory.lsm.over_bound": Figure(MEMORY, "peak / what the options allow, lsm", "x"),
}
"""Every figure of the storage workload, in the order of the table."""
