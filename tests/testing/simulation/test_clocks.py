"""Clocks that are wrong in every way that clocks are."""

from __future__ import annotations

import pytest

from dynamokv.testing.simulation.clocks import START_MS, NodeClock
from dynamokv.testing.simulation.schedule import SECOND, Schedule


def passes(schedule: Schedule, seconds: float) -> None:
    schedule.run_until(schedule.now_ns + round(seconds * SECOND))


def test_a_right_clock_shows_virtual_time() -> None:
    schedule = Schedule()
    clock = NodeClock(schedule)
    passes(schedule, 2.5)
    assert (clock.wall_ms(), clock.monotonic()) == (START_MS + 2500, 2.5)


def test_only_the_wall_clock_is_off_and_jumps_and_stands_still() -> None:
    schedule = Schedule()
    clock = NodeClock(schedule, offset_ms=300)
    clock.jump(-1_000)
    assert clock.wall_ms() == START_MS - 700
    clock.freeze()
    passes(schedule, 5.0)
    assert (clock.wall_ms(), clock.monotonic()) == (START_MS - 700, 5.0)
    clock.thaw()
    assert clock.wall_ms() == START_MS + 4_300


@pytest.mark.parametrize("ppm", [-200_000, -50, 50, 200_000])
def test_both_clocks_drift_and_never_go_back(ppm: int) -> None:
    schedule = Schedule()
    clock = NodeClock(schedule, drift_ppm=ppm)
    passes(schedule, 10.0)
    gained = clock.monotonic() - 10.0
    assert gained == pytest.approx(10.0 * ppm / 1_000_000)
    assert clock.wall_ms() - START_MS == pytest.approx(10_000 * (1 + ppm / 1_000_000), abs=1)
    clock.drift(0)
    assert clock.monotonic() == 10.0 + gained, "a change of drift is no jump"
    passes(schedule, 10.0)
    assert clock.monotonic() == pytest.approx(20.0 + gained)


@pytest.mark.parametrize("ppm", [-200_000, -7, 0, 7, 200_000])
@pytest.mark.parametrize("deadline", [0.1, 1 / 3, 12.345678901])
def test_a_timer_is_never_early_and_hardly_late(ppm: int, deadline: float) -> None:
    schedule = Schedule()
    clock = NodeClock(schedule, drift_ppm=ppm)
    passes(schedule, 0.05)
    schedule.run_until(clock.due_ns(deadline))
    assert deadline <= clock.monotonic() < deadline + 0.000_01
    assert clock.due_ns(0.01) >= schedule.now_ns, "and what is past is due now"
