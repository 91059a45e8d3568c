"""A write passed on to an owner: never twice when it may have been applied. Reads: until one
answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamokv.limits import FORWARD_LATE_SECONDS, RESTARTS_MAX
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Origin
from dynamokv.protocol.requests.batch import first_owner
from dynamokv.protocol.requests.forward import Forwarded, ForwardOp
from dynamokv.protocol.requests.table import RequestTable
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import (
    Lone,
    failed,
    get_request,
    no_reply,
    of,
    put_request,
    reply,
    sent,
)

OVERLOADED = FailedCode.OVERLOADED


class Passing:
    """A put of a member without a copy, on its way to the first owner."""

    def __init__(self, lone: Lone | None = None, **fields: Any) -> None:
        self.lone = lone or Lone(5)
        name = self.lone.name(mine=False)
        self.owners = self.lone.home.locate(name)[1]
        self.start = self.lone.put(names=[name], **fields)
        ((self.target, self.request),) = sent(m.PutRequest, self.start).items()
        self.id = self.request.id

    def next_target(self, effects: list[e.Effect]) -> bytes:
        ((target, request),) = sent(m.PutRequest, effects).items()
        assert request.id == self.id
        return target


# --- on its way -----------------------------------------------------------------------------------


def test_a_put_is_passed_on_as_it_is() -> None:
    passing = Passing()
    assert passing.target in passing.owners
    expected = put_request(id=passing.id, names=passing.request.names)
    assert passing.request == expected
    assert of(e.Write, passing.start) == [], "no share of it stays here"


def test_the_answer_goes_back_as_it_is_under_the_askers_id() -> None:
    passing = Passing()
    done = m.PutDone(passing.id, 1, 2, [passing.target], False, [], [b"token"], [])
    effects = passing.lone.receive(passing.target, done)
    assert effects == [e.Reply(1, done._replace(id=1))]
    assert passing.lone.receive(passing.target, done) == []


def test_a_failure_goes_back_as_it_is() -> None:
    passing = Passing()
    indeterminate = m.Failed(passing.id, FailedCode.INDETERMINATE, 2, 1, ["x"], "late")
    effects = passing.lone.receive(passing.target, indeterminate)
    assert reply(effects) == indeterminate._replace(id=1)


def test_puts_of_a_key_go_to_its_first_owner() -> None:
    """What one of them replaces, the next one's coordinator has: it is the same."""
    lone = Lone(5)
    name = lone.name(mine=False)
    targets = [next(iter(sent(m.PutRequest, lone.put(names=[name])))) for _ in range(9)]
    assert targets == [first_owner(lone.home, name)] * 9


def test_reads_spread_over_the_owners() -> None:
    lone = Lone(5)
    name = lone.name(mine=False)
    targets = [
        next(iter(sent(m.GetRequest, operation(lone, get_request(name))[1]))) for _ in range(90)
    ]
    assert set(targets) == set(lone.home.locate(name)[1])


def test_the_budget_shrinks_on_the_way() -> None:
    passing = Passing(budget_ms=1000)
    passing.lone.wait(0.4)
    refused = m.Refused(passing.id, m.RefusedReason.NOT_READY, "not ready yet")
    requests = sent(m.PutRequest, passing.lone.receive(passing.target, refused))
    assert [request.budget_ms for request in requests.values()] == [600]


# --- another owner --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["undelivered", "refused", "overloaded"])
def test_what_certainly_was_not_applied_is_passed_on_again(way: str) -> None:
    passing = Passing()
    tried = []
    effects = passing.start
    while no_reply(effects):
        ((target, request),) = sent(m.PutRequest, effects).items()
        tried.append(target)
        answers: dict[str, e.Event] = {
            "undelivered": e.Undelivered(target, request),
            "refused": e.Received(target, m.Refused(request.id, 3, "not ready yet")),
            "overloaded": e.Received(
                target, m.Failed(request.id, OVERLOADED, 0, 0, [], "16 are under way")
            ),
        }
        effects = passing.lone.step(answers[way])
    assert sorted(tried) == sorted(passing.owners), "each owner, once"
    if way == "overloaded":
        assert failed(effects) == FailedCode.OVERLOADED, "what the owners say is the answer"
        return
    assert failed(effects) == FailedCode.UNAVAILABLE
    reason = {"undelivered": "unreachable", "refused": "not ready yet"}[way]
    assert reply(effects).failed == [f"{owner.hex()[:8]} ({reason})" for owner in tried]


@pytest.mark.parametrize("way", ["lost", "nonsense", "late"])
def test_a_write_that_may_have_been_applied_is_never_passed_on_again(way: str) -> None:
    passing = Passing()
    if way == "lost":
        effects = passing.lone.step(e.PeerDown(passing.target))
    elif way == "nonsense":
        effects = passing.lone.receive(passing.target, m.Replicated(passing.id))
    else:
        passing.lone.after(0.1)
        assert of(e.Send, passing.lone.last) == [], "a write is not hedged"
        effects = passing.lone.after(5.0)
    assert sent(m.PutRequest, effects) == {}
    assert failed(effects) == FailedCode.INDETERMINATE


def test_owners_that_are_down_are_not_tried() -> None:
    lone = Lone(5, up=[])
    effects = lone.put(names=[lone.name(mine=False)])
    assert (failed(effects), of(e.Send, effects)) == (FailedCode.UNAVAILABLE, [])
    assert len(reply(effects).failed) == 3


def test_answers_of_others_are_not_taken_for_the_targets() -> None:
    passing = Passing()
    other = next(owner for owner in passing.owners if owner != passing.target)
    done = m.PutDone(passing.id, 1, 2, [], False, [], [b""], [])
    assert passing.lone.receive(other, done) == []
    assert passing.lone.receive(other, m.Refused(passing.id, 3, "no")) == []
    assert passing.lone.step(e.PeerDown(other)) == []
    assert reply(passing.lone.receive(passing.target, done))


def test_names_of_different_owners_are_refused() -> None:
    lone = Lone(5)
    effects = lone.put(names=[lone.name(mine=False), lone.name(mine=True)])
    assert failed(effects) == FailedCode.USAGE


# --- a new topology -------------------------------------------------------------------------------


def refresh(passing: Passing, peer: bytes, epochs: int = 1) -> list[e.Effect]:
    topology = passing.lone.home.topology
    assert topology is not None
    for _ in range(epochs):
        topology = topology.with_member(replace(topology.members[0]))
    return passing.lone.receive(peer, m.Refresh(passing.id, topology.encode()))


def test_a_write_that_was_refused_for_its_epoch_is_passed_on_under_the_new_one() -> None:
    passing = Passing()
    requests = sent(m.PutRequest, refresh(passing, passing.target))
    assert [request.epoch for request in requests.values()] == [2]


def test_a_refresh_that_comes_twice_does_not_pass_the_write_on_twice() -> None:
    passing = Passing()
    assert sent(m.PutRequest, refresh(passing, passing.target))
    assert sent(m.PutRequest, refresh(passing, passing.target, epochs=0)) == {}


def test_a_topology_that_keeps_changing_ends_it() -> None:
    passing = Passing()
    effects = passing.start
    for _ in range(RESTARTS_MAX):
        assert no_reply(effects)
        effects = refresh(passing, passing.next_target(effects))
    assert failed(effects) == FailedCode.UNAVAILABLE
    assert reply(effects).detail == "the topology kept changing"


# --- a disk that refuses --------------------------------------------------------------------------


def test_an_owner_whose_disk_refuses_lets_another_coordinate() -> None:
    lone = Lone()
    lone.put()
    lone.durable(failing="DiskFull")
    for ticket in range(2, 8):
        effects = lone.put(ticket=ticket)
        assert of(e.Write, effects) == []
        (asked,) = sent(m.PutRequest, effects)
        assert asked in lone.peers


def test_alone_with_a_disk_that_refuses_nothing_can_be_written() -> None:
    lone = Lone(1)
    lone.put()
    lone.durable(failing="DiskFull")
    lone.durable(failing="DiskFull")
    effects = lone.put(ticket=2)
    assert failed(effects) == FailedCode.UNAVAILABLE
    assert reply(effects).failed == [f"{lone.me.hex()[:8]} (its disk refuses writes)"]


# --- reads and status, as a client passes them on -------------------------------------------------


def operation(lone: Lone, request: Forwarded) -> tuple[RequestTable, list[e.Effect]]:
    table = RequestTable(lone.home)
    deadline = lone.home.clock.monotonic() + 5.0
    made = ForwardOp(table.new_id(), Origin(e.LOCAL, 1), request, deadline)
    return table, table.start(made, lone.home.clock.monotonic())


def test_a_read_that_gets_no_answer_is_asked_of_the_next_owner() -> None:
    lone = Lone(5)
    table, effects = operation(lone, get_request(lone.name(mine=False)))
    tried = []
    while no_reply(effects):
        ((target, request),) = sent(m.GetRequest, effects).items()
        tried.append(target)
        effects = table.fail(request.id, target, "connection lost", untouched=False)
    assert len(set(tried)) == len(tried) == 3
    assert failed(effects) == FailedCode.UNAVAILABLE


def test_a_read_at_its_deadline_failed() -> None:
    lone = Lone(5)
    table, effects = operation(lone, get_request(lone.name(mine=False)))
    ((target, _),) = sent(m.GetRequest, effects).items()
    assert table.expire(lone.home.clock.monotonic() + 0.1) == []
    effects = table.expire(lone.home.clock.monotonic() + 5.0)
    assert failed(effects) == FailedCode.READ_FAILED
    assert reply(effects).failed == [f"{target.hex()[:8]} (no answer in time)"]


def test_a_read_that_one_coordinator_could_not_end_is_asked_of_the_next() -> None:
    """A member that was frozen reaches nobody in its first moment; others do."""
    lone = Lone(5)
    table, effects = operation(lone, get_request(lone.name(mine=False)))
    ((first, request),) = sent(m.GetRequest, effects).items()
    alone = m.Failed(request.id, FailedCode.READ_FAILED, 2, 1, ["x (unreachable)"], "")
    ((second, _),) = sent(m.GetRequest, table.reply(request.id, first, alone)).items()
    assert second != first
    done = m.GetDone(request.id, 1, 2, [], [b""], [])
    assert reply(table.reply(request.id, second, done)) == done._replace(id=1)


@pytest.mark.parametrize("write", [False, True])
def test_what_is_refused_because_it_is_late_is_asked_of_nobody_else(write: bool) -> None:
    """A read that timed out says so; a write says that it was certainly not applied."""
    lone = Lone(5)
    name = lone.name(mine=False)
    asked = put_request(names=[name]) if write else get_request(name)
    table, effects = operation(lone, asked)
    ((target, request),) = sent(type(asked), effects).items()
    lone.wait(5.0)
    effects = table.fail(request.id, target, "its time was over when it was read", untouched=True)
    assert failed(effects) == (FailedCode.UNAVAILABLE if write else FailedCode.READ_FAILED)
    assert "its time was over" in reply(effects).failed[0]


def test_a_read_that_every_owner_takes_for_late_was_late() -> None:
    """Its budget is told in milliseconds, so they may say so a little before its time is over."""
    lone = Lone(5)
    table, effects = operation(lone, get_request(lone.name(mine=False)))
    lone.wait(4.9995)
    while asked := sent(m.GetRequest, effects):
        ((target, request),) = asked.items()
        effects = table.fail(request.id, target, "its time was over", untouched=True)
    assert failed(effects) == FailedCode.READ_FAILED


def test_a_read_that_is_late_is_asked_of_the_next_owner_as_well() -> None:
    """Whoever asks first answers first: a member that is held up costs a moment, not the read."""
    lone = Lone(5)
    table, effects = operation(lone, get_request(lone.name(mine=False)))
    ((held, request),) = sent(m.GetRequest, effects).items()
    lone.wait(FORWARD_LATE_SECONDS)
    ((other, again),) = sent(m.GetRequest, table.expire(lone.home.clock.monotonic())).items()
    assert (other != held, again.id, lone.home.counters["hedged_forwards"]) == (
        True, request.id, 1,
    )  # fmt: skip
    # Whoever refuses is replaced, and at last the first one is waited for.
    ((third, _),) = sent(
        m.GetRequest, table.fail(request.id, other, "connection lost", untouched=False)
    ).items()
    assert table.fail(request.id, other, "connection lost", untouched=False) == [], "once"
    assert table.reply(request.id, other, m.GetDone(request.id, 1, 2, [], [b""], [])) == []
    lone.wait(FORWARD_LATE_SECONDS)
    assert table.expire(lone.home.clock.monotonic()) == [], "all were asked"
    assert table.fail(request.id, third, "connection lost", untouched=False) == []
    done = m.GetDone(request.id, 1, 2, [held], [b""], [])
    assert type(reply(table.reply(request.id, held, done))) is m.GetDone


def test_hedges_of_what_is_passed_on_have_a_budget() -> None:
    lone = Lone(5)
    lone.home.load.hedging.budget.tokens = 0.0
    table, _ = operation(lone, get_request(lone.name(mine=False)))
    lone.wait(FORWARD_LATE_SECONDS)
    assert table.expire(lone.home.clock.monotonic()) == []


def test_who_owes_an_answer_for_long_is_passed_nothing_more() -> None:
    passing = Passing()
    passing.lone.wait(2 * FORWARD_LATE_SECONDS)
    for ticket in range(2, 8):
        effects = passing.lone.put(names=passing.request.names, ticket=ticket)
        assert passing.target not in sent(m.PutRequest, effects)
    done = m.PutDone(passing.id, 1, 2, [passing.target], False, [], [b"token"], [])
    passing.lone.receive(passing.target, done)
    targets = set()
    for ticket in range(8, 11):
        targets |= set(
            sent(m.PutRequest, passing.lone.put(names=passing.request.names, ticket=ticket))
        )
    assert passing.target in targets


def test_any_member_may_tell_its_status() -> None:
    lone = Lone()
    asked = set()
    for _ in range(9):
        _, effects = operation(lone, m.StatusRequest(0, 0, 5000))
        asked |= set(sent(m.StatusRequest, effects))
    assert asked == set(lone.peers)
