"""A process that is not ready says whom it asked, who said what, and what can be done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.limits import FOUND_GRACE_SECONDS, HEARSAY_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.joining import HERE, LINK, ROUTE, THERE, answered, request, seeking
from tests.protocol.lone import Bench, Lone
from tests.protocol.test_client import SEED, Asking
from tests.ring import rings


def test_a_founder_without_the_other_seeds() -> None:
    said = seeking().node.why_not_ready()
    assert said.startswith(f"no place in a ring; asked: {THERE} (no answer). This seed has the")
    assert "start the others" in said
    assert "expect_members=1, but only if this ring never had data" in said


def test_a_founder_that_expects_more_than_there_are() -> None:
    bench = seeking(expect_members=3)
    bench.receive(LINK, m.JoinAnswer(0, JoinReason.NO_RING, "no ring here yet"))
    said = bench.node.why_not_ready()
    assert f"{THERE} (no ring here yet)" in said
    assert "expect_members=3, and 1 of them are here" in said
    bench.wait(FOUND_GRACE_SECONDS)
    alone = Bench(rings.node_id(0), None, address=HERE, expect_members=2)
    alone.durable()
    assert "asked: nobody" in alone.node.why_not_ready()


def test_whoever_looks_for_the_founder() -> None:
    bench = seeking(founder=False)
    assert f"The seed with the least address, {THERE}, founds" in bench.node.why_not_ready()


def test_who_decides_and_what_it_says() -> None:
    bench = seeking()
    decider = rings.member(2).address
    bench.receive(LINK, m.JoinAnswer(0, JoinReason.ASK, decider))
    assert f"{THERE} ({decider} decides)" in bench.node.why_not_ready()
    assert f"{decider} (no answer)" in bench.node.why_not_ready()
    bench.receive(decider.encode(), m.JoinAnswer(0, JoinReason.BUSY, "asking who is there"))
    said = bench.node.why_not_ready()
    assert f"{decider} (asking who is there)" in said
    assert f"The member at {decider} decides" in said
    before = said
    bench.receive(b"somebody", m.JoinAnswer(0, JoinReason.BUSY, "hello"))
    assert bench.node.why_not_ready() == before, "nobody asked it"


def test_one_that_is_being_filled() -> None:
    ring = replace(rings.ring(4, partitions=8), change=rings.node_id(0))
    lone = Lone(topology=ring, up=[0, 1])
    fill = lone.node.life.newcomer.fill
    assert fill is not None
    first, second, third = (member.address for member in ring.members if member.node_id != lone.me)
    fill.sources[lone.peers[0]].cursor = b""
    said = lone.node.why_not_ready()
    for address, state in (
        (first, "read to the end"),
        (second, "there, and not read to the end"),
        (third, "not reached"),
    ):
        assert f"{address} ({state})" in said
    assert "cannot be read" not in said
    fill.sources[lone.peers[1]].damaged = "partition 5 cannot be read: rows from a to b were lost"
    said = lone.node.why_not_ready()
    assert f"{second} (its partition 5 cannot be read: rows from a to b were lost)" in said
    assert "see 'When a file is damaged' in docs/guide/operations.md" in said


def test_one_that_has_moved() -> None:
    lone = Lone(address="10.0.0.9:1", number=1)
    said = lone.node.why_not_ready()
    assert f"at {rings.member(1).address}, and it is at 10.0.0.9:1 now" in said
    assert f"the first member, at {rings.member(0).address}, has to be up" in said


def test_one_whose_disk_refuses_its_identity() -> None:
    ring = rings.ring(1, partitions=8)
    bench = Bench(rings.node_id(0), ring, address=rings.member(0).address)
    assert bench.last
    bench.step(e.Tick())
    assert bench.node.why_not_ready() == "the disk has not taken this member's identity yet"


def test_a_founder_that_knows_of_a_ring_says_so_to_who_asks_it() -> None:
    bench = seeking()
    ring = rings.topology((rings.member(1),), partitions=8).without_secrets()
    bench.receive(LINK, m.TopologyReply(0, ring.encode()))
    assert answered(bench.receive(ROUTE, request()))[1] == "it waits for a place in the ring itself"
    assert f"{THERE} (there is a ring)" in bench.node.why_not_ready()


@pytest.mark.parametrize("founder", [True, False])
def test_who_is_told_of_a_ring_only_by_others_that_wait(founder: bool) -> None:
    bench = seeking(founder=founder)
    bench.receive(LINK, m.JoinAnswer(0, JoinReason.WAITING, "it waits for a place"))
    said = bench.node.why_not_ready()
    assert f"{THERE} (it waits for a place)" in said
    assert "start those again that wait for it" in said
    bench.wait(HEARSAY_SECONDS)
    assert "start those again" not in bench.node.why_not_ready()


def test_whom_a_member_told_to_wait() -> None:
    bench = seeking(founder=False)
    bench.receive(LINK, m.JoinAnswer(0, JoinReason.BUSY, "another one is being filled"))
    said = bench.node.why_not_ready()
    assert "A member of the ring has told it to wait" in said
    assert "if the whole ring is gone, start this process again" in said


def test_a_client() -> None:
    said = Asking().client.why_not_ready()
    assert said.startswith(f"no member answered at {SEED.decode()}, ")
