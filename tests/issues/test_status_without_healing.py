"""``dynamokv status`` showed nothing of hints, trees and horizons, which ``status()`` has."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

import dynamokv
from dynamokv.cli import main

ONE, OTHER = "11" * 16, "22" * 16


class Client:
    """Of a ring of two, one of which is down."""

    def status(self) -> dict[str, Any]:
        member = {"address": "a:1", "filling": False, "state": "up"}
        return {
            "node_id": ONE,
            "cluster": "ring",
            "cluster_id": "c" * 32,
            "state": "serving",
            "healthy": True,
            "epoch": 3,
            "replicas": 2,
            "partitions": 512,
            "members": {ONE: member, OTHER: {**member, "state": "down"}},
            "hints": {OTHER: {"keys": 17, "bytes": 3072, "oldest_seconds": 90.0}},
        }

    def metrics(self) -> dict[str, Any]:
        return {
            "node_id": ONE,
            "read_latency_p99": 0.0,
            "write_latency_p99": 0.002,
            "cache_hit_rate": 0.5,
            "storage_used": 1 << 20,
            "replication_lag": 0.001,
            "hinted_keys": 17,
            "hinted_bytes": 3072,
            "trees": {"known": 300, "unknown": 41, "compared_ago": None},
            "horizons": {"partitions": 12, "lowest_ago": 7200.0, "passing": 5},
        }


def test_it_shows_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dynamokv, "connect", lambda *_, **__: nullcontext(Client()))
    assert main(["status", "a:1"]) == 0
    told = capsys.readouterr().out.splitlines()
    headings, row, hints = told[-3:]
    expected = {
        "member": "11111111",
        "hints for others": "17",
        "in bytes": "3.0 KiB",
        "trees": "300 of 341",
        "compared": "-",
        "horizons": "12 of 341",
        "oldest": "2.0 h ago",
        "rows to forget": "5",
    }
    for heading, cell in expected.items():
        assert row[headings.index(heading) :].startswith(cell)
    assert hints == "11111111 keeps 17 hints for 22222222, 1.5 min old"
