"""Virtual time: what is due when, and in which order."""

from __future__ import annotations

from functools import partial
from random import Random

from dynamokv.testing.simulation.schedule import MILLISECOND, Schedule


def order(schedule: Schedule, count: int = 8) -> list[int]:
    """In which order so many things happen that are due at the same moment."""
    happened: list[int] = []
    for number in range(count):
        schedule.after(MILLISECOND, partial(happened.append, number))
    schedule.run_until(MILLISECOND)
    return happened


def test_it_happens_when_it_is_due_and_not_before() -> None:
    schedule = Schedule()
    seen: list[int] = []
    for delay_ns in (30, 10, 20):
        schedule.after(delay_ns, lambda: seen.append(schedule.now_ns))
    assert schedule.next_due() == 10
    schedule.run_until(20)
    assert seen == [10, 20]
    schedule.run_until(100)
    assert seen == [10, 20, 30]
    assert (schedule.now_ns, schedule.next_due()) == (100, None)
    assert not schedule.once()


def test_what_follows_from_something_happens_in_the_same_run() -> None:
    schedule = Schedule()
    seen: list[int] = []
    schedule.after(5, lambda: schedule.after(5, lambda: seen.append(schedule.now_ns)))
    schedule.run_until(9)
    assert seen == []
    schedule.run_until(10)
    assert seen == [10]


def test_a_delay_below_zero_is_none() -> None:
    schedule = Schedule()
    schedule.run_until(7)
    schedule.after(-3, lambda: None)
    assert schedule.next_due() == 7


def test_ties_follow_the_seed() -> None:
    assert order(Schedule()) == list(range(8))
    drawn = [order(Schedule(Random(seed))) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sorted(drawn[2]) == list(range(8))
