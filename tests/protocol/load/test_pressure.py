"""The rate of background work: it yields, it recovers, and it is never nothing."""

from __future__ import annotations

import pytest

from dynamokv.limits import (
    BACKGROUND_BURST_SECONDS,
    BACKGROUND_FLOOR,
    BACKGROUND_PAUSE_SECONDS,
    BACKGROUND_ROW_BYTES,
)
from dynamokv.protocol import effects as e
from dynamokv.protocol.load.pressure import (
    DECISION_SECONDS,
    LAG_SECONDS,
    REPAIR_SHARE,
    TURN_SECONDS,
    Pressure,
)
from dynamokv.wire import messages as m
from tests.protocol.lone import ELSE, NOW, Lone, record, request_id, sent

RATE = 1_000_000


class Pressed:
    """A pressure, and its time."""

    def __init__(self) -> None:
        self.pressure = Pressure(RATE)
        self.now = 100.0
        self.pressure.tick(self.now, 0.0)

    def decisions(self, count: int, latency: float | None = None, lag: float = 0.0) -> list[float]:
        """What share is left after each of so many, with requests that take so long."""
        shares = []
        for _ in range(count):
            self.now += DECISION_SECONDS
            if latency is not None:
                self.pressure.answered(latency)
            self.pressure.tick(self.now, lag)
            shares.append(self.pressure.share)
        return shares

    def moved(self, seconds: float, piece: int = 10_000) -> int:
        """What background work moves in so long, when it does all it may."""
        moved, end = 0, self.now + seconds
        while self.now < end:
            if self.pressure.take(self.now, piece):
                moved += piece
            else:
                self.now += self.pressure.pause(self.now)
        return moved


def test_an_idle_node_has_the_whole_rate_and_a_burst_saved_up() -> None:
    pressed = Pressed()
    assert pressed.decisions(5) == [1.0] * 5
    assert pressed.moved(10) == pytest.approx((10 + BACKGROUND_BURST_SECONDS) * RATE, rel=0.002)


def test_it_halves_while_the_foreground_is_slower_than_usual_and_recovers() -> None:
    pressed = Pressed()
    assert pressed.decisions(10, latency=0.010) == [1.0] * 10
    assert pressed.decisions(3, latency=0.050) == [0.5, 0.25, 0.125]
    assert pressed.decisions(4, latency=0.010) == [0.25, 0.375, 0.5, 0.625]
    assert pressed.pressure.hindered == 3


def test_it_halves_while_the_loop_is_late() -> None:
    pressed = Pressed()
    assert pressed.decisions(2, lag=LAG_SECONDS * 2) == [0.5, 0.25]
    assert pressed.decisions(1, latency=0.01, lag=LAG_SECONDS * 2) == [0.125]
    assert pressed.decisions(1, lag=LAG_SECONDS / 2) == [0.25]


def test_it_never_stops() -> None:
    pressed = Pressed()
    pressed.decisions(50, lag=9.0)
    assert pressed.pressure.share == BACKGROUND_FLOOR
    pressed.moved(2)
    assert pressed.moved(10) == pytest.approx(10 * RATE * BACKGROUND_FLOOR, rel=0.1)


def test_those_who_wait_have_their_turn_in_the_order_in_which_they_came() -> None:
    pressed = Pressed()
    pressure = pressed.pressure
    assert pressure.turn(pressed.now, "first")
    pressure.spend(pressed.now, RATE)
    for who in ("second", "first", "third", "second"):
        assert not pressure.turn(pressed.now, who)
    pressed.now += pressure.pause(pressed.now) + 0.01
    turns = []
    for who in ("first", "third", "second", "third", "first", "third"):
        if pressure.turn(pressed.now, who):
            turns.append(who)
    assert turns == ["second", "first", "third"]


def test_who_does_not_come_back_for_its_turn_holds_up_nobody() -> None:
    pressed = Pressed()
    pressure = pressed.pressure
    pressure.spend(pressed.now, RATE)
    assert not pressure.turn(pressed.now, "gone")
    assert not pressure.turn(pressed.now, "here")
    pressed.now += pressure.pause(pressed.now) + 0.01
    assert not pressure.turn(pressed.now, "here")
    pressed.now += TURN_SECONDS
    assert pressure.turn(pressed.now, "here")


def test_repairs_have_their_share_of_the_rate_while_others_wait() -> None:
    pressed = Pressed()
    pressure = pressed.pressure
    saved = round(RATE * BACKGROUND_BURST_SECONDS)
    pressure.spend(pressed.now, saved)
    assert not pressure.take(pressed.now, 1), "nobody waits, and nothing is left"
    assert not pressure.turn(pressed.now, "waits")
    assert pressure.take(pressed.now, round(saved * REPAIR_SHARE))
    assert not pressure.take(pressed.now, 1), "it had its share"
    pressed.now += 0.2
    assert pressure.may_work(pressed.now)
    assert pressure.take(pressed.now, round(saved * REPAIR_SHARE)), "no more than that is saved up"
    assert not pressure.take(pressed.now, 1), "what there is belongs to those who wait"
    pressed.now += TURN_SECONDS
    assert pressure.take(pressed.now, saved), "who does not come back waits no longer"
    assert not pressure.turn(pressed.now, "waits again")
    assert pressure.take(pressed.now, 1), "what was free does not count"


def test_next_to_nothing_may_double() -> None:
    pressed = Pressed()
    pressed.decisions(10, latency=0.0002)
    assert pressed.decisions(3, latency=0.001) == [1.0] * 3


def test_what_lasts_becomes_usual() -> None:
    pressed = Pressed()
    pressed.decisions(10, latency=0.010)
    shares = pressed.decisions(400, latency=0.040)
    assert min(shares) == BACKGROUND_FLOOR
    assert shares[-1] == 1.0


def test_between_two_decisions_nothing_changes() -> None:
    pressed = Pressed()
    pressed.pressure.tick(pressed.now + DECISION_SECONDS / 2, 9.0)
    assert pressed.pressure.share == 1.0
    pressed.pressure.tick(pressed.now + DECISION_SECONDS, 0.0)
    assert pressed.pressure.share == 0.5, "the worst of the time since"


def test_work_may_overdraw_once_and_then_waits() -> None:
    pressed = Pressed()
    pressure, now = pressed.pressure, pressed.now
    assert pressure.may_work(now)
    pressure.spend(now, round((2 + BACKGROUND_BURST_SECONDS) * RATE))
    assert pressure.pause(now) == pytest.approx(2.0)
    assert not pressure.may_work(now + 1.9)
    assert pressure.may_work(now + 2.1)
    assert pressure.pause(now + 2.1) == BACKGROUND_PAUSE_SECONDS
    pressure.spend(now, 0)


def test_rows_count_for_more_than_their_bytes() -> None:
    pressed = Pressed()
    burst = RATE * BACKGROUND_BURST_SECONDS
    pressed.pressure.spend(pressed.now, 0, rows=int(burst / BACKGROUND_ROW_BYTES))
    assert pressed.pressure.may_work(pressed.now), "a part of a row is left"
    assert pressed.pressure.take(pressed.now, 0, rows=1)
    assert not pressed.pressure.take(pressed.now, 0, rows=1)


def test_a_node_hands_in_its_lag_and_its_latencies() -> None:
    lone = Lone()
    lone.wait(1.0)
    lone.step(e.Tick(2.0))
    lone.wait(1.0)
    lone.step(e.Tick(2.0))
    assert lone.home.load.pressure.share == 0.25
    lone.put(ticket=1, budget_ms=20_000)
    lone.durable()
    lone.wait(0.5)
    pressure = lone.home.load.pressure
    answered: list[float] = []
    pressure.answered = answered.append  # type: ignore[assignment,method-assign]
    lone.receive(lone.peers[0], m.Replicated(lone.node.table.by_ticket[1]))
    assert answered == [pytest.approx(0.5)]


def test_reads_repair_others_only_at_that_rate() -> None:
    lone = Lone(background_bytes_per_second=1024)
    lone.hold(record((ELSE, NOW - 5, bytes(3000))))
    repaired = 0
    for ticket in range(4):
        effects = lone.get(ticket=ticket)
        ((peer, _),) = sent(m.Fetch, effects).items()
        effects = lone.receive(peer, m.Fetched(request_id(effects), [b""]))
        repaired += len(sent(m.Replicate, effects))
    assert repaired == 1


def test_it_is_shown() -> None:
    lone = Lone(background_bytes_per_second=1024)
    lone.put(bytes(1000), budget_ms=9000)
    figures = lone.home.load.figures()
    assert figures["background_bytes_per_second"] == 1024
    assert 1000 < figures["in_flight_bytes"] < 1200
    assert lone.home.load.counters()["background_slowed"] == 0
