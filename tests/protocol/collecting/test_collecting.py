"""Rounds: what is deleted goes when all owners know it and nobody keeps anything older, and not one
step before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv import limits
from dynamokv.causality.hlc import time_at
from dynamokv.protocol.effects import Passed
from dynamokv.testing.simulation.clocks import START_MS
from dynamokv.wire import messages as m
from dynamokv.wire import rounds
from dynamokv.wire.rounds import RoundStep
from tests.protocol.council import GRACE, NAME, NOW, Council, Seat, X, Y, record, tombstone, value

GONE = record(tombstone(X, NOW + 5), knows={Y: NOW + 3})
BEFORE = record(value(Y, NOW + 3))


def steps(council: Council) -> list[RoundStep]:
    """The steps under way, each once for all who are asked."""
    asked = [message for *_, message in council.under_way if type(message) is rounds.Round]
    return list(dict.fromkeys(RoundStep(message.step) for message in asked))


def up_to(step: RoundStep) -> Council:
    """A council that all agree in, until the questions of this step are under way."""
    council = Council()
    council.everywhere(GONE)
    council.wait(2 * GRACE)
    council.driver.tick()
    council.wait(GRACE)
    council.driver.tick()
    while steps(council) != [step]:
        council.pass_on()
        for seat in council.seats:
            seat.durable()
    return council


def horizons(council: Council) -> set[int]:
    return {seat.home.horizons.adopted.get(council.partition, 0) for seat in council.seats}


def test_a_tombstone_that_all_know_goes() -> None:
    council = Council()
    council.everywhere(GONE)
    council.go_on(4 * GRACE)
    assert [seat.held() for seat in council.seats] == [None] * 3
    assert council.count("collected") == 3
    assert council.driver.home.counters["rounds"] == 1
    (horizon,) = horizons(council)
    assert horizon > NOW + 5


def test_and_then_nothing_is_left_to_do() -> None:
    council = Council()
    council.everywhere(GONE)
    council.go_on(20 * GRACE)
    assert council.driver.home.counters["rounds"] == 1
    assert council.count("rounds_given_up") == 0


def test_a_ring_of_one_collects_alone() -> None:
    council = Council(count=1)
    council.everywhere(GONE)
    council.go_on(4 * GRACE)
    assert council.driver.held() is None


def test_a_value_stays() -> None:
    council = Council()
    council.everywhere(BEFORE)
    council.go_on(6 * GRACE)
    assert [seat.held() for seat in council.seats] == [BEFORE] * 3
    assert horizons(council) == {0}


def test_a_value_goes_after_its_end() -> None:
    ends = record(value(X, NOW, expires_ms=START_MS + 10_000))
    council = Council()
    council.everywhere(ends)
    council.go_on(10)
    assert [seat.held() for seat in council.seats] == [ends] * 3
    assert council.driver.home.counters["rounds"] == 0
    council.go_on(6)
    assert [seat.held() for seat in council.seats] == [None] * 3


def test_a_young_tombstone_waits_for_its_grace() -> None:
    council = Council()
    council.go_on(10 * GRACE)
    young = record(tombstone(X, time_at(START_MS + 20_000)))
    council.everywhere(young)
    council.go_on(GRACE * 0.9)
    assert [seat.held() for seat in council.seats] == [young] * 3
    council.go_on(4 * GRACE)
    assert [seat.held() for seat in council.seats] == [None] * 3


def test_a_tombstone_that_one_owner_lacks_stays() -> None:
    """Else that owner's value would come back (row 18)."""
    council = Council()
    council.everywhere(GONE)
    council.others[1].hold(BEFORE)
    council.go_on(6 * GRACE)
    assert council.driver.held() == council.others[0].held() == GONE
    assert council.count("rounds_given_up") > 0
    assert horizons(council) == {0}


@pytest.mark.parametrize("away", [0, 1])
def test_nobody_may_be_away(away: int) -> None:
    """An owner that is away may lack the tombstone, whoever else may keep a hint."""
    council = Council(count=4)
    council.everywhere(GONE)
    owners = council.driver.home.owners_of(council.partition)
    who = next(seat for seat in council.others if (seat.id in owners) is bool(away))
    council.driver.home.up.discard(who.id)
    council.go_on(6 * GRACE)
    assert council.driver.held() == GONE
    assert council.driver.home.counters["rounds"] == 0


@pytest.mark.parametrize("number", range(4))
def test_a_hint_that_waits_anywhere_keeps_its_partition(number: int) -> None:
    """It may be older than the tombstone, and there may be no other copy of it (row 20)."""
    council = Council(count=4)
    council.everywhere(GONE)
    council.seats[number].hints.partitions = {council.partition}
    council.go_on(6 * GRACE)
    assert council.driver.held() == GONE
    assert horizons(council) == {0}
    council.seats[number].hints.partitions = set()
    council.go_on(4 * GRACE)
    assert council.driver.held() is None


def test_a_tree_that_is_not_known_is_not_equal() -> None:
    for number in range(3):
        council = Council()
        council.everywhere(GONE)
        council.seats[number].trees.unknown = {council.partition}
        council.go_on(6 * GRACE)
        assert council.driver.held() == GONE


def test_a_member_whose_clock_is_far_behind_ends_the_round() -> None:
    council = Council()
    council.everywhere(GONE)
    slow = council.others[0].home.clock
    slow.jump(-limits.CLOCK_DRIFT_MAX_MS - 20_000)  # type: ignore[attr-defined]
    council.go_on(6 * GRACE)
    assert council.driver.held() == GONE
    assert council.others[0].home.counters["rounds_refused"] > 0
    assert council.others[0].home.horizons.floor == 0


def test_a_driver_whose_clock_is_far_ahead_promises_nothing() -> None:
    """It would keep its wrong time for ever."""
    council = Council()
    council.everywhere(GONE)
    council.driver.home.clock.jump(3_600_000)  # type: ignore[attr-defined]
    council.go_on(6 * GRACE)
    assert council.driver.held() == GONE
    assert [seat.home.horizons.floor for seat in council.seats] == [0, 0, 0]


def test_nobody_makes_older_writes_afterwards() -> None:
    """Not after a restart either, whatever the clock says."""
    council = up_to(RoundStep.CONFIRM)
    (time,) = {message.time for *_, message in council.under_way if type(message) is rounds.Round}
    for seat in council.seats:
        seat.home.clock.jump(-20_000)  # type: ignore[attr-defined]
        assert seat.home.mint() > time
        again = council.restart(seat)
        again.home.clock.jump(-20_000)  # type: ignore[attr-defined]
        assert again.home.mint() > time


# --- what happens meanwhile -----------------------------------------------------------------------


def late(council: Council, seat: Seat, old: bytes = BEFORE, id: int = 0) -> None:
    """A message from long ago arrives."""
    key = seat.home.locate(NAME)[0]
    seat.receive(council.others[0].id, m.Replicate(id, 1, 0, [key], [old]))


def test_an_old_write_that_comes_during_a_round_is_turned_away() -> None:
    council = up_to(RoundStep.CONFIRM)
    seat = council.others[1]
    council.pass_on()
    late(council, seat, BEFORE, id=7)
    assert seat.home.counters["fenced"] == 0, "it knows of that write"
    late(council, seat, record(value(Y, NOW + 4)), id=8)
    late(council, seat, record(value(Y, NOW + 4)))
    assert seat.home.counters["fenced"] == 2
    assert seat.held() == GONE
    council.settle()
    answers = [(type(answer), answer.id) for answer in council.answers]  # type: ignore[union-attr]
    assert sorted(answers, key=str) == [(m.Refused, 8), (m.Replicated, 7)]
    council.go_on(GRACE)
    assert seat.held() is None


def test_a_fence_falls_after_a_while() -> None:
    council = up_to(RoundStep.CONFIRM)
    council.pass_on()
    seat = council.others[1]
    council.under_way.clear()
    council.wait(limits.FENCE_SECONDS)
    seat.hold(None)
    late(council, seat)
    assert seat.held() == BEFORE


def test_what_is_written_but_not_applied_when_the_fence_goes_up_counts() -> None:
    """The comparison waits for it."""
    council = up_to(RoundStep.CONFIRM)
    seat = council.others[1]
    late(council, seat, record(value(Y, NOW + 9)))
    council.settle()
    assert council.driver.held() == GONE
    assert horizons(council) == {0}


def test_a_restart_during_a_round_takes_an_owner_out_of_it() -> None:
    """Nobody knows what came in while its fence was down."""
    council = up_to(RoundStep.ADOPT)
    council.restart(council.others[1])
    council.settle()
    assert council.driver.held() == GONE
    assert 0 in horizons(council)


def test_a_lost_answer_ends_the_round() -> None:
    for step in (RoundStep.SETTLE, RoundStep.CONFIRM, RoundStep.ADOPT):
        council = up_to(step)
        council.under_way.clear()
        council.settle()
        council.wait(limits.ROUND_STEP_SECONDS)
        council.driver.tick()
        assert council.driver.home.counters["rounds_given_up"] == 1
        council.settle()
        assert council.driver.held() == GONE
        council.go_on(4 * GRACE)
        assert [seat.held() for seat in council.seats] == [None] * 3


def test_a_disk_that_refuses_a_step_ends_the_round() -> None:
    for step in (RoundStep.SETTLE, RoundStep.ADOPT):
        council = up_to(step)
        council.others[0].store.disk.failing = "full"
        council.settle()
        council.go_on(limits.ROUND_STEP_SECONDS)
        assert council.driver.held() == GONE
        assert council.others[0].held() == GONE


def test_another_topology_ends_the_round() -> None:
    council = up_to(RoundStep.CONFIRM)
    for seat in council.seats:
        seat.home.adopt(replace(council.topology, epoch=2))
    council.driver.tick()
    assert council.driver.home.counters["rounds_given_up"] == 1
    council.settle()
    assert council.driver.held() == GONE


def test_a_topology_that_comes_while_a_fence_goes_up() -> None:
    council = up_to(RoundStep.CONFIRM)
    council.pass_on()
    seat = council.others[0]
    seat.home.adopt(replace(council.topology, epoch=2))
    while seat.durable():
        pass
    assert seat.id not in {sender for sender, *_ in council.under_way}


def test_no_round_while_somebody_is_filled() -> None:
    council = Council()
    council.everywhere(GONE)
    for seat in council.seats:
        seat.home.topology = replace(council.topology, change=council.topology.members[2].node_id)
    council.go_on(6 * GRACE)
    assert council.driver.held() == GONE


def test_answers_to_other_questions_do_not_count() -> None:
    council = up_to(RoundStep.SETTLE)
    for seat in council.others:
        council.driver.receive(seat.id, rounds.Agreed(1, [council.partition]))
    council.driver.receive(b"stranger" * 2, rounds.Agreed(1, []))  # type: ignore[arg-type]
    council.settle()
    council.go_on(GRACE)
    assert council.driver.held() is None


def test_strangers_and_steps_that_do_not_exist_are_counted() -> None:
    council = Council()
    seat = council.driver
    for peer, step in ((b"\0cli1", RoundStep.SETTLE), (council.others[0].id, 9)):
        message = rounds.Round(1, 1, step, NOW, [council.partition, 99_999], [])
        assert seat.collector.serve_round(peer, message) == []
    assert seat.home.counters["unexpected_messages"] == 2
    assert seat.home.horizons.floor == 0


def test_roots_that_are_missing_are_not_equal() -> None:
    council = Council()
    seat = council.driver
    peer = council.others[0].id
    seat.trees.unknown = {council.partition}
    seat.receive(peer, rounds.Round(5, 1, RoundStep.CONFIRM, NOW, [council.partition], []))
    seat.durable()
    assert council.under_way.pop() == (seat.id, peer, rounds.Agreed(5, []))


def test_a_step_that_comes_twice_changes_nothing() -> None:
    council = up_to(RoundStep.ADOPT)
    council.under_way.extend(list(council.under_way))
    council.settle()
    council.go_on(GRACE)
    assert [seat.held() for seat in council.seats] == [None] * 3


def test_roots_for_another_round_do_not_count() -> None:
    council = up_to(RoundStep.CONFIRM)
    message = rounds.Round(1, 1, RoundStep.CONFIRM, NOW, [council.partition], [])
    passed = Passed(council.driver.id, message)
    council.driver.do(council.driver.collector.on_passed(passed))
    council.settle()
    council.go_on(GRACE)
    assert council.driver.held() is None


def test_owners_that_differ_put_up_no_fence() -> None:
    """It would keep out what makes them equal."""
    council = Council()
    council.everywhere(GONE)
    council.others[1].hold(BEFORE)
    council.go_on(4 * GRACE)
    late(council, council.others[0], record(value(Y, NOW + 4)))
    assert council.count("fenced") == 0


def test_a_round_that_comes_to_nothing_takes_its_fences_down() -> None:
    council = up_to(RoundStep.CONFIRM)
    council.pass_on()
    drive = council.driver.collector._drive
    assert drive is not None

    def fences() -> list[bool]:
        drawn = council.partition, drive.time, council.driver.id
        return [seat.home.horizons.is_fenced(*drawn) for seat in council.seats]

    assert fences() == [True] * 3
    council.others[1].hold(record(value(Y, NOW + 9)))
    council.settle()
    assert fences() == [False] * 3
    assert council.driver.home.counters["rounds_given_up"] == 1


def test_a_driver_that_loses_its_tree_in_the_first_step_gives_up() -> None:
    council = up_to(RoundStep.SETTLE)
    council.driver.trees.unknown = {council.partition}
    council.settle()
    assert council.driver.home.counters["rounds_given_up"] == 1
    assert council.driver.held() == GONE


def test_a_driver_that_does_not_know_what_it_holds_asks_nobody() -> None:
    council = Council()
    council.everywhere(GONE)
    council.go_on(GRACE)
    council.driver.trees.unknown = {council.partition}
    council.go_on(3 * GRACE)
    assert council.driver.home.counters["rounds_given_up"] >= 1
    assert council.others[0].home.horizons.floor == 0
