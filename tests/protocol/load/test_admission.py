"""Who is let in: by count, by bytes, and what gives way."""

from __future__ import annotations

from dynamokv import limits
from dynamokv.limits import MiB
from dynamokv.protocol import effects as e
from dynamokv.protocol.load.admission import Admission
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import (
    CLIENT,
    ELSE,
    NOW,
    Lone,
    failed,
    no_reply,
    of,
    only,
    put_request,
    record,
    reply,
    request_id,
    sent,
)

LARGE = bytes(600 * 1024)
MINE = record((ELSE, NOW - 9, b"mine"))


def test_values_under_way_are_bounded_in_bytes_before_any_work() -> None:
    lone = Lone(in_flight_bytes_max=1 * MiB)
    assert no_reply(lone.put(LARGE, ticket=1))
    effects = lone.put(LARGE, ticket=2)
    assert (failed(effects), len(effects)) == (FailedCode.OVERLOADED, 1)
    assert "614,4" in reply(effects).detail
    told = only(m.Failed, lone.receive(CLIENT, put_request(id=9, values=[LARGE])))
    assert told.code == FailedCode.OVERLOADED
    assert no_reply(lone.put(ticket=3)), "a small one still fits"
    assert lone.home.counters["overloaded"] == 2
    lone.step(e.Forget(1))
    assert no_reply(lone.put(LARGE, ticket=4))


def test_what_is_passed_on_counts_as_well() -> None:
    lone = Lone(5, in_flight_bytes_max=1 * MiB)
    name = lone.name(mine=False)
    assert no_reply(lone.put(LARGE, names=[name]))
    assert failed(lone.put(LARGE, names=[name], ticket=2)) == FailedCode.OVERLOADED


def test_alone_a_request_may_be_larger_than_the_bound() -> None:
    lone = Lone(in_flight_bytes_max=1 * MiB)
    assert no_reply(lone.put(bytes(2 * MiB)))
    assert failed(lone.put(ticket=2)) == FailedCode.OVERLOADED


def test_nothing_is_left_of_what_is_over() -> None:
    lone = Lone()
    lone.hold(MINE)
    lone.put(LARGE, ticket=1, level=Consistency.ONE)
    lone.durable()
    lone.put(ticket=2)
    lone.step(e.Forget(2))
    ((peer, message),) = sent(m.Fetch, lone.get(ticket=3)).items()
    lone.receive(peer, m.Same(message.id))
    lone.get(ticket=4, budget_ms=100)
    lone.after(0.2)
    admission = lone.home.load.admission
    assert (admission.requests, admission.bytes, admission.trailing) == (0, 0, {})


def test_answers_count_and_the_next_read_reserves_as_much() -> None:
    admission = Admission(10, 10 * MiB)
    admission.enter(1, 0.0, 100, reads=True)
    assert admission.bytes == 100, "nobody has read anything yet"
    admission.grow(1, 4 * MiB)
    admission.grow(1, 4 * MiB)
    assert admission.bytes == 100 + 8 * MiB
    assert admission.refusal(3 * MiB, reads=False)
    admission.leave(1)
    admission.enter(2, 0.0, 100, reads=True)
    reserved = admission.bytes - 100
    assert reserved == 8 * MiB // limits.ANSWER_SMOOTHING
    admission.grow(2, reserved)
    assert admission.bytes == 100 + reserved, "that is what it was reserved for"
    assert not admission.refusal(10 * MiB - 100 - reserved, reads=False)
    assert admission.refusal(10 * MiB - 100 - reserved, reads=True)


# --- what is only trailing ------------------------------------------------------------------------


def trailing(lone: Lone, count: int) -> list[int]:
    """Reads that are answered, and wait for a peer that came back: their ids."""
    lone.hold(MINE)
    lone.step(e.PeerDown(lone.peers[0]))
    lone.step(e.PeerUp(lone.peers[0]))
    left: list[int] = []
    ticket = 100
    while len(left) < count:
        ticket += 1
        effects = lone.get(ticket=ticket)
        id = request_id(effects)
        if lone.peers[1] in sent(m.Fetch, effects):
            assert of(e.Reply, lone.receive(lone.peers[1], m.Same(id)))
            left.append(id)
        else:
            lone.step(e.Forget(ticket))
    return left


def test_a_read_that_was_answered_takes_no_place_of_a_request() -> None:
    lone = Lone(in_flight_max=2)
    asked = trailing(lone, 5)
    assert len(lone.home.load.admission.trailing) == 5
    assert no_reply(lone.put(ticket=1))
    assert no_reply(lone.put(ticket=2))
    assert failed(lone.put(ticket=3)) == FailedCode.OVERLOADED
    assert lone.home.counters["repairs_shed"] == 0
    assert sent(m.Replicate, lone.receive(lone.peers[0], m.Fetched(asked[0], [b""])))


def test_it_gives_way_when_bytes_are_short() -> None:
    lone = Lone(in_flight_bytes_max=1 * MiB)
    trailing(lone, 2)
    assert no_reply(lone.put(bytes(300_000)))
    assert len(lone.home.load.admission.trailing) == 2
    assert no_reply(lone.put(bytes(MiB - 300_000 - 250), ticket=2))
    assert len(lone.home.load.admission.trailing) == 1, "the oldest is enough"
    assert lone.home.counters["repairs_shed"] == 1


def test_there_are_only_so_many_of_it() -> None:
    lone = Lone()
    first, *_ = trailing(lone, limits.TRAILING_MAX + 1)
    assert len(lone.home.load.admission.trailing) == limits.TRAILING_MAX
    assert first not in lone.node.table.operations
    assert lone.home.counters["repairs_shed"] == 1


def test_it_repairs_when_the_late_one_answers() -> None:
    lone = Lone()
    (id,) = trailing(lone, 1)
    effects = lone.receive(lone.peers[0], m.Fetched(id, [b""]))
    assert list(sent(m.Replicate, effects)) == [lone.peers[0]]
    assert lone.home.load.admission.trailing == {}
