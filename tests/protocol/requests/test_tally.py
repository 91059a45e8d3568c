"""Counting towards a quorum, over every short history of answers."""

from __future__ import annotations

from itertools import product

import pytest

from dynamokv.protocol.requests.tally import Tally, Verdict
from tests.ring.rings import node_id

OWNERS = tuple(node_id(number) for number in range(3))
STRANGER = node_id(99)
STEPS = [(verb, who) for verb in ("yes", "no") for who in (*OWNERS, STRANGER)]


def play(history: tuple[tuple[str, bytes], ...], needed: int) -> Tally:
    tally = Tally(OWNERS, needed)
    for verb, who in history:
        owner = next(o for o in (*OWNERS, STRANGER) if o == who)
        if verb == "yes":
            tally.add(owner)
        else:
            tally.fail(owner, "why")
    return tally


@pytest.mark.parametrize("needed", [1, 2, 3, 4])
def test_the_verdict_over_every_history_of_four_answers(needed: int) -> None:
    for history in product(STEPS, repeat=4):
        said_yes = {who for verb, who in history if verb == "yes" and who != STRANGER}
        said_no = {who for verb, who in history if verb == "no" and who != STRANGER} - said_yes
        expected = Verdict.PENDING
        if len(said_yes) >= needed:
            expected = Verdict.WON
        elif len(OWNERS) - len(said_no) < needed:
            expected = Verdict.LOST
        tally = play(history, needed)
        assert tally.verdict is expected, history
        assert (set(tally.yes), set(tally.failed)) == (said_yes, said_no), history
        assert len(tally.yes) == len(said_yes), history


def test_who_failed_is_told_with_the_latest_reason() -> None:
    tally = Tally(OWNERS, 2)
    tally.fail(OWNERS[0], "down")
    tally.fail(OWNERS[0], "no answer in time")
    tally.fail(OWNERS[1], "down")
    tally.add(OWNERS[1])
    assert tally.failures() == [f"{OWNERS[0].hex()[:8]} (no answer in time)"]


def test_a_stand_in_counts_for_its_owner_until_that_one_answers() -> None:
    tally = Tally(OWNERS, 2)
    tally.fail(OWNERS[1], "down")
    tally.add_stand_in(OWNERS[1], STRANGER)
    tally.add_stand_in(STRANGER, node_id(98))
    assert (tally.yes, tally.failed, tally.verdict) == ([OWNERS[1]], {}, Verdict.PENDING)
    tally.add(OWNERS[0])
    assert (tally.verdict, tally.sloppy) == (Verdict.PENDING, True), "the third may still answer"
    tally.patient = False
    assert (tally.verdict, tally.sloppy) == (Verdict.WON, True)
    assert tally.replicas() == [STRANGER, OWNERS[0]]
    tally.add(OWNERS[1])
    tally.add_stand_in(OWNERS[1], STRANGER)
    assert (tally.yes, tally.sloppy) == ([OWNERS[1], OWNERS[0]], False)
    assert tally.replicas() == [OWNERS[1], OWNERS[0]]


def test_a_stand_in_that_was_not_needed_is_not_named() -> None:
    tally = Tally(OWNERS, 1)
    tally.add(OWNERS[0])
    tally.add_stand_in(OWNERS[1], STRANGER)
    assert (tally.sloppy, tally.replicas()) == (False, [OWNERS[0]])


def test_stand_ins_count_at_once_where_owners_cannot_be_enough() -> None:
    tally = Tally(OWNERS, 2)
    tally.away = OWNERS[1:]
    tally.add(OWNERS[0])
    tally.add_stand_in(OWNERS[1], STRANGER)
    assert (tally.verdict, tally.sloppy) == (Verdict.WON, True)
