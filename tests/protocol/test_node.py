"""Dispatch: epochs, parking, peers that come and go, and what is none of a member's business."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.limits import PARKED_MAX, UPKEEP_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.ring.topology import Topology
from dynamokv.types import Consistency
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from tests.protocol.joining import seeking
from tests.protocol.lone import (
    ACTOR,
    CLIENT,
    ELSE,
    NOW,
    OTHER,
    Lone,
    get_request,
    of,
    only,
    put_request,
    record,
    sent,
)
from tests.ring import rings

MINE = record((ELSE, NOW - 9, b"mine"))
BESIDE = record((OTHER, NOW - 9, b"beside"))


def newer(topology: Topology, steps: int = 1) -> Topology:
    for _ in range(steps):
        topology = topology.with_member(topology.members[1])
    return topology


def questions(lone: Lone, epoch: int) -> list[m.Message]:
    """One of each request that carries an epoch."""
    return [
        m.Replicate(7, epoch, 5000, [lone.row], [MINE]),
        m.Fetch(7, epoch, 5000, [lone.row], []),
        m.Scan(7, epoch, row_keys.FIRST_DATA_ROW),
        put_request(id=7, epoch=epoch),
        get_request(id=7, epoch=epoch, level=Consistency.ONE),
    ]


# --- epochs ---------------------------------------------------------------------------------------


def test_an_older_request_is_refused_with_the_newer_topology() -> None:
    topology = newer(rings.ring(3, partitions=8))
    for at in range(5):
        lone = Lone(topology=topology)
        effects = lone.receive(lone.peers[0], questions(lone, 1)[at])
        assert effects == [e.Send(lone.peers[0], m.Refresh(7, topology.encode()))]
        assert lone.home.counters["stale_requests"] == 1


def test_the_refusal_of_a_client_carries_no_secrets() -> None:
    topology = newer(rings.ring(3, partitions=8))
    effects = Lone(topology=topology).receive(CLIENT, get_request(id=7))
    assert only(m.Refresh, effects).topology == topology.without_secrets().encode()


def test_before_there_is_a_ring_requests_are_refused() -> None:
    bench = seeking()
    for message in questions(Lone(), 1):
        refused = only(m.Refused, bench.receive(CLIENT, message))
        assert (refused.id, refused.reason) == (7, m.RefusedReason.NOT_READY)


def test_a_newer_request_waits_for_the_topology() -> None:
    for at in range(5):
        lone = Lone()
        message = questions(lone, 2)[at]
        effects = lone.receive(lone.peers[0], message)
        assert effects == [e.Send(lone.peers[0], m.TopologyRequest(0, "test"))]
        record = newer(lone.topology).encode()
        effects = lone.receive(lone.peers[0], m.TopologyReply(0, record))
        assert e.Again(e.Received(lone.peers[0], message)) in effects
        assert lone.node.parked == []
        answered = [x for x in [*effects, *lone.durable()] if type(x) is e.Send]
        assert answered, f"{type(message).__name__} was served"


def test_what_waited_is_served_one_after_the_other() -> None:
    """Each builds on what the one before has written; together, they would undo each other."""
    lone = Lone()
    for id, held in ((7, MINE), (8, BESIDE)):
        lone.receive(lone.peers[0], m.Replicate(id, 2, 5000, [lone.row], [held]))
    lone.receive(CLIENT, put_request(id=9, epoch=2, contexts=[lone.token(record())]))
    effects = lone.receive(lone.peers[0], m.Announce(newer(lone.topology).encode()))
    assert len(of(e.Again, effects)) == 3
    lone.durable()
    found = records.decode(lone.store.rows[lone.row])
    assert {version.value for version in found.versions} == {b"mine", b"beside", b"value"}


def test_what_waits_for_a_later_epoch_waits_on() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], questions(lone, 3)[1])
    lone.receive(lone.peers[0], m.Announce(newer(lone.topology).encode()))
    assert len(lone.node.parked) == 1
    effects = lone.receive(lone.peers[0], m.Announce(newer(lone.topology, 2).encode()))
    assert sent(m.Fetched, effects)


def test_what_waits_too_long_is_older_than_the_ring_by_then() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], questions(lone, 2)[1])
    effects = lone.receive(lone.peers[0], m.Announce(newer(lone.topology, 2).encode()))
    assert only(m.Refresh, effects).id == 7


def test_what_is_past_its_deadline_is_not_served() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], m.Fetch(7, 2, 500, [lone.row], []))
    lone.receive(lone.peers[0], m.Filled(0, 2))
    lone.after(UPKEEP_SECONDS / 2)
    lone.after(UPKEEP_SECONDS / 2 + 0.01)
    assert lone.node.parked == []


def test_what_is_past_its_deadline_when_the_topology_comes_is_not_served() -> None:
    lone = Lone()
    lone.receive(lone.peers[0], m.Fetch(7, 2, 500, [lone.row], []))
    lone.wait(0.501)
    effects = lone.receive(lone.peers[0], m.Announce(newer(lone.topology).encode()))
    assert of(e.Again, effects) == []
    assert lone.node.parked == []


def test_so_much_waits_and_no_more() -> None:
    lone = Lone()
    for id in range(PARKED_MAX + 5):
        lone.receive(lone.peers[0], m.Fetch(id, 2, 5000, [lone.row], []))
    assert len(lone.node.parked) == PARKED_MAX
    assert lone.home.counters["parked_dropped"] == 5


# --- peers ----------------------------------------------------------------------------------------


def test_whoever_comes_up_is_shown_the_topology() -> None:
    lone = Lone(up=[])
    effects = lone.step(e.PeerUp(lone.peers[0]))
    assert effects == [e.Send(lone.peers[0], m.Announce(lone.topology.encode()))]


def test_strangers_are_shown_nothing() -> None:
    assert Lone().step(e.PeerUp(rings.node_id(77))) == []


def test_an_address_that_belongs_to_another_ring_now_is_as_good_as_down() -> None:
    lone = Lone(up=[0])
    lone.put()
    effects = lone.receive(lone.peers[0], m.WrongCluster("other"))
    (report,) = of(e.Report, effects)
    assert (report.level, "'other'" in report.text) == ("ERROR", True)
    assert of(e.Reply, effects), "what waited for it is told"
    assert lone.home.counters["wrong_cluster"] == 1
    assert not lone.home.is_up(lone.peers[0])


@pytest.mark.parametrize(
    "message", [m.Replicated(1), m.Announce([]), m.Refused(1, 1, ""), m.Same(1)]
)
def test_an_answer_that_could_not_leave_is_counted(message: m.Message) -> None:
    lone = Lone()
    assert lone.step(e.Undelivered(CLIENT, message)) == []
    assert lone.home.counters["undelivered"] == 1


# --- the rest -------------------------------------------------------------------------------------


def test_status_is_told_at_any_epoch() -> None:
    assert Lone().receive(CLIENT, m.StatusRequest(7, 99, 5000)) == [e.Describe(CLIENT, 7)]


def test_messages_that_are_none_of_a_members_are_counted() -> None:
    lone = Lone()
    assert lone.receive(lone.peers[0], m.StatusReply(7, b"")) == []
    assert lone.home.counters["unexpected_messages"] == 1


def test_the_next_tick_is_due_for_requests_and_upkeep() -> None:
    lone = Lone()
    upkeep = lone.node.next_deadline()
    lone.get()
    assert lone.node.next_deadline() == pytest.approx(0.03)
    lone.after(0.03)
    lone.step(e.Forget(1))
    assert lone.node.next_deadline() == upkeep


def test_what_waited_and_proves_amnesia_renews_the_actor_before_the_next() -> None:
    lone = Lone()
    forgotten = record((ACTOR, NOW - 3, b"forgotten"))
    lone.receive(lone.peers[0], m.Replicate(7, 2, 5000, [lone.row], [forgotten]))
    lone.receive(CLIENT, put_request(id=9, epoch=2, contexts=[lone.token(record())]))
    lone.receive(lone.peers[0], m.Announce(newer(lone.topology).encode()))
    state = lone.held()
    assert {version.value for version in state.versions} == {b"forgotten", b"value"}
    assert state.context[ACTOR] == NOW - 3


def test_members_know_where_everybody_stands() -> None:
    lone = Lone(5)
    moved = replace(lone.topology.members[1], address="moved:1")
    before = lone.home.owners
    lone.receive(lone.peers[0], m.Announce(lone.topology.with_member(moved).encode()))
    assert lone.home.owners == before, "an address moves no data"
