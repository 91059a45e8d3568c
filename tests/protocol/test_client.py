"""A client: it finds its ring, keeps finding it, and never takes another for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from dynamokv.causality.hlc import HybridClock
from dynamokv.limits import SEEK_SECONDS, UPKEEP_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.protocol.client import ClientNode
from dynamokv.protocol.effects import Effect
from dynamokv.protocol.state.home import Home, Settings
from dynamokv.ring.topology import Topology
from dynamokv.runtime.boot import NoStore
from dynamokv.testing.simulation.clocks import NodeClock
from dynamokv.testing.simulation.schedule import Schedule, nanoseconds
from dynamokv.types import Actor, ClusterId, NodeId
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode, Message
from tests.protocol.cluster import plain_cluster
from tests.protocol.lone import (
    failed,
    get_request,
    no_reply,
    of,
    only,
    put_request,
    reply,
    sent,
)
from tests.ring import rings

SEED, OTHER_SEED = b"10.0.0.0:7401", b"10.0.0.9:7401"
RING = rings.ring(3, partitions=8)
MEMBERS: list[bytes] = [member.node_id for member in RING.members]


class Asking:
    """A client by hand; ``known``: it has the topology, and all members are up."""

    def __init__(self, *, known: bool = True, **settings: Any) -> None:
        self.schedule = Schedule()
        seeds = (SEED.decode(), OTHER_SEED.decode())
        home = Home(
            node_id=NodeId(b""),
            actor=Actor(b""),
            settings=Settings(cluster="test", seeds=seeds, hedge_after=5.0, **settings),
            reader=NoStore(),
            clock=NodeClock(self.schedule),
            rng=Random(0),
            hybrid=HybridClock(last=0, drift_max_ms=0),
        )
        self.client = ClientNode(home)
        self.links = self.client.start()
        if known:
            self.learn(RING)
            for member in MEMBERS:
                self.step(e.PeerUp(member))
            self.after(0.0)

    def step(self, event: e.Event) -> list[Effect]:
        return self.client.step(event)

    def receive(self, peer: bytes, message: Message) -> list[Effect]:
        return self.step(e.Received(peer, message))

    def learn(self, topology: Topology) -> list[Effect]:
        record = topology.without_secrets().encode()
        return self.receive(SEED, m.TopologyReply(0, record))

    def after(self, seconds: float) -> list[Effect]:
        self.schedule.run_until(self.schedule.now_ns + nanoseconds(seconds))
        return self.step(e.Tick())

    def epoch(self) -> int:
        return self.client.home.epoch


# --- finding the ring -----------------------------------------------------------------------------


def test_it_links_to_its_seeds_and_asks_them() -> None:
    asking = Asking(known=False)
    assert asking.links == [e.Connect(seed, seed.decode()) for seed in (SEED, OTHER_SEED)]
    question = m.TopologyRequest(0, "test")
    assert sent(m.TopologyRequest, asking.after(0.0)) == {SEED: question, OTHER_SEED: question}
    assert asking.after(SEEK_SECONDS / 2) == []
    assert len(asking.after(SEEK_SECONDS)) == 2, "until it knows"


def test_it_is_ready_once_it_knows_the_ring() -> None:
    asking = Asking(known=False)
    effects = asking.learn(RING)
    links = [e.Connect(member.node_id, member.address) for member in RING.members]
    assert effects == [*links, e.Ready()]
    assert of(e.Ready, asking.learn(replace(RING, epoch=2))) == []


def test_answers_that_are_no_ring_yet_change_nothing() -> None:
    asking = Asking(known=False)
    no_ring = m.JoinAnswer(0, m.JoinReason.NO_RING, "no ring here yet")
    assert asking.receive(SEED, no_ring) == []


def test_a_seed_that_comes_up_is_asked_at_once() -> None:
    asking = Asking(known=False)
    question = m.TopologyRequest(0, "test")
    assert asking.step(e.PeerUp(SEED)) == [e.Send(SEED, question)]
    asking.learn(RING)
    assert asking.step(e.PeerUp(OTHER_SEED)) == []


def test_another_rings_name_ends_it() -> None:
    asking = Asking(known=False)
    answer = m.JoinAnswer(0, m.JoinReason.MISMATCH, "this ring is 'other'")
    expected = [e.JoinFailed(m.JoinReason.MISMATCH, "this ring is 'other'")]
    assert asking.receive(SEED, answer) == expected


def test_a_damaged_topology_is_reported_and_not_taken() -> None:
    asking = Asking(known=False)
    effects = asking.receive(SEED, m.TopologyReply(0, [b"junk"]))
    assert [effect.level for effect in of(e.Report, effects)] == ["ERROR"]
    assert asking.client.home.counters["poison_records"] == 1
    assert not asking.client.ready


# --- keeping it -----------------------------------------------------------------------------------


def test_a_newer_topology_is_taken_from_any_answer() -> None:
    moved = RING.with_member(replace(RING.members[1], address="moved:1"))
    record = moved.without_secrets().encode()
    makers: list[Callable[[], Message]] = [
        lambda: m.TopologyReply(0, record),
        lambda: m.Announce(record),
        lambda: m.Refresh(77, record),
    ]
    for make in makers:
        asking = Asking()
        effects = asking.receive(MEMBERS[0], make())
        assert effects == [e.Connect(MEMBERS[1], "moved:1")]
        assert asking.epoch() == 2


def test_an_older_one_and_another_rings_are_not_taken() -> None:
    asking = Asking()
    asking.learn(replace(RING, epoch=5))
    for topology in (
        RING,
        replace(RING, epoch=5, members=RING.members[:1]),
        replace(RING, epoch=9, cluster_id=ClusterId(bytes(16))),
    ):
        assert asking.learn(topology) == []
        assert asking.epoch() == 5


def test_members_that_are_gone_are_let_go() -> None:
    asking = Asking()
    smaller = replace(RING, epoch=2, members=(*RING.members[:1], rings.member(7)))
    assert asking.learn(smaller) == [
        e.Disconnect(MEMBERS[1]),
        e.Disconnect(MEMBERS[2]),
        e.Connect(rings.node_id(7), rings.member(7).address),
    ]
    question = sent(m.TopologyRequest, asking.after(UPKEEP_SECONDS))
    assert list(question) == MEMBERS[:1]


def test_while_nobody_can_be_reached_the_seeds_are_asked_again() -> None:
    asking = Asking()
    assert asking.after(UPKEEP_SECONDS) == []
    for member in MEMBERS:
        asking.step(e.PeerDown(member))
    assert list(sent(m.TopologyRequest, asking.after(UPKEEP_SECONDS))) == [SEED, OTHER_SEED]
    assert len(asking.after(SEEK_SECONDS)) == 2


def test_while_some_cannot_be_reached_one_of_the_others_is_asked() -> None:
    """All owners of a key may have moved, while somebody else stays up for ever."""
    asking = Asking()
    asking.step(e.PeerDown(MEMBERS[1]))
    asked = set()
    for _ in range(20):
        assert asking.after(UPKEEP_SECONDS / 2) == []
        (peer,) = sent(m.TopologyRequest, asking.after(UPKEEP_SECONDS / 2))
        asked.add(peer)
    assert asked == {MEMBERS[0], MEMBERS[2]}


def test_the_next_tick_is_due_for_the_requests_as_well() -> None:
    asking = Asking()
    assert asking.client.next_deadline() == UPKEEP_SECONDS
    asking.step(e.Request(1, get_request(budget_ms=200)))
    assert asking.client.next_deadline() == 0.2


# --- requests -------------------------------------------------------------------------------------


def test_requests_go_to_owners_and_come_back() -> None:
    asking = Asking()
    ((peer, request),) = sent(m.GetRequest, asking.step(e.Request(5, get_request()))).items()
    done = m.GetDone(request.id, 1, 2, MEMBERS[:2], [b""], [b""])
    assert asking.receive(peer, done) == [e.Reply(5, done._replace(id=5))]


def test_status_comes_back_as_well() -> None:
    asking = Asking()
    effects = asking.step(e.Request(5, m.StatusRequest(0, 0, 1000)))
    ((peer, request),) = sent(m.StatusRequest, effects).items()
    answer = m.StatusReply(request.id, b"\xa0")
    assert asking.receive(peer, answer) == [e.Reply(5, answer._replace(id=5))]


@pytest.mark.parametrize("way", ["down", "undelivered", "refused", "stranger"])
def test_a_read_fails_over_to_another_owner(way: str) -> None:
    asking = Asking()
    ((peer, request),) = sent(m.GetRequest, asking.step(e.Request(5, get_request()))).items()
    events: dict[str, e.Event] = {
        "down": e.PeerDown(peer),
        "undelivered": e.Undelivered(peer, request),
        "refused": e.Received(peer, m.Refused(request.id, 3, "not ready yet")),
        "stranger": e.Received(peer, m.WrongCluster("other")),
    }
    (other,) = sent(m.GetRequest, asking.step(events[way]))
    assert other != peer


def test_a_stale_request_is_sent_again_under_the_new_epoch() -> None:
    asking = Asking()
    ((peer, request),) = sent(m.PutRequest, asking.step(e.Request(5, put_request()))).items()
    moved = RING.with_member(replace(RING.members[1], address="moved:1"))
    effects = asking.receive(peer, m.Refresh(request.id, moved.without_secrets().encode()))
    assert only(m.PutRequest, effects).epoch == 2


def test_what_the_application_forgot_is_not_told() -> None:
    asking = Asking()
    ((peer, request),) = sent(m.GetRequest, asking.step(e.Request(5, get_request()))).items()
    assert asking.step(e.Forget(5)) == []
    assert asking.receive(peer, m.GetDone(request.id, 1, 1, [], [b""], [b""])) == []


def test_beyond_the_limit_requests_are_shed() -> None:
    asking = Asking(in_flight_max=1)
    assert no_reply(asking.step(e.Request(1, get_request())))
    effects = asking.step(e.Request(2, get_request()))
    assert (failed(effects), reply(effects).id) == (FailedCode.OVERLOADED, 2)
    assert asking.client.home.counters["overloaded"] == 1


def test_messages_that_are_none_of_a_clients_are_counted() -> None:
    asking = Asking()
    assert asking.receive(MEMBERS[0], m.Replicated(1)) == []
    assert asking.client.home.counters["unexpected_messages"] == 1
    assert asking.step(e.Undelivered(SEED, m.TopologyRequest(0, "test"))) == []
    assert asking.client.home.counters["undelivered"] == 1


# --- in a ring ------------------------------------------------------------------------------------


def test_it_finds_its_ring_after_every_member_has_moved() -> None:
    cluster = plain_cluster()
    members = cluster.ring(3)
    client = cluster.client("c", "n1:1", "n2:1", "n3:1")
    cluster.run(1.0)
    for number, member in enumerate(members):
        moved = cluster.start(cluster.power_cut(member), address=f"moved{number}:1", seeds=())
        cluster.run(3.0)
        assert moved.ready
    assert type(cluster.ask(client, put_request())) is m.PutDone
