"""What was on its way for longer than its budget is refused unread, and a node that does not keep
up refuses to coordinate; by differences of clocks alone."""

from __future__ import annotations

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.protocol.load.transit import WINDOW_SECONDS, Transit
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode, RefusedReason
from tests.protocol.lone import CLIENT, ELSE, NOW, Lone, get_request, of, only, put_request, record

PEER = b"peer"
MINE = record((ELSE, NOW - 9, b"mine"))


class Way:
    """Frames of one peer, whose clock shows something else, on their way for so many ms."""

    def __init__(self, transit: Transit, peer: bytes = PEER) -> None:
        self.transit = transit
        self.peer = peer
        self.life = 1
        self.offset_ms = 77_000

    def arrive(self, now: float, way_ms: float) -> None:
        sent_ms = round(now * 1000 - way_ms + self.offset_ms)
        self.transit.stamped(self.peer, self.life, sent_ms, now)

    def age(self) -> int:
        """The largest budget that is over."""
        ages = [ms for ms in range(20_000) if self.transit.is_over(self.peer, ms)]
        return len(ages)


def test_the_first_frame_of_a_stranger_is_not_late() -> None:
    transit = Transit()
    assert not transit.is_over(PEER, 0)
    way = Way(transit)
    way.arrive(100.0, 9000)
    assert way.age() == 0, "how would one know?"


def test_later_than_the_quickest_is_late() -> None:
    way = Way(Transit())
    for at, way_ms in ((100.0, 3), (100.1, 1), (100.2, 2)):
        way.arrive(at, way_ms)
    way.arrive(101.0, 701)
    assert way.age() == 700
    way.arrive(101.1, 2)
    assert way.age() in (0, 1)


def test_a_clock_that_runs_at_another_rate_is_followed() -> None:
    way = Way(Transit())
    for tenth in range(10 * 3600):
        way.offset_ms = 77_000 - round(tenth / 10 * 0.2)
        way.arrive(100.0 + tenth / 10, 1)
        if tenth % 997 == 0:
            assert way.age() <= 8
    way.arrive(100.0 + 3600, 2000)
    assert 1990 <= way.age() <= 2010


def test_a_clock_that_was_set_anew_is_known_after_two_windows() -> None:
    way = Way(Transit())
    way.arrive(100.0, 1)
    way.offset_ms -= 5000
    way.arrive(101.0, 1)
    assert way.age() == 5000
    for second in range(int(2 * WINDOW_SECONDS) + 2):
        way.arrive(102.0 + second, 1)
    assert way.age() == 0


def test_who_is_late_by_the_same_each_time_had_a_clock_that_stood_still() -> None:
    way = Way(Transit())
    way.arrive(100.0, 1)
    way.offset_ms -= 5000
    for tenth in range(11):
        way.arrive(101.0 + tenth / 10, 1 + tenth % 5)
    assert way.age() <= 10


def test_a_queue_is_late_by_something_else_each_time() -> None:
    way = Way(Transit())
    way.arrive(100.0, 1)
    for tenth in range(100):
        way.arrive(101.0 + tenth / 10, 500 + 12 * (tenth % 2))
        assert way.age() >= 490


def test_a_link_that_ends_is_learned_anew() -> None:
    lone = Lone()
    late(lone, lone.peers[0], 900)
    transit = lone.home.load.transit
    assert transit.is_over(lone.peers[0], 500)
    lone.step(e.PeerDown(lone.peers[0]))
    assert not transit.is_over(lone.peers[0], 500)


def test_another_life_has_another_clock() -> None:
    way = Way(Transit())
    way.arrive(100.0, 1)
    way.life, way.offset_ms = 2, -90_000
    way.arrive(101.0, 1)
    assert way.age() == 0


def test_only_so_many_senders_are_remembered() -> None:
    transit = Transit()
    ways = [Way(transit, b"%d" % number) for number in range(limits.TRANSIT_PEERS_MAX + 1)]
    for way in ways:
        way.arrive(100.0, 1)
    for way in (ways[0], ways[-1]):
        way.arrive(101.0, 500)
    assert not transit.is_over(ways[0].peer, 10)
    assert transit.is_over(ways[-1].peer, 10)


# --- what a node does -----------------------------------------------------------------------------


def late(lone: Lone, peer: bytes, way_ms: float) -> None:
    """The frame of this peer that is being read was on its way for so long."""
    transit, now = lone.home.load.transit, lone.home.clock.monotonic()
    way = Way(transit, peer)
    way.arrive(now, 1)
    way.arrive(now, 1 + way_ms)


@pytest.mark.parametrize("way_ms", [900, 1100])
def test_no_work_is_done_for_what_is_over(way_ms: int) -> None:
    lone = Lone()
    lone.hold(MINE)
    peer = lone.peers[0]
    late(lone, peer, way_ms)
    late(lone, CLIENT, way_ms)
    over = way_ms > 1000
    requests: list[tuple[bytes, m.Message]] = [
        (peer, m.Replicate(1, 1, 1000, [lone.row], [MINE])),
        (peer, m.Fetch(2, 1, 1000, [lone.row], [])),
        (CLIENT, put_request(id=3, budget_ms=1000)),
        (CLIENT, get_request(id=4, budget_ms=1000)),
    ]
    for at, (asker, request) in enumerate(requests, 1):
        effects = lone.receive(asker, request)
        if over:
            (effect,) = effects
            assert type(effect) is e.Send
            assert (effect.peer, type(effect.message)) == (asker, m.Refused)
            assert only(m.Refused, effects)[:2] == (at, RefusedReason.EXPIRED)
        else:
            assert effects
            assert all(type(one.message) is not m.Refused for one in of(e.Send, effects))
    assert lone.home.load.counters()["expired"] == 4 * over
    assert (not lone.node.table.operations) is over


def test_what_has_no_deadline_is_never_over() -> None:
    lone = Lone()
    late(lone, lone.peers[0], 99_000)
    assert of(e.Write, lone.receive(lone.peers[0], m.Replicate(0, 1, 0, [lone.row], [MINE])))


def test_a_node_that_does_not_keep_up_refuses_to_coordinate_for_others() -> None:
    lone = Lone()
    lone.hold(MINE)
    way = Way(lone.home.load.transit, CLIENT)

    def told(id: int, way_ms: float) -> bool:
        way.arrive(lone.home.clock.monotonic(), way_ms)
        effects = lone.receive(CLIENT, get_request(id=id, budget_ms=60_000))
        answers = [one.message for one in of(e.Send, effects) if type(one.message) is m.Failed]
        assert all(answer.code == FailedCode.OVERLOADED for answer in answers)
        return bool(answers)

    late_ms = limits.QUEUE_SECONDS * 1000 + 10
    assert not told(1, 1)
    assert not told(2, late_ms), "it may be a burst"
    lone.wait(limits.QUEUE_INTERVAL_SECONDS * 1.1)
    assert told(3, late_ms)
    assert lone.home.counters["overloaded_queue"] == 1
    lone.get(ticket=9)
    assert 9 in lone.node.table.by_ticket, "its own application did not wait in that queue"
    assert only(m.Fetched, lone.receive(lone.peers[0], m.Fetch(4, 1, 1000, [lone.row], [])))
    assert not told(5, late_ms - 20), "one that was quick is enough"
    assert not told(6, late_ms)
