"""Frames between endpoints: who gets what, by which way, and what a fault makes of it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from dynamokv.limits import FRAME_BYTES_MAX, SEND_QUEUE_FRAMES
from dynamokv.ports import ROUTE_BYTES
from dynamokv.testing.simulation.chance import Delay
from dynamokv.testing.simulation.network import Endpoint, Network
from dynamokv.testing.simulation.schedule import MILLISECOND, Schedule

MANY = 200


class End:
    """One process, which notes what its sockets tell it. Its links have the others' names."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name.encode()
        self.frames: list[tuple[bytes, bytes]] = []
        self.news: list[tuple[bytes, bool]] = []
        self.endpoint: Endpoint = world.network.add(f"{name}:1", self)

    def on_frame(self, source: bytes, frame: bytes) -> None:
        self.frames.append((source, frame))

    def on_link(self, peer: bytes, up: bool) -> None:
        self.news.append((peer, up))

    def link(self, other: End) -> None:
        self.endpoint.connect(other.name, other.endpoint.address)

    def send(self, other: End, frame: bytes = b"frame") -> bool:
        return self.endpoint.send(other.name, frame)

    @property
    def got(self) -> list[bytes]:
        return [frame for _, frame in self.frames]


class World:
    def __init__(self, seed: int = 0) -> None:
        self.schedule = Schedule()
        self.network = Network(self.schedule, seed)

    def ends(self) -> tuple[End, End]:
        """a has a link to b, and b has none."""
        a, b = End(self, "a"), End(self, "b")
        a.link(b)
        self.passes(10)
        assert a.news == [(b.name, True)]
        return a, b

    def passes(self, milliseconds: float) -> None:
        self.schedule.run_until(self.schedule.now_ns + round(milliseconds * MILLISECOND))


def numbered(count: int = MANY) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


# --- ways -----------------------------------------------------------------------------------------


def test_a_frame_takes_its_time() -> None:
    world = World()
    a, b = world.ends()
    assert a.send(b)
    world.passes(0.4)
    assert b.got == []
    world.passes(0.2)
    assert b.got == [b"frame"]


def test_who_has_no_link_answers_by_the_way_it_came() -> None:
    world = World()
    a, b = world.ends()
    assert not b.send(a), "it knows no way"
    a.send(b)
    world.passes(1)
    ((route, _),) = b.frames
    assert len(route) == ROUTE_BYTES
    assert route[0] == 0
    assert b.endpoint.send(route, b"by route")
    b.endpoint.remember(a.name, route)
    assert b.send(a, b"by name")
    world.passes(1)
    assert a.frames == [(b.name, b"by route"), (b.name, b"by name")], "on its own link to b"


def test_a_way_back_ends_with_its_connection() -> None:
    world = World()
    a, b = world.ends()
    a.send(b)
    world.passes(1)
    b.endpoint.remember(a.name, b.frames[0][0])
    a.endpoint.disconnect(b.name)
    assert not b.send(a)
    a.link(b)
    world.passes(5)
    assert not b.send(a), "it is another connection now"
    assert a.news == [(b.name, True), (b.name, False), (b.name, True)]


def test_nothing_listens_at_an_address_until_somebody_does() -> None:
    world = World()
    a = End(world, "a")
    a.endpoint.connect(b"b", "b:1")
    world.passes(50)
    assert a.news == []
    assert not a.endpoint.send(b"b", b"frame")
    b = End(world, "b")
    world.passes(5)
    assert a.news == [(b"b", True)]
    world.network.remove(b.endpoint)
    assert a.send(b), "it has not noticed yet"
    world.passes(5)
    assert a.news == [(b"b", True), (b"b", False)]
    assert b.got == []
    assert world.network.lost == 1
    assert not world.network.is_taken("b:1")


def test_what_a_process_sent_before_it_died_arrives() -> None:
    world = World()
    a, b = world.ends()
    a.send(b)
    world.network.remove(a.endpoint)
    world.passes(1)
    assert b.got == [b"frame"]


def test_frames_of_one_connection_stay_in_order_whatever_their_latency() -> None:
    world = World()
    a, b = world.ends()
    world.network.latency.set(MILLISECOND, 50 * MILLISECOND, tail=4)
    for frame in numbered():
        a.send(b, frame)
        world.passes(0.1)
    world.passes(100)
    assert b.got == numbered()


def test_one_way_can_be_slower_than_the_others() -> None:
    world = World()
    a, b = world.ends()
    slow = Delay(Random(0), 40 * MILLISECOND, 40 * MILLISECOND)
    world.network.latencies["a:1", "b:1"] = slow
    a.send(b)
    world.passes(39)
    assert b.got == []
    world.passes(2)
    assert b.got == [b"frame"]
    world.network.heal()
    assert world.network.latencies == {}


def test_frames_that_cannot_be_queued_are_refused() -> None:
    world = World()
    a, b = world.ends()
    assert not a.send(b, bytes(FRAME_BYTES_MAX + 1))
    taken = [a.send(b) for _ in range(SEND_QUEUE_FRAMES + 2)]
    assert taken.index(False) == SEND_QUEUE_FRAMES
    assert world.network.refused == 2
    world.passes(5)
    assert a.send(b), "the queue is empty again"


# --- faults ---------------------------------------------------------------------------------------


def test_a_cut_cuts_both_ways_and_is_noticed() -> None:
    world = World()
    a, b = world.ends()
    b.link(a)
    world.passes(5)
    a.send(b)
    world.network.cut("a:1", "b:1")
    assert b.send(a)
    world.passes(0.9)
    assert a.got == b.got == []
    world.passes(5)
    assert a.news[-1] == (b.name, False)
    assert b.news[-1] == (a.name, False)
    assert not a.send(b)
    world.network.mend("b:1", "a:1")
    world.passes(5)
    assert a.news[-1] == (b.name, True)
    assert a.send(b, b"again")
    world.passes(5)
    assert b.got == [b"again"]


def test_a_cut_may_be_one_way() -> None:
    world = World()
    world.network.notice_ns = 100 * MILLISECOND
    a, b = world.ends()
    b.link(a)
    world.passes(5)
    world.network.cut_one_way("a:1", "b:1")
    assert a.send(b, b"cut")
    assert b.send(a, b"not cut")
    world.passes(5)
    assert (a.got, b.got) == ([b"not cut"], [])
    world.passes(100)
    assert not a.send(b)
    assert not b.send(a), "without heartbeats both ends give up"


def test_a_partition_leaves_each_side_whole() -> None:
    world = World()
    ends = [End(world, name) for name in "abcd"]
    for one in ends:
        for other in ends:
            if one is not other:
                one.link(other)
    world.passes(5)
    world.network.partition(["a:1", "b:1"], ["c:1"], ["d:1"])
    world.passes(5)
    reached = {(x.name, y.name) for x in ends for y in ends if x is not y and x.send(y)}
    assert reached == {(b"a", b"b"), (b"b", b"a")}
    world.network.reunite(["a:1", "b:1"], ["c:1"])
    world.passes(5)
    apart = {(x.name, y.name) for x in ends for y in ends if x is not y and not x.send(y)}
    assert len(apart) == 6
    assert all(b"d" in pair for pair in apart)
    world.network.heal()
    world.passes(5)
    assert all(x.send(y) for x in ends for y in ends if x is not y)


def test_what_is_under_way_is_lost_with_its_connection() -> None:
    world = World()
    a, b = world.ends()
    a.send(b)
    world.network.break_links("b:1", "a:1")
    assert not a.send(b)
    world.passes(5)
    assert b.got == []
    assert a.news == [(b.name, True), (b.name, False), (b.name, True)]
    assert a.send(b)


def test_a_frozen_process_hears_and_says_nothing_of_heartbeats() -> None:
    world = World()
    a, b = world.ends()
    a.send(b)
    world.network.silence("b:1", silent=True)
    world.passes(5)
    assert b.got == [b"frame"], "its kernel has it"
    assert a.news[-1] == (b.name, False)
    world.network.silence("b:1", silent=False)
    world.passes(5)
    assert a.news[-1] == (b.name, True)


def test_two_news_of_a_link_are_told_in_order() -> None:
    """Also when chance decides which of two things at the same moment is first."""
    for seed in range(20):
        world = World()
        world.schedule = Schedule(Random(seed))
        world.network = Network(world.schedule)
        world.network.notice_ns = world.network.connect_ns = 0
        a, b = world.ends()
        world.network.break_links("a:1", "b:1")
        world.passes(5)
        assert a.news == [(b.name, True), (b.name, False), (b.name, True)]


FAMILIES: dict[str, Callable[[Network], object]] = {
    "drop": lambda network: setattr(network.drop, "share", 0.2),
    "duplicate": lambda network: setattr(network.duplicate, "share", 0.2),
    "reorder": lambda network: setattr(network.reorder, "share", 0.2),
    "late": lambda network: setattr(network.late, "share", 0.2),
    "refuse": lambda network: setattr(network.refuse, "share", 0.2),
}


def traffic(*families: str, seed: int = 0) -> tuple[list[bytes], list[bool]]:
    """What arrives of many frames, and which were taken."""
    world = World(seed)
    a, b = world.ends()
    world.network.latency.set(MILLISECOND, 5 * MILLISECOND)
    for family in families:
        FAMILIES[family](world.network)
    taken = []
    for frame in numbered():
        taken.append(a.send(b, frame))
        world.passes(0.5)
    world.passes(60_000)
    return b.got, taken


def test_each_fault_does_what_it_says() -> None:
    assert traffic() == (numbered(), [True] * MANY)
    got, _ = traffic("drop")
    assert got == [frame for frame in numbered() if frame in got]
    assert MANY / 2 < len(got) < MANY
    got, _ = traffic("duplicate")
    assert len(got) > MANY
    assert sorted(set(got)) == sorted(numbered())
    got, _ = traffic("reorder")
    assert got != numbered()
    assert sorted(got) == sorted(numbered())
    got, _ = traffic("late")
    assert sorted(got) == sorted(numbered())
    on_time = got[: MANY // 2]
    assert on_time == sorted(on_time, key=int), "after all others"
    assert got[MANY // 2 :] != sorted(got[MANY // 2 :], key=int)
    got, taken = traffic("refuse")
    assert got == [f for f, was in zip(numbered(), taken, strict=True) if was]
    assert MANY / 2 < len(got) < MANY


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_is_the_same_traffic(family: str) -> None:
    assert traffic(family, seed=1) == traffic(family, seed=1)
    assert traffic(family, seed=1) != traffic(family, seed=2)


def test_one_fault_more_leaves_the_others_as_they_were() -> None:
    dropped, _ = traffic("drop")
    both, _ = traffic("drop", "reorder")
    assert both != dropped
    assert sorted(both) == sorted(dropped)
