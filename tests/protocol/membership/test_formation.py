"""How a ring comes to be: who founds it, with whom, and how the others find it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.limits import FOUND_GRACE_SECONDS, HEARSAY_SECONDS, SEEK_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.ring.topology import Member
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.joining import (
    HERE,
    LINK,
    ROUTE,
    THERE,
    TICK,
    answered,
    decided,
    request,
    seeking,
)
from tests.protocol.lone import Bench, of, only, sent
from tests.ring import rings

# --- founding -------------------------------------------------------------------------------------


def test_without_seeds_it_founds_at_once_and_alone() -> None:
    bench = Bench(rings.node_id(0), None, address=HERE)
    assert decided(bench.last) is None, "not before the identity is durable"
    effects = bench.durable()
    topology = decided(effects)
    assert topology is not None
    assert (topology.epoch, topology.cluster, topology.partitions, topology.n) == (1, "test", 8, 3)
    assert topology.members == (Member(rings.node_id(0), HERE, "", 1),)
    assert of(e.Ready, effects)


def test_nothing_is_asked_for_before_the_identity_is_durable() -> None:
    bench = Bench(rings.node_id(0), None, address=HERE, seeds=(THERE,))
    assert of(e.Connect, bench.last) == [e.Connect(LINK, THERE)]
    assert of(e.Send, bench.step(e.Tick())) == []
    assert of(e.Send, bench.durable(failing="DiskFull")) == []
    assert of(e.Send, bench.after(5.0)) == []
    assert list(sent(m.JoinRequest, bench.durable())) == [LINK]


def test_a_founder_asks_the_other_seeds_first() -> None:
    bench = seeking()
    assert sent(m.TopologyRequest, bench.last) == {LINK: m.TopologyRequest(0, "test")}
    assert bench.after(SEEK_SECONDS / 2) == []
    no_ring = m.JoinAnswer(0, JoinReason.NO_RING, "no ring here yet")
    assert decided(bench.receive(LINK, no_ring)) is None
    assert decided(bench.after(TICK))


def test_a_seed_that_comes_up_is_asked_at_once() -> None:
    for bench in (seeking(), seeking(founder=False)):
        effects = bench.step(e.PeerUp(LINK))
        assert {effect.peer for effect in of(e.Send, effects)} == {LINK}
    bench = Bench(rings.node_id(0), None, address=HERE, seeds=(THERE,))
    assert bench.step(e.PeerUp(LINK)) == [], "not before the identity is durable"


def test_silent_seeds_are_waited_for_and_no_longer() -> None:
    bench = seeking(expect_members=1)
    assert decided(bench.after(FOUND_GRACE_SECONDS - 0.01)) is None
    assert decided(bench.after(0.11))


def test_unless_nobody_said_how_many_there_are() -> None:
    """Then they may be its ring, which it has forgotten: more than half have to know of none."""
    others = tuple(rings.member(number).address for number in range(1, 5))
    bench = Bench(rings.node_id(0), None, address=HERE, seeds=(HERE, *others))
    bench.durable()
    no_ring = m.JoinAnswer(0, JoinReason.NO_RING, "no ring here yet")
    for seed in others[:2]:
        assert decided(bench.after(60.0)) is None
        bench.receive(seed.encode(), no_ring)
    assert decided(bench.after(TICK)), "three of five"


@pytest.mark.parametrize("expect_members", [None, 1])
def test_one_that_waits_for_a_place_is_believed_for_a_while(expect_members: int | None) -> None:
    bench = seeking(expect_members=expect_members)
    for _ in range(2):
        bench.receive(LINK, m.JoinAnswer(0, JoinReason.WAITING, "it waits for a place"))
        assert decided(bench.after(HEARSAY_SECONDS - 0.01)) is None
        assert sent(m.TopologyRequest, bench.last) == {LINK: m.TopologyRequest(0, "test")}
    assert answered(bench.receive(ROUTE, request()))[0] == JoinReason.NO_RING
    assert decided(bench.after(TICK))


def test_what_a_member_said_is_believed_for_ever() -> None:
    bench = seeking()
    ring = rings.topology((rings.member(1),), partitions=8).without_secrets()
    bench.receive(LINK, m.TopologyReply(0, ring.encode()))
    bench.receive(LINK, m.JoinAnswer(0, JoinReason.NO_RING, "no ring here yet"))
    assert decided(bench.after(HEARSAY_SECONDS * 10)) is None
    assert answered(bench.receive(ROUTE, request()))[0] == JoinReason.WAITING


def test_the_founders_decision_is_told_when_it_is_durable() -> None:
    bench = seeking(expect_members=2)
    bench.receive(ROUTE, request(1))
    effects = bench.after(FOUND_GRACE_SECONDS)
    topology = decided(bench.after(TICK)) or decided(effects)
    assert topology is None, "the candidate was silent as long"
    bench.receive(ROUTE, request(1))
    topology = decided(bench.after(TICK))
    assert topology is not None
    assert [member.address for member in topology.members] == [HERE, THERE]
    assert of(e.Ready, bench.last) == []
    told = bench.durable()
    assert sent(m.Announce, bench.last) == {rings.node_id(1): m.Announce(topology.encode())}
    assert of(e.Disconnect, bench.last) == [e.Disconnect(LINK)]
    assert of(e.Connect, bench.last) == [e.Connect(rings.node_id(1), THERE)]
    assert of(e.Ready, told + bench.last)


def test_a_disk_that_refuses_the_founding_is_tried_again() -> None:
    bench = Bench(rings.node_id(0), None, address=HERE)
    bench.store.begin()
    for after in bench.store.finish():
        assert not isinstance(after, e.Send)
        bench.step(after)
    assert decided(bench.last)
    bench.durable(failing="DiskFull")
    assert [report.level for report in of(e.Report, bench.last)] == ["ERROR"]
    assert decided(bench.after(TICK))
    assert of(e.Ready, [*bench.durable(), *bench.last])


def test_while_it_founds_it_asks_and_takes_nobody() -> None:
    bench = seeking(expect_members=1)
    bench.after(FOUND_GRACE_SECONDS)
    assert decided(bench.last)
    assert of(e.Send, bench.after(TICK)) == []
    assert answered(bench.receive(ROUTE, request()))[0] == JoinReason.NO_RING
    bench.durable()
    topology = bench.home.topology
    assert topology is not None
    assert len(topology.members) == 1


# --- candidates -----------------------------------------------------------------------------------


def founded_with(bench: Bench, *requests: m.JoinRequest) -> list[Member]:
    """Whom it founds with, when these asked after its grace."""
    bench.after(FOUND_GRACE_SECONDS + TICK)
    for asked in requests:
        assert answered(bench.receive(ROUTE, asked))[0] == JoinReason.NO_RING
    topology = decided(bench.after(TICK))
    return list(topology.members[1:]) if topology else []


def test_a_founder_waits_for_as_many_as_it_expects_and_takes_no_more() -> None:
    bench = seeking(expect_members=3)
    assert founded_with(bench, request(1)) == []
    assert founded_with(bench, request(1), request(2), request(3)) == [
        rings.member(1),
        rings.member(2),
    ]


def test_a_candidate_that_asks_again_is_one() -> None:
    assert founded_with(seeking(expect_members=3), request(1), request(1)) == []


def test_an_address_that_came_back_under_a_new_id_is_one() -> None:
    """A process without a data directory, started twice."""
    again = request(1, node_id=rings.node_id(77))
    assert founded_with(seeking(expect_members=3), request(1), again) == []
    members = founded_with(seeking(expect_members=2), request(1), again)
    assert [member.node_id for member in members] == [rings.node_id(77)]


def test_an_id_that_came_back_at_another_address_is_one() -> None:
    moved = request(1, address="moved:1")
    assert founded_with(seeking(expect_members=3), request(1), moved) == []
    members = founded_with(seeking(expect_members=2), request(1), moved)
    assert [member.address for member in members] == ["moved:1"]


def test_a_candidate_that_went_away_is_none() -> None:
    bench = seeking(expect_members=2)
    assert bench.after(FOUND_GRACE_SECONDS + TICK)
    bench.receive(ROUTE, request(1))
    assert decided(bench.after(FOUND_GRACE_SECONDS + TICK)) is None


def test_nobody_gets_the_founders_own_address() -> None:
    bench = seeking(expect_members=2)
    reason, text = answered(bench.receive(ROUTE, request(1, address=HERE)))
    assert reason == JoinReason.DUPLICATE
    assert HERE in text


def test_only_the_first_seed_takes_candidates() -> None:
    bench = seeking(founder=False)
    assert answered(bench.receive(ROUTE, request()))[0] == JoinReason.NO_RING
    assert decided(bench.after(FOUND_GRACE_SECONDS * 2)) is None


# --- seeking a place ------------------------------------------------------------------------------


def test_everybody_else_asks_for_a_place() -> None:
    bench = seeking(founder=False)
    message = only(m.JoinRequest, bench.after(TICK))
    assert message == request(0, id=0)


def test_a_founder_that_learns_of_a_ring_asks_its_driver_for_a_place() -> None:
    bench = seeking()
    ring = rings.ring(5)
    effects = bench.receive(
        LINK, m.TopologyReply(0, replace(ring, members=ring.members[3:]).encode())
    )
    driver = rings.member(3).address
    assert effects == [e.Connect(driver.encode(), driver)]
    assert set(sent(m.JoinRequest, bench.after(TICK))) == {LINK, driver.encode()}
    assert decided(bench.after(FOUND_GRACE_SECONDS * 2)) is None


def test_a_seed_that_names_the_driver_is_followed_once() -> None:
    bench = seeking(founder=False)
    ask = m.JoinAnswer(0, JoinReason.ASK, "driver:1")
    assert bench.receive(LINK, ask) == [e.Connect(b"driver:1", "driver:1")]
    assert bench.receive(LINK, ask) == []
    assert bench.receive(LINK, m.JoinAnswer(0, JoinReason.ASK, THERE)) == []


def test_a_first_member_without_its_data_asks_the_second() -> None:
    bench = seeking()
    lost = Member(rings.node_id(9), HERE, "", 1)
    record = replace(rings.ring(3), members=(lost, *rings.ring(3).members[2:])).without_secrets()
    second = rings.member(2).address
    assert bench.receive(LINK, m.TopologyReply(0, record.encode())) == [
        e.Connect(second.encode(), second)
    ]
    asked = sent(m.JoinRequest, bench.after(TICK))
    assert set(asked) == {LINK, second.encode()}


@pytest.mark.parametrize("founder", [True, False])
def test_whoever_stands_where_the_only_member_should_is_told(founder: bool) -> None:
    """It lost its disk, and all copies with it: nobody else can let it in again."""
    bench = seeking(founder=founder)
    if founder:
        lost = Member(rings.node_id(9), HERE, "", 1)
        record = replace(rings.ring(3), members=(lost,)).without_secrets().encode()
        effects = bench.receive(LINK, m.TopologyReply(0, record))
    else:
        effects = bench.receive(LINK, m.JoinAnswer(0, JoinReason.ASK, HERE))
    (refusal,) = of(e.JoinFailed, effects)
    assert refusal.reason == JoinReason.DUPLICATE
    assert "belongs to the ring's first member" in refusal.text


@pytest.mark.parametrize("reason", [JoinReason.MISMATCH, JoinReason.FULL, JoinReason.DUPLICATE])
def test_a_refusal_for_good_is_told(reason: JoinReason) -> None:
    bench = seeking(founder=False)
    assert bench.receive(LINK, m.JoinAnswer(0, reason, "why")) == [e.JoinFailed(reason, "why")]


@pytest.mark.parametrize("reason", [JoinReason.NO_RING, JoinReason.BUSY, JoinReason.WAITING])
def test_anything_else_is_asked_again(reason: JoinReason) -> None:
    bench = seeking(founder=False)
    assert bench.receive(LINK, m.JoinAnswer(0, reason, "why")) == []
    assert sent(m.JoinRequest, bench.after(TICK))


def test_a_topology_without_secrets_is_no_place() -> None:
    bench = seeking()
    record = rings.ring(2).without_secrets().encode()
    assert bench.receive(LINK, m.TopologyReply(0, record)) == []
    assert bench.home.topology is None


def test_a_topology_that_names_it_is_its_ring() -> None:
    bench = seeking(founder=False)
    effects = bench.receive(LINK, m.TopologyReply(0, rings.ring(3).encode()))
    (write,) = of(e.Write, effects)
    assert (write.rows[0][0], write.then, write.synced) == (row_keys.TOPOLOGY_ROW, None, True)
    assert of(e.Disconnect, effects) == [e.Disconnect(LINK)]
    assert of(e.Connect, effects) == [
        e.Connect(member.node_id, member.address) for member in rings.ring(3).members[1:]
    ]
    assert of(e.Ready, effects)
