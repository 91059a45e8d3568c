"""Extra reads, and retries: when, whom, and no more of them than a budget allows."""

from __future__ import annotations

from typing import Any

import pytest

from dynamokv.limits import HEDGE_BURST, HEDGE_FLOOR_SECONDS, RETRY_BURST
from dynamokv.protocol import effects as e
from dynamokv.protocol.load.budget import Budget
from dynamokv.protocol.load.hedging import Hedging
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import ELSE, NOW, Lone, failed, of, record, reply, sent

MINE = record((ELSE, NOW - 9, b"mine"))


def test_a_budget_is_a_share_of_the_work_and_saves_up_no_more_than_its_burst() -> None:
    budget = Budget(0.1, 3)
    assert (budget.spend(2), budget.spend(2), budget.spend(1)) == (2, 1, 0)
    assert budget.refused == 2
    for _ in range(10):
        budget.earn()
    assert budget.spend(5) in (0, 1), "a tenth of ten, as far as floats go"
    for _ in range(1000):
        budget.earn()
    assert budget.spend(100) == 3


# --- when -----------------------------------------------------------------------------------------


def test_a_read_is_late_after_the_percentile_between_its_bounds() -> None:
    hedging = Hedging(0.03)
    assert hedging.delay == 0.03
    for number in range(100):
        hedging.answered(0.005 if number % 50 else 0.02)
    assert hedging.delay == pytest.approx(0.005)
    for _ in range(1000):
        hedging.answered(0.00001)
    assert hedging.delay == HEDGE_FLOOR_SECONDS
    for _ in range(1000):
        hedging.answered(4.0)
    assert hedging.delay == 0.03, "as it is configured, at the latest"
    assert Hedging(0.0005).delay == 0.0005


def test_a_node_learns_from_its_own_reads() -> None:
    lone = Lone()
    lone.hold(MINE)
    for ticket in range(64):
        ((peer, message),) = sent(m.Fetch, lone.get(ticket=ticket)).items()
        lone.wait(0.004)
        lone.receive(peer, m.Same(message.id))
    assert lone.home.load.hedging.delay == pytest.approx(0.004)
    lone.get(ticket=99)
    assert sent(m.Fetch, lone.after(0.005))


# --- whom -----------------------------------------------------------------------------------------


def test_who_owes_an_answer_for_long_is_asked_last() -> None:
    lone = Lone()
    lone.hold(MINE)
    (slow,) = sent(m.Fetch, lone.get(ticket=1))
    lone.after(0.04)
    for ticket in range(2, 10):
        ((peer, message),) = sent(m.Fetch, lone.get(ticket=ticket)).items()
        assert peer != slow
        lone.receive(peer, m.Same(message.id))
    assert set(sent(m.Fetch, lone.get(ticket=20, level=255))) == set(lone.peers)


# --- how often ------------------------------------------------------------------------------------


def late_reads(lone: Lone, count: int, first: int = 1) -> int:
    """So many reads of which none is answered; the owners that they ask in addition, in time."""
    lone.hold(MINE)
    for ticket in range(first, first + count):
        lone.get(ticket=ticket)
    return len(of(e.Send, lone.after(0.031)))


def test_hedges_are_a_tenth_of_the_reads_and_a_burst() -> None:
    lone = Lone()
    assert late_reads(lone, 200) == HEDGE_BURST
    assert lone.home.counters["hedged_reads"] == HEDGE_BURST
    assert lone.home.load.hedging.budget.refused == 200 - HEDGE_BURST
    assert late_reads(lone, 55, 1000) == 5


def test_a_read_without_a_token_looks_again_later() -> None:
    lone = Lone()
    late_reads(lone, 21)
    operations: list[Any] = list(lone.node.table.operations.values())
    assert sum(len(operation.waiting) == 1 for operation in operations) == 1
    lone.home.load.hedging.budget.tokens = 5
    assert of(e.Send, lone.after(0.02)) == []
    assert len(of(e.Send, lone.after(0.2))) == 1


def test_an_owner_that_failed_is_replaced_whatever_the_budget_says() -> None:
    lone = Lone()
    lone.hold(MINE)
    lone.home.load.hedging.budget.tokens = 0
    for ticket in range(50):
        ((peer, message),) = sent(m.Fetch, lone.get(ticket=ticket)).items()
        effects = lone.receive(peer, m.Refused(message.id, m.RefusedReason.STORAGE, "damaged"))
        ((other, again),) = sent(m.Fetch, effects).items()
        assert reply(lone.receive(other, m.Same(again.id))).records == [MINE]


def test_a_local_read_earns_no_hedge() -> None:
    lone = Lone()
    lone.hold(MINE)
    lone.home.load.hedging.budget.tokens = 0
    for ticket in range(100):
        lone.get(ticket=ticket, level=1)
    assert lone.home.load.hedging.budget.tokens == 0


# --- retries --------------------------------------------------------------------------------------


def asked_of_overloaded(lone: Lone, count: int) -> int:
    """So many requests that are passed on, to owners that all are overloaded: how many messages
    that takes."""
    name = lone.name(mine=False)
    messages = 0
    for ticket in range(count):
        effects = lone.put(names=[name], ticket=ticket)
        while asked := sent(m.PutRequest, effects):
            messages += 1
            ((peer, message),) = asked.items()
            full = m.Failed(message.id, FailedCode.OVERLOADED, 0, 0, [], "full")
            effects = lone.receive(peer, full)
        assert failed(effects) == FailedCode.OVERLOADED
        assert reply(effects).detail == "full"
    return messages


def test_retries_of_overloaded_owners_are_a_tenth_of_the_requests_and_a_burst() -> None:
    lone = Lone(5)
    messages = asked_of_overloaded(lone, 300)
    assert 300 + RETRY_BURST < messages <= 300 + RETRY_BURST + 30
    assert lone.home.load.retries.refused > 200


def test_an_owner_that_is_not_ready_is_passed_by_for_nothing() -> None:
    lone = Lone(5)
    lone.home.load.retries.tokens = 0
    name = lone.name(mine=False)
    for ticket in range(50):
        ((peer, message),) = sent(m.PutRequest, lone.put(names=[name], ticket=ticket)).items()
        refused = m.Refused(message.id, m.RefusedReason.NOT_READY, "not ready yet")
        assert len(sent(m.PutRequest, lone.receive(peer, refused))) == 1
