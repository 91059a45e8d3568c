"""An explicit argument that happened to be the default lost to the environment.

``join(cluster="dynamokv")`` in a process with ``DYNAMOKV_CLUSTER=shop`` founded, or joined, "shop".
The documented precedence is: explicit argument, environment, file, default.
"""

from __future__ import annotations

import pytest

import dynamokv


def test_an_explicit_cluster_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMOKV_CLUSTER", "shop")
    assert dynamokv.AsyncNode("127.0.0.1:0", cluster="dynamokv").config.cluster == "dynamokv"


def test_explicitly_no_seeds_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMOKV_SEEDS", "127.0.0.1:7401")
    assert dynamokv.AsyncNode("127.0.0.1:0", seeds=()).config.seeds == ()


def test_an_explicit_weight_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMOKV_WEIGHT", "2")
    assert dynamokv.AsyncNode("127.0.0.1:0", weight=1).config.weight == 1
