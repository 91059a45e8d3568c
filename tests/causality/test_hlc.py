"""Hybrid time: forward only, close to the wall clock, and above everything that led to it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.causality.hlc import COUNTER_BITS, TIME_MAX, HybridClock, time_at, wall_ms_of

FAR = time_at(2**43)
"""A ceiling that nothing here reaches."""

WALLS = st.integers(0, 2**43)
DRIFT_MS = 10_000


def clock(last: int = 0, ceiling: int = FAR) -> HybridClock:
    made = HybridClock(last=last, drift_max_ms=DRIFT_MS)
    made.raise_ceiling(ceiling)
    return made


# --- the number -----------------------------------------------------------------------------------


def test_milliseconds_stand_above_a_counter_of_twenty_bits() -> None:
    assert COUNTER_BITS == 20
    assert time_at(1_700_000_000_000) == 1_700_000_000_000 * 2**20
    assert wall_ms_of(time_at(123) + 2**20 - 1) == 123
    assert wall_ms_of(TIME_MAX) == 2**44 - 1
    assert time_at(2**44 - 1) + 2**20 - 1 == TIME_MAX == 2**64 - 1


@given(WALLS, st.integers(0, 2**20 - 1))
def test_a_time_keeps_its_millisecond(wall_ms: int, counter: int) -> None:
    assert wall_ms_of(time_at(wall_ms) + counter) == wall_ms


# --- tick -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "wall_ms", "above", "expected"),
    [
        (0, 500, 0, time_at(500)),  # the wall clock leads
        (time_at(500), 500, 0, time_at(500) + 1),  # twice in a millisecond
        (time_at(500) - 1, 500, 0, time_at(500)),
        (time_at(600), 500, 0, time_at(600) + 1),  # it went back
        (0, 500, time_at(700), time_at(700) + 1),  # above what the key has seen
        (time_at(800), 500, time_at(700), time_at(800) + 1),
        (time_at(500) + 2**20 - 1, 500, 0, time_at(501)),  # the counter is full
        (0, 500, time_at(500) - 1, time_at(500)),
        (0, 500, time_at(500), time_at(500) + 1),
    ],
)
def test_tick(last: int, wall_ms: int, above: int, expected: int) -> None:
    ours = clock(last)
    assert ours.tick(wall_ms, above) == expected
    assert ours.last == expected


@given(st.lists(st.tuples(WALLS, st.none() | st.integers(0, FAR)), min_size=1))
def test_it_never_goes_back(events: list[tuple[int, int | None]]) -> None:
    """Whatever the wall clock does, and whatever is observed in between."""
    ours = clock()
    floor = 0
    for wall_ms, shown in events:
        if shown is not None and ours.observe(shown, wall_ms):
            floor = max(floor, shown)
        time = ours.tick(wall_ms)
        assert time > floor
        assert time >= time_at(wall_ms)
        floor = time


@given(st.lists(st.tuples(WALLS, st.integers(0, FAR)), min_size=1))
def test_it_is_above_above(events: list[tuple[int, int]]) -> None:
    ours = clock()
    last = 0
    for wall_ms, above in events:
        time = ours.tick(wall_ms, above)
        assert time == max(last + 1, above + 1, time_at(wall_ms))
        last = time


def test_a_wall_clock_that_went_back_costs_counts_and_no_time() -> None:
    ours = clock()
    high = ours.tick(5000)
    assert [ours.tick(wall_ms) for wall_ms in (4000, 4001, 0, 5000)] == [
        high + 1, high + 2, high + 3, high + 4,
    ]  # fmt: skip
    assert ours.tick(5001) == time_at(5001)


# --- the ceiling ----------------------------------------------------------------------------------


def test_the_wall_clock_does_not_carry_it_above_the_ceiling() -> None:
    ours = clock(ceiling=time_at(1000))
    assert ours.tick(1000) == time_at(1000)
    assert ours.tick(1001) == time_at(1000) + 1
    assert ours.tick(9999) == time_at(1000) + 2
    ours.raise_ceiling(time_at(2000))
    assert ours.tick(1500) == time_at(1500)
    assert ours.tick(2001) == time_at(1500) + 1


def test_a_ceiling_is_never_lowered() -> None:
    ours = clock(ceiling=time_at(1000))
    ours.raise_ceiling(time_at(900))
    assert ours.ceiling == time_at(1000)


def test_a_new_life_starts_at_the_ceiling_of_the_last() -> None:
    ours = HybridClock(last=time_at(1000), drift_max_ms=DRIFT_MS)
    assert ours.ceiling == time_at(1000)
    assert ours.tick(900) == time_at(1000) + 1
    assert ours.tick(2000) == time_at(1000) + 2


@given(st.integers(0, 2**30), st.lists(st.tuples(st.integers(-20_000, 20_000), st.booleans())))
def test_lives_do_not_overlap(wall_ms: int, events: list[tuple[int, bool]]) -> None:
    """A process that keeps its ceiling ahead of the wall clock and of its own time, and dies now
    and then without a word."""
    durable = time_at(wall_ms + 8000)
    ours = clock(ceiling=durable)
    last = 0
    for jump, dies in events:
        wall_ms = max(0, wall_ms + jump)
        if dies:
            ours = HybridClock(last=durable, drift_max_ms=DRIFT_MS)
        durable = max(durable, ours.last + time_at(1), time_at(wall_ms + 8000))
        ours.raise_ceiling(durable)
        time = ours.tick(wall_ms)
        assert time > last
        last = time


# --- observe --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "taken"),
    [
        (time_at(5000 + DRIFT_MS), True),
        (time_at(5000 + DRIFT_MS + 1) - 1, True),  # the same millisecond
        (time_at(5000 + DRIFT_MS + 1), False),
        (TIME_MAX, False),
        (time_at(5000), True),
        (0, True),
    ],
)
def test_a_time_too_far_ahead_is_not_taken_over(time: int, taken: bool) -> None:
    ours = clock(last=time_at(4000))
    assert ours.observe(time, wall_ms=5000) is taken
    assert ours.last == (max(time, time_at(4000)) if taken else time_at(4000))


def test_what_it_is_already_above_is_never_too_far_ahead() -> None:
    """After the wall clock went back, its own past lies far ahead of it."""
    ours = clock(last=time_at(50_000))
    assert ours.observe(time_at(50_000), wall_ms=0)
    assert ours.observe(time_at(49_999), wall_ms=0)
    assert not ours.observe(time_at(50_000) + 1, wall_ms=0)
    assert ours.last == time_at(50_000)


def test_what_is_observed_may_be_above_the_ceiling() -> None:
    """The ceiling binds the wall clock only: order between cause and effect goes first."""
    ours = clock(ceiling=time_at(1000))
    assert ours.observe(time_at(3000), wall_ms=900)
    assert ours.tick(900) == time_at(3000) + 1


# --- many clocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_an_effect_is_above_its_causes(seed: int) -> None:
    """Random messages between clocks that are wrong, jump, and have a ceiling that lags."""
    random = Random(seed)
    size = random.randint(2, 6)
    clocks = [clock(ceiling=0) for _ in range(size)]
    offsets = [random.randint(-6000, 6000) for _ in range(size)]
    causes: list[set[int]] = [set() for _ in range(size)]
    messages: list[tuple[int, set[int]]] = []
    refused = followed = 0
    for now in range(100_000, 102_000):
        at = random.randrange(size)
        wall_ms = now + offsets[at]
        match random.randrange(8):
            case 0:
                offsets[at] = random.randint(-6000, 6000)
            case 1:
                clocks[at].raise_ceiling(time_at(wall_ms + random.randint(0, 4000)))
            case 2 | 3 | 4 if messages:
                time, past = random.choice(messages)
                if clocks[at].observe(time, wall_ms):
                    causes[at] |= past
                    followed += 1
                else:
                    refused += 1
            case _:
                time = clocks[at].tick(wall_ms)
                assert time > max(causes[at], default=0)
                causes[at].add(time)
                messages.append((time, set(causes[at])))
                messages = messages[-50:]
    assert followed > 100
    assert refused > 0
