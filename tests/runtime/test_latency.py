"""Percentiles over a sliding window."""

from __future__ import annotations

import random

import pytest

from dynamokv.runtime.latency import WINDOW, Window, percentile


def test_an_empty_window_has_no_latency() -> None:
    assert Window().percentile(0.99) == 0.0
    assert percentile([], 0.5) == 0.0


@pytest.mark.parametrize(
    ("fraction", "found"), [(0.0, 0.0), (0.5, 50.0), (0.99, 99.0), (1.0, 99.0)]
)
def test_the_order_of_arrival_does_not_matter(fraction: float, found: float) -> None:
    samples = [float(number) for number in range(100)]
    random.Random(1).shuffle(samples)
    assert percentile(samples, fraction) == found


def test_the_window_slides() -> None:
    window = Window()
    for _ in range(WINDOW):
        window.add(100.0)
    for _ in range(WINDOW - 1):
        window.add(1.0)
    assert window.percentile(1.0) == 100.0
    window.add(1.0)
    assert window.percentile(1.0) == 1.0
    assert len(window.samples) == WINDOW
