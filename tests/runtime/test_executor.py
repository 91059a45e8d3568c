"""Effects carried out: frames joined and cut, strangers refused, faults that cost one event."""

from __future__ import annotations

import asyncio
import random

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.runtime.committer import Committer
from dynamokv.storage.memory import MemoryEngine
from dynamokv.types import Durability
from dynamokv.wire import frame as frames
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.runtime.hands import ME, OURS, PEER, ROUTE, TOPOLOGY, Core, Hands
from tests.waiting import until_async

KEY = row_keys.row_key(1, row_keys.name_of(b"", b"key"))


def replicate(number: int, size: int = 10) -> m.Replicate:
    return m.Replicate(number, 1, 1000, [KEY], [bytes(size)])


def test_what_goes_to_one_peer_in_one_round_is_one_frame() -> None:
    hands = Hands()
    hands.send(PEER, *[m.Replicated(number) for number in range(500)])
    hands.send(b"other", m.Replicated(1))
    assert hands.wire.messages(PEER) == [[m.Replicated(number) for number in range(500)]]
    assert hands.wire.messages(b"other") == [[m.Replicated(1)]]
    assert hands.executor.counters["frames_sent"] == 2
    assert not hands.executor.pending


def test_a_frame_says_who_sent_it_and_in_which_ring() -> None:
    hands = Hands()
    hands.send(PEER, m.Replicated(1))
    assert frames.read_head(hands.wire.sent[0][1]) == (OURS, ME)


def test_frames_are_cut_at_a_size_in_order() -> None:
    hands = Hands()
    size = limits.FRAME_BYTES_TARGET // 4
    sent = [replicate(number, size) for number in range(10)]
    hands.send(PEER, *sent)
    found = hands.wire.messages(PEER)
    assert len(found) == 4
    assert [message for frame in found for message in frame] == sent
    assert all(len(frame) <= limits.FRAME_BYTES_TARGET for _, frame in hands.wire.sent)


def test_one_large_message_travels_alone() -> None:
    hands = Hands()
    large = replicate(2, 3 * limits.FRAME_BYTES_TARGET)
    hands.send(PEER, m.Replicated(1), large, m.Replicated(3))
    assert hands.wire.messages(PEER) == [[m.Replicated(1)], [large], [m.Replicated(3)]]


def test_frames_are_cut_at_a_number_of_messages() -> None:
    hands = Hands()
    hands.send(PEER, *[m.Replicated(number) for number in range(10_000)])
    found = hands.wire.messages(PEER)
    assert max(map(len, found)) <= limits.MESSAGES_PER_FRAME_MAX
    ids = [getattr(message, "id", None) for frame in found for message in frame]
    assert ids == list(range(10_000))


def test_one_write_to_many_owners_is_encoded_once() -> None:
    hands = Hands()
    message = replicate(1)
    hands.executor.perform([e.Send(peer, message) for peer in (b"a", b"b", b"c")])
    hands.executor.flush()
    sent = [frame for _, frame in hands.wire.sent]
    assert len(sent) == 3
    assert sent[0] is sent[1] is sent[2]
    hands.send(b"a", replicate(2))
    assert hands.wire.messages(b"a") == [[message], [replicate(2)]]


def test_what_cannot_be_sent_comes_back_at_once() -> None:
    hands = Hands()
    hands.wire.down.add(PEER)
    hands.send(PEER, m.Replicated(1), m.Replicated(2))
    assert hands.core.events == [
        e.Undelivered(PEER, m.Replicated(1)),
        e.Undelivered(PEER, m.Replicated(2)),
    ]


def test_what_comes_of_the_undelivered_leaves_in_the_same_round() -> None:
    hands = Hands()
    hands.wire.down.add(PEER)

    def elsewhere(event: Event) -> list[Effect]:
        assert isinstance(event, e.Undelivered)
        return [e.Send(b"other", event.message)]

    hands.core.answer = elsewhere
    hands.send(PEER, m.Replicated(1))
    assert hands.wire.messages(b"other") == [[m.Replicated(1)]]
    assert not hands.executor.pending


def test_effects_reach_whom_they_are_for() -> None:
    hands = Hands()
    hands.executor.perform(
        [
            e.Reply(7, m.Replicated(1)),
            e.Connect(b"x", "127.0.0.1:3"),
            e.Connect(b"y", "127.0.0.1:4"),
            e.Disconnect(b"x"),
            e.Ready(),
            e.JoinFailed(4, "no"),
            e.Describe(PEER, 9),
            e.Again(e.Received(PEER, m.Same(1))),
        ]
    )
    hands.executor.flush()
    assert hands.replies == [(7, m.Replicated(1))]
    assert hands.wire.links == {b"y": "127.0.0.1:4"}
    assert (hands.ready, hands.join_failures) == (1, [(4, "no")])
    assert hands.wire.messages(PEER) == [[m.StatusReply(9, b"status")]]
    assert hands.core.events == [e.Received(PEER, m.Same(1))]


def test_reports_go_to_the_log_of_their_area(caplog: pytest.LogCaptureFixture) -> None:
    Hands().executor.perform([e.Report("ring", "ERROR", "something happened")])
    assert [(r.name, r.levelname, r.message) for r in caplog.records] == [
        ("dynamokv.ring", "ERROR", "something happened")
    ]


# --- frames that come in --------------------------------------------------------------------------


def test_every_message_of_a_frame_is_one_event() -> None:
    hands = Hands()
    hands.receive(m.Replicated(1), m.Same(2))
    assert hands.core.events == [e.Received(PEER, m.Replicated(1)), e.Received(PEER, m.Same(2))]
    assert hands.executor.counters["frames_received"] == 1


def test_a_member_that_comes_by_a_route_is_known_by_its_id() -> None:
    hands = Hands()
    hands.receive(m.Replicated(1), source=ROUTE)
    assert hands.core.events == [e.Received(PEER, m.Replicated(1))]
    assert hands.wire.routes == {PEER: ROUTE}


def test_a_client_is_known_by_its_route() -> None:
    hands = Hands()
    hands.receive(m.Replicated(1), source=ROUTE, sender=frames.NO_SENDER)
    assert hands.core.events == [e.Received(ROUTE, m.Replicated(1))]
    assert not hands.wire.routes


@pytest.mark.parametrize("name", [b"127.0.0.1:7401", b"::1:1", b"db:80", b"a.long.host.name:7401"])
def test_a_seed_is_known_by_its_address(name: bytes) -> None:
    """Of any length: what comes by a link is from the peer that the link is named after."""
    hands = Hands()
    hands.receive(m.JoinAnswer(0, 1, "no ring here yet"), source=name)
    assert hands.core.events == [e.Received(name, m.JoinAnswer(0, 1, "no ring here yet"))]
    assert not hands.wire.routes


def poison() -> dict[str, bytes]:
    rng = random.Random(1)
    whole = frames.encode_frame(frames.head(OURS, PEER), [m.Replicated(1), m.Same(2)])
    head = whole[:26]
    return {
        "nothing": b"",
        "a head only": head,
        "another version": b"\2" + whole[1:],
        "a set reserved byte": whole[:1] + b"\1" + whole[2:],
        "cut short": whole[:-1],
        "more than one item": whole + b"\0",
        "no list": head + b"\1",
        "an unknown message": head + b"\x81\x82\x18\xff\1",
        "a field too few": head + b"\x81\x81\2",
        "a flag for a number": head + b"\x81\x82\2\xf5",
        "a tag": head + b"\x81\x82\2\xc1\1",
        "deep": head + b"\x81" * 200 + b"\1",
        "a promise of much": head + b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        "too many messages": head + b"\x99\x10\x01" + b"\x82\2\1" * 4097,
        **{f"random {n}": head + rng.randbytes(n * 20) for n in range(1, 20)},
    }


@pytest.mark.parametrize("name", poison())
def test_a_malformed_frame_costs_a_counter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands()
    hands.executor.on_frame(PEER, poison()[name])
    hands.executor.on_frame(ROUTE, poison()[name])
    assert hands.executor.counters["frames_rejected"] == 2
    assert not hands.core.events
    assert not hands.wire.routes
    assert "malformed" in caplog.text
    hands.receive(m.Replicated(1))
    assert len(hands.core.events) == 1


def test_another_ring_is_refused_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """Row 46 of the failure catalogue."""
    hands = Hands()
    hands.receive(m.Replicated(1), source=ROUTE, tag=b"12345678")
    hands.executor.flush()
    assert not hands.core.events
    assert hands.executor.counters["wrong_cluster"] == 1
    assert hands.wire.messages(ROUTE) == [[m.WrongCluster("test")]]
    assert frames.read_head(hands.wire.sent[0][1]) == (frames.NO_TAG, ME)
    assert "another ring" in caplog.text


def test_another_ring_is_refused_before_anything_is_decoded() -> None:
    """Row 46 of the failure catalogue."""
    hands = Hands()
    hands.executor.on_frame(ROUTE, frames.head(b"12345678", PEER) + b"anything")
    assert hands.executor.counters["wrong_cluster"] == 1
    assert hands.executor.counters["frames_rejected"] == 0


def test_who_does_not_know_the_ring_may_only_ask_for_it() -> None:
    hands = Hands()
    hands.receive(m.TopologyRequest(1, "test"), source=ROUTE, tag=frames.NO_TAG)
    hands.receive(m.Replicated(1), source=ROUTE, tag=frames.NO_TAG)
    assert hands.core.events == [e.Received(PEER, m.TopologyRequest(1, "test"))]
    assert hands.executor.counters["frames_before_join"] == 1


def test_who_knows_no_ring_yet_listens_to_nothing_else() -> None:
    hands = Hands(Core(topology=None))
    hands.receive(m.Replicated(1), tag=b"12345678")
    hands.receive(m.JoinAnswer(1, 1, "wait"), tag=b"12345678")
    assert hands.core.events == [e.Received(PEER, m.JoinAnswer(1, 1, "wait"))]
    hands.send(PEER, m.TopologyRequest(1, "test"))
    assert frames.read_head(hands.wire.sent[0][1])[0] == frames.NO_TAG


def test_the_ring_is_known_from_the_first_frame_on() -> None:
    """A member that restarts knows its ring; what greets it at once must not be dropped."""
    core = Core(topology=None)
    hands = Hands(core)
    core.home.topology = TOPOLOGY
    hands.executor.perform([])
    hands.receive(m.Announce([]))
    assert len(hands.core.events) == 1


# --- faults ---------------------------------------------------------------------------------------


def test_an_internal_error_costs_one_event(caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands()

    def broken(event: Event) -> list[Effect]:
        if isinstance(event, e.Received) and event.message == m.Replicated(2):
            raise RuntimeError("a bug of ours")
        return []

    hands.core.answer = broken
    hands.receive(m.Replicated(1), m.Replicated(2), m.Replicated(3))
    assert len(hands.core.events) == 3
    assert hands.executor.counters["internal_errors"] == 1
    assert "a bug of ours" in caplog.text


def test_an_internal_error_may_end_the_process() -> None:
    """A simulator's does: after a bug, nothing that follows means anything."""

    def end(error: Exception) -> None:
        raise error

    hands = Hands(on_bug=end)

    def broken(event: Event) -> list[Effect]:
        raise RuntimeError("a bug of ours")

    hands.core.answer = broken
    with pytest.raises(RuntimeError, match="a bug of ours"):
        hands.receive(m.Replicated(1), m.Replicated(2))
    assert len(hands.core.events) == 1


def test_an_internal_error_answers_its_request(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asked would wait for ever: the request is in no table, and has no timer."""
    hands = Hands()

    def broken(event: Event) -> list[Effect]:
        raise IndexError("a bug of ours")

    hands.core.answer = broken
    hands.executor.step(e.Request(5, m.StatusRequest(0, 0, 1000)))
    ((ticket, reply),) = hands.replies
    assert ticket == 5
    assert isinstance(reply, m.Failed)
    assert reply.code == m.FailedCode.UNAVAILABLE
    assert "IndexError" in caplog.text


@pytest.mark.asyncio
async def test_a_write_releases_its_messages_and_events_in_order() -> None:
    committer = Committer(MemoryEngine(), Durability.FSYNC, asyncio.get_running_loop())
    try:
        hands = Hands(committer=committer)
        committer.release = hands.executor.release
        for number in range(5):
            after = e.Send(PEER, m.Replicated(number)) if number % 2 else e.Written(number)
            hands.executor.perform([e.Write([(KEY, b"v%d" % number)], after)])
        assert hands.executor.pending
        hands.executor.flush()
        assert not hands.wire.sent
        assert not hands.core.events
        await until_async(lambda: committer.idle, "the write")
        hands.executor.flush()
        assert hands.core.events == [e.Written(0), e.Written(2), e.Written(4)]
        assert hands.wire.messages(PEER) == [[m.Replicated(1), m.Replicated(3)]]
    finally:
        committer.close()


def test_a_frame_with_requests_says_when_it_left_and_others_do_not() -> None:
    hands = Hands()
    hands.send(PEER, m.Replicated(1))
    hands.send(PEER, m.Replicated(2), replicate(3))
    bare, (stamp, *rest) = hands.wire.messages(PEER, stamps=True)
    assert bare == [m.Replicated(1)]
    assert type(stamp) is m.Stamp
    assert rest == [m.Replicated(2), replicate(3)]


def test_a_stamp_is_for_the_transit_of_its_sender_and_no_event() -> None:
    hands = Hands()
    transit = hands.core.home.load.transit
    hands.receive(m.Stamp(7, 10_000), replicate(1))
    hands.receive(m.Stamp(7, 9_000), replicate(2))
    assert transit.is_over(PEER, 900)
    assert not transit.is_over(PEER, 2_000)
    assert hands.received() == [e.Received(PEER, replicate(1)), e.Received(PEER, replicate(2))]


def test_a_stamp_does_not_make_a_frame_too_long() -> None:
    hands = Hands()
    hands.send(PEER, *[m.Fetch(number, 1, 1000, [], []) for number in range(5000)])
    lengths = [len(frame) for frame in hands.wire.messages(PEER, stamps=True)]
    assert max(lengths) == limits.MESSAGES_PER_FRAME_MAX
    assert sum(lengths) == 5002
