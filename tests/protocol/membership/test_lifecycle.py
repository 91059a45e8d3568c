"""A member's life: when it is ready, which topology it takes, and what its clock and disk say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamokv.limits import CLOCK_CEILING_STEP_MS, GOSSIP_SECONDS, UPKEEP_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.protocol.state.identity import Identity
from dynamokv.ring.topology import Topology
from dynamokv.types import ClusterId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.protocol.joining import LINK, TICK, request, seeking
from tests.protocol.lone import ACTOR, CLIENT, NOW, Bench, Lone, of, only, reply, request_id, sent
from tests.ring import rings

RING = rings.ring(3, partitions=8)


def moved(topology: Topology = RING, number: int = 1) -> Topology:
    return topology.with_member(replace(topology.members[number], address="moved:1"))


def announce(lone: Bench, topology: Topology, peer: int = 1) -> list[e.Effect]:
    return lone.receive(rings.node_id(peer), m.Announce(topology.encode()))


def identities(effects: list[e.Effect]) -> list[Identity]:
    """The identity rows that are being made durable."""
    return [
        Identity.decode(value)
        for write in of(e.Write, effects)
        for key, value in write.rows[:1]
        if key == row_keys.IDENTITY_ROW and value is not None
    ]


# --- ready ----------------------------------------------------------------------------------------


def comes_back(**settings: Any) -> Bench:
    """A member that starts on its store, with nothing durable yet."""
    settings = {"address": rings.member(0).address, **settings}
    return Bench(rings.node_id(0), RING, **settings)


def test_it_makes_its_life_durable_and_links_to_the_others() -> None:
    bench = comes_back()
    (identity,) = identities(bench.last)
    assert identity[:3] == (rings.node_id(0), ACTOR, False)
    others = [e.Connect(member.node_id, member.address) for member in RING.members[1:]]
    assert of(e.Connect, bench.last) == others


def test_ready_only_once_the_identity_is_durable() -> None:
    bench = comes_back()
    assert of(e.Ready, bench.last + bench.step(e.Tick())) == []
    assert not bench.node.ready
    assert of(e.Ready, bench.durable(failing="DiskFull")) == []
    assert [report.area for report in of(e.Report, bench.last)] == ["storage"]
    assert identities(bench.after(UPKEEP_SECONDS)), "it is tried again"
    assert len(of(e.Ready, bench.durable())) == 1
    assert bench.node.ready


def test_what_its_store_forgot_is_taken_in_with_the_new_identity_and_once() -> None:
    bench = comes_back(forgot=True)
    assert not of(e.TakenIn, bench.last + bench.durable(failing="DiskFull"))
    assert identities(bench.after(UPKEEP_SECONDS))
    assert len(of(e.TakenIn, bench.durable())) == 1
    assert bench.node.ready
    bench.after(CLOCK_CEILING_STEP_MS / 1000)
    assert not of(e.TakenIn, bench.durable())
    assert not of(e.TakenIn, comes_back().durable())


def test_ready_only_at_the_address_of_the_record() -> None:
    bench = comes_back(address="moved:1")
    assert of(e.Ready, bench.durable()) == []
    effects = announce(bench, moved(number=0))
    assert len(of(e.Ready, effects)) == 1


def test_ready_only_when_whole() -> None:
    bench = Bench(
        rings.node_id(2),
        replace(RING, change=rings.node_id(2)),
        address=rings.member(2).address,
    )
    assert of(e.Ready, bench.durable()) == []
    assert len(of(e.Ready, announce(bench, RING.settled()))) == 1


def test_ready_once() -> None:
    lone = Lone()
    lone.after(UPKEEP_SECONDS * 5)
    assert of(e.Ready, [*lone.durable(), *announce(lone, moved())]) == []


# --- the clock and the disk -----------------------------------------------------------------------


def test_the_ceiling_is_raised_when_half_of_it_is_used() -> None:
    lone = Lone()
    half = CLOCK_CEILING_STEP_MS / 2000
    assert identities(lone.after(half - 0.1)) == []
    (identity,) = identities(lone.after(1.0))
    assert identity.ceiling == NOW + (round((half + 0.9) * 1000) + CLOCK_CEILING_STEP_MS << 20)
    assert identities(lone.after(UPKEEP_SECONDS)) == [], "one at a time"


def test_no_time_above_the_durable_ceiling_comes_from_the_wall() -> None:
    lone = Lone()
    lone.wait(60.0)
    lone.put()
    assert lone.held().context[ACTOR] == NOW + (CLOCK_CEILING_STEP_MS << 20) + 1 or (
        lone.held().context[ACTOR] <= NOW + (CLOCK_CEILING_STEP_MS << 20)
    )


def test_a_clean_stop_is_the_last_word() -> None:
    lone = Lone()
    lone.put()
    used = lone.held().context[ACTOR]
    lone.durable()
    lone.step(e.Stop())
    (identity,) = identities(lone.durable())
    assert identity == Identity(lone.me, ACTOR, True, used)


def test_a_disk_that_refused_a_write_takes_puts_again_once_it_took_the_identity() -> None:
    lone = Lone()
    lone.put()
    lone.durable(failing="DiskFull")
    refused = only(m.Refused, lone.receive(CLIENT, put_of_client()))
    assert refused.reason == m.RefusedReason.NOT_READY
    assert sent(m.GetDone, lone.receive(CLIENT, m.GetRequest(9, 1, 5000, 1, False, [b"\0key"])))
    (identity,) = identities(lone.after(UPKEEP_SECONDS))
    assert identity.actor == lone.home.actor != ACTOR
    lone.durable()
    assert sent(m.Replicate, lone.receive(CLIENT, put_of_client()))


def put_of_client() -> m.PutRequest:
    return m.PutRequest(9, 1, 5000, 0, True, False, 0, [b"\0key"], [b"v"], [])


# --- topologies -----------------------------------------------------------------------------------


def test_a_newer_topology_is_stored_and_followed() -> None:
    lone = Lone()
    effects = announce(lone, moved())
    (write,) = of(e.Write, effects)
    assert (write.rows[0][0], write.synced) == (row_keys.TOPOLOGY_ROW, True)
    assert of(e.Connect, effects) == [e.Connect(rings.node_id(1), "moved:1")]
    assert lone.home.epoch == 2


def test_the_same_is_not_taken_twice() -> None:
    lone = Lone()
    # Only a first greeting is returned.
    assert of(e.Write, announce(lone, RING)) == []
    assert announce(lone, RING) == []
    announce(lone, moved())
    assert announce(lone, moved()) == []


def test_whoever_shows_an_older_one_is_told_the_newer() -> None:
    """It may have nobody else to learn it from."""
    lone = Lone()
    newer = moved()
    announce(lone, newer)
    assert announce(lone, RING, peer=2) == [
        e.Send(rings.node_id(2), m.TopologyReply(0, newer.encode()))
    ]


@pytest.mark.parametrize(
    "other",
    [
        replace(RING, epoch=9, cluster_id=ClusterId(bytes(16))),
        replace(RING, epoch=9).without_secrets(),
    ],
)
def test_what_is_another_rings_or_without_secrets_is_not_taken(other: Topology) -> None:
    lone = Lone()
    assert announce(lone, other) == []
    assert lone.home.epoch == 1


def test_a_damaged_topology_is_reported() -> None:
    lone = Lone()
    effects = lone.receive(lone.peers[0], m.Announce([b"junk"]))
    assert [report.level for report in of(e.Report, effects)] == ["ERROR"]
    assert lone.home.counters["poison_records"] == 1


def test_members_that_are_gone_are_let_go() -> None:
    lone = Lone()
    smaller = replace(RING, epoch=2, members=RING.members[:2])
    assert of(e.Disconnect, announce(lone, smaller)) == [e.Disconnect(rings.node_id(2))]


# --- who was replaced -----------------------------------------------------------------------------

REPLACED = RING.replaced(rings.node_id(0), rings.node_id(7), rings.member(0).address)


def test_who_was_replaced_serves_nobody_any_more_and_says_why() -> None:
    lone = Lone()
    effects = announce(lone, REPLACED)
    (failed,) = of(e.JoinFailed, effects)
    assert failed.reason == m.JoinReason.REPLACED
    assert "start with an empty one" in failed.text
    assert not lone.node.ready
    assert announce(lone, REPLACED.settled()) == [], "it is said once"
    assert lone.after(UPKEEP_SECONDS * 5) == []


def test_who_was_replaced_counts_in_no_quorum() -> None:
    """Its peers may still take it for whoever has its address now."""
    lone = Lone()
    announce(lone, REPLACED)
    key = lone.row
    for message in (
        m.Replicate(9, 2, 5000, [key], [b""]),
        m.Fetch(9, 2, 5000, [key], []),
        m.Replicate(9, 1, 5000, [key], [b""]),
        m.PutRequest(9, 2, 5000, 0, True, False, 0, [b"\0key"], [b"v"], []),
    ):
        effects = lone.receive(lone.peers[0], message)
        refused = only(m.Refused, effects)
        assert (refused.reason, len(effects)) == (m.RefusedReason.NOT_READY, 1)
    assert lone.node.parked == []


def test_the_application_of_who_was_replaced_is_told() -> None:
    lone = Lone()
    announce(lone, REPLACED)
    answer = reply(lone.get())
    assert (answer.code, answer.detail) == (m.FailedCode.UNAVAILABLE, lone.node.life.replaced)


def test_a_write_under_way_when_its_coordinator_was_replaced_is_made_by_the_others() -> None:
    lone = Lone()
    lone.put()
    lone.durable()
    first, second = lone.peers
    id = request_id([x for x in lone.put(ticket=2) if type(x) is e.Send])
    effects = lone.receive(first, m.Refresh(id, REPLACED.encode()))
    again = sent(m.Replicate, effects)
    assert {peer: message.epoch for peer, message in again.items()} == {first: 2, second: 2}
    lone.receive(first, m.Replicated(id))
    done = reply(lone.receive(second, m.Replicated(id)) + lone.durable())
    assert set(done.replicas) == {first, second}


def test_a_read_under_way_when_its_coordinator_was_replaced_ends() -> None:
    """It has not got the secrets of that ring: the context of an answer would be refused by all."""
    lone = Lone()
    id = request_id(lone.get())
    effects = lone.receive(lone.peers[0], m.Refresh(id, REPLACED.encode()))
    assert reply(effects).code == m.FailedCode.READ_FAILED
    assert not lone.node.table.operations


def test_who_was_replaced_knows_it_at_its_next_start() -> None:
    bench = Bench(rings.node_id(0), REPLACED, address=rings.member(0).address)
    (failed,) = of(e.JoinFailed, bench.last)
    assert failed.reason == m.JoinReason.REPLACED
    assert of(e.Connect, bench.last) == []
    assert of(e.Ready, bench.durable() + bench.after(UPKEEP_SECONDS)) == []
    refusal = only(m.JoinAnswer, bench.receive(b"\0aaaa", request(8)))
    assert refusal.reason == m.JoinReason.ASK


def test_who_replaced_somebody_and_was_replaced_itself_does_not_begin_anew() -> None:
    """It stood for a member: what it holds is old, and its place is another's."""
    bench = Bench(rings.node_id(7), REPLACED, address=rings.member(0).address)
    bench.durable()
    again = REPLACED.replaced(rings.node_id(7), rings.node_id(8), rings.member(0).address)
    effects = bench.receive(rings.node_id(1), m.Announce(again.encode()))
    assert [failed.reason for failed in of(e.JoinFailed, effects)] == [m.JoinReason.REPLACED]


# --- who asks for a place anew --------------------------------------------------------------------


def test_a_newcomer_that_lost_its_place_looks_for_one_again() -> None:
    newcomer = Bench(
        rings.node_id(2),
        replace(RING, epoch=2, change=rings.node_id(2)),
        address=rings.member(2).address,
        seeds=(LINK.decode(),),
    )
    newcomer.durable()
    without = replace(RING, epoch=3, members=RING.members[:2])
    effects = newcomer.receive(rings.node_id(0), m.TopologyReply(0, without.encode()))
    assert of(e.Disconnect, effects) == [e.Disconnect(rings.node_id(n)) for n in range(2)]
    driver = rings.member(0).address
    assert of(e.Connect, effects) == [
        e.Connect(LINK, LINK.decode()),
        e.Connect(driver.encode(), driver),
    ]
    assert set(sent(m.JoinRequest, newcomer.after(TICK))) == {LINK, driver.encode()}


# --- who asks -------------------------------------------------------------------------------------


def test_secrets_are_for_members() -> None:
    lone = Lone()
    question = m.TopologyRequest(4, "test")
    told = only(m.TopologyReply, lone.receive(rings.node_id(1), question))
    assert told == m.TopologyReply(4, RING.encode())
    told = only(m.TopologyReply, lone.receive(CLIENT, question))
    assert told == m.TopologyReply(4, RING.without_secrets().encode())


def test_who_looks_for_another_ring_is_told_so() -> None:
    answer = only(m.JoinAnswer, Lone().receive(CLIENT, m.TopologyRequest(4, "other")))
    assert (answer.id, answer.reason) == (4, m.JoinReason.MISMATCH)


def test_without_a_ring_there_is_none_to_tell() -> None:
    answer = only(m.JoinAnswer, seeking().receive(CLIENT, m.TopologyRequest(4, "test")))
    assert (answer.id, answer.reason) == (4, m.JoinReason.NO_RING)


@pytest.mark.parametrize(
    "reason", [m.JoinReason.DUPLICATE, m.JoinReason.MISMATCH, m.JoinReason.REPLACED]
)
def test_a_member_that_is_refused_its_place_stops(reason: m.JoinReason) -> None:
    effects = Lone().receive(rings.node_id(1), m.JoinAnswer(0, reason, "why"))
    assert effects == [e.JoinFailed(reason, "why")]


def test_a_member_that_shall_wait_for_its_place_waits() -> None:
    answer = m.JoinAnswer(0, m.JoinReason.BUSY, "another change is being decided")
    assert Lone().receive(rings.node_id(1), answer) == []


def test_a_member_shows_its_topology_now_and_then() -> None:
    """Whoever nobody has a link to hears of a newer one so: it is told in return."""
    lone = Lone()
    told = [
        (peer, message)
        for _ in range(60)
        for peer, message in sent(m.Announce, lone.after(1.0)).items()
    ]
    assert {peer for peer, _ in told} == lone.home.up - {lone.home.node_id}
    assert all(message.topology == RING.encode() for _, message in told)
    assert 60 / GOSSIP_SECONDS - 2 <= len(told) <= 60 / GOSSIP_SECONDS
