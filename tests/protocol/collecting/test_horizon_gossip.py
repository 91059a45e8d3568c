"""Members show each other their horizons; who is behind catches up if it may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv import limits
from dynamokv.causality.hlc import time_at
from dynamokv.protocol.effects import Send
from dynamokv.testing.simulation.clocks import START_MS
from dynamokv.types import NodeId
from dynamokv.wire import messages as m
from dynamokv.wire import rounds
from tests.protocol.council import GRACE, NOW, Council, Seat, X, Y, record, tombstone, value

HORIZON = NOW - 1000
GONE = record(tombstone(X, HORIZON - 5), knows={Y: HORIZON - 7})
BEFORE = record(value(Y, HORIZON - 7))


class Behind(Council):
    """The second member has a horizon, and the third has none: it came from a backup, say."""

    def __init__(self, count: int = 3) -> None:
        super().__init__(count)
        self.ahead, self.behind = self.seats[1], self.seats[2]
        self.ahead.home.horizons.promise(HORIZON)
        self.ahead.home.horizons.adopt(self.partition, HORIZON)

    def show(self, seat: Seat, to: Seat) -> None:
        seat.do(seat.collector.teller.show(to.id))
        self.settle()

    @property
    def reached(self) -> int:
        return self.behind.home.horizons.adopted.get(self.partition, 0)


def test_who_is_behind_and_holds_the_same_takes_the_horizon_over() -> None:
    council = Behind()
    council.everywhere(BEFORE)
    council.show(council.ahead, council.behind)
    assert council.reached == HORIZON
    assert council.behind.home.counters["horizons_taken_over"] == 1
    assert council.restart(council.behind).home.horizons.adopted == {council.partition: HORIZON}


def test_who_is_behind_and_holds_something_else_does_not() -> None:
    council = Behind()
    council.behind.hold(BEFORE)
    council.show(council.ahead, council.behind)
    assert council.reached == 0
    assert council.behind.home.counters["behind"] == 1


def test_what_is_on_its_way_to_the_disk_counts() -> None:
    council = Behind()
    council.ahead.do(council.ahead.collector.teller.show(council.behind.id))
    key = council.behind.home.locate(b"\0key")[0]
    council.behind.receive(council.ahead.id, m.Replicate(0, 1, 0, [key], [BEFORE]))
    council.settle()
    assert council.reached == 0
    assert not council.behind.home.horizons.is_fenced(council.partition, HORIZON, council.ahead.id)


def test_nor_what_comes_late_meanwhile() -> None:
    council = Behind()
    council.ahead.do(council.ahead.collector.teller.show(council.behind.id))
    council.pass_on()
    key = council.behind.home.locate(b"\0key")[0]
    council.behind.receive(council.ahead.id, m.Replicate(0, 1, 0, [key], [BEFORE]))
    council.settle()
    assert council.reached == HORIZON
    assert council.behind.store.rows.get(key) is None


def test_a_fence_that_fell_meanwhile_is_none() -> None:
    council = Behind()
    council.ahead.do(council.ahead.collector.teller.show(council.behind.id))
    council.pass_on()
    council.behind.home.horizons.lift_all()
    council.settle()
    assert council.reached == 0


def test_a_topology_that_comes_meanwhile() -> None:
    council = Behind()
    council.ahead.do(council.ahead.collector.teller.show(council.behind.id))
    council.pass_on()
    council.behind.home.adopt(replace(council.topology, epoch=2))
    council.settle()
    assert council.reached == 0


def test_what_all_have_collected_is_collected() -> None:
    """It missed the last word of a round, before or after it had the horizon."""
    for had_it in (False, True):
        council = Behind()
        council.everywhere(GONE)
        if had_it:
            council.behind.home.horizons.adopt(council.partition, HORIZON)
        council.ahead.home.horizons.collect(council.partition, HORIZON)
        council.show(council.ahead, council.behind)
        council.wait(limits.COLLECT_STEP_SECONDS)
        council.behind.tick()
        assert council.behind.held() is None
        assert council.ahead.held() == GONE


def test_who_is_ahead_says_so() -> None:
    council = Behind()
    council.behind.home.horizons.promise(HORIZON - 10)
    council.behind.home.horizons.adopt(council.partition, HORIZON - 10)
    council.show(council.behind, council.ahead)
    assert council.reached == HORIZON


def test_who_has_nothing_to_say_says_nothing() -> None:
    council = Behind()
    assert council.behind.collector.teller.show(council.ahead.id) == []
    council.behind.home.up = {council.behind.id}
    assert council.behind.collector.teller.show_somebody() == []


def test_only_shared_partitions_are_shown() -> None:
    council = Behind(count=6)
    for partition in range(8):
        council.ahead.home.horizons.adopt(partition, HORIZON)
    (shown,) = council.ahead.collector.teller.show(council.behind.id)
    assert type(shown) is Send
    assert type(shown.message) is rounds.Horizons
    for partition in range(8):
        owners = council.ahead.home.owners_of(partition)
        both = {council.ahead.id, council.behind.id} <= set(owners)
        assert (partition in shown.message.partitions) == both
    alien = rounds.Horizons(1, HORIZON, [0, 99_999], [HORIZON] * 2, [0, 0], [b"", b""])
    for seat in council.seats:
        if seat.id not in seat.home.owners_of(0):
            seat.receive(council.ahead.id, alien)
            council.settle()
            assert seat.home.horizons.adopted.get(0) in (None, HORIZON)
            assert 99_999 not in seat.home.horizons.adopted


def test_of_another_topology_only_the_floor_is_believed() -> None:
    council = Behind()
    council.everywhere(BEFORE)
    council.ahead.home.adopt(replace(council.topology, epoch=2))
    council.show(council.ahead, council.behind)
    assert council.reached == 0
    assert council.behind.home.horizons.floor == HORIZON


def test_strangers_are_not_believed() -> None:
    council = Behind()
    client = NodeId(b"\0cli1")
    council.behind.receive(client, rounds.Horizons(1, NOW, [], [], [], []))
    assert council.behind.home.horizons.floor == 0
    assert council.behind.home.counters["unexpected_messages"] == 1


@pytest.mark.parametrize("filling", [True, False])
def test_a_newcomer_takes_a_floor_over_whatever_its_clock_says(filling: bool) -> None:
    """Else it would make writes that nobody takes in. Nobody else is carried along."""
    council = Behind()
    seat = council.behind
    far = time_at(START_MS + 60_000)
    council.ahead.home.horizons.promise(far)
    if filling:
        seat.home.topology = replace(council.topology, change=seat.id)
    council.show(council.ahead, seat)
    assert council.ahead.id in seat.home.horizons.heard
    assert (seat.home.mint() > far) == filling
    assert (council.restart(seat).home.mint() > far) == filling


def test_who_lost_its_promise_takes_a_horizon_over_whatever_its_clock_says() -> None:
    """All had promised it, this member too, before it came from a backup; nothing above that."""
    council = Behind()
    agreed, far = time_at(START_MS + 60_000), time_at(START_MS + 120_000)
    council.ahead.home.horizons.promise(far)
    council.ahead.home.horizons.adopt(council.partition, agreed)
    for _ in range(2):
        council.show(council.ahead, council.behind)
        assert council.behind.home.counters["promises_recalled"] == 1
        assert council.behind.home.horizons.floor == agreed
    for seat in (council.behind, council.restart(council.behind)):
        assert agreed < seat.home.mint() < far


def test_horizons_are_shown_now_and_then() -> None:
    council = Behind()
    council.everywhere(BEFORE)
    council.go_on(20 * GRACE)
    assert {seat.home.horizons.adopted[council.partition] for seat in council.seats} == {HORIZON}
