"""Frames between real sockets: both ways, all of them, and never for a peer that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
import zmq

from dynamokv import limits
from dynamokv.errors import AddressInUse, ConfigError
from dynamokv.ports import ROUTE_BYTES
from dynamokv.transport import zeromq
from dynamokv.transport.watched import Watched
from tests.transport.ends import End, ends, open_descriptors, raw_socket
from tests.waiting import until_async

LOOPBACK = "127.0.0.1:0"


async def linked(a: End, b: End) -> None:
    """Connect both ways, each under the name that the other one has."""
    a.transport.connect(b"b", b.transport.bind(LOOPBACK))
    b.transport.connect(b"a", a.transport.bind(LOOPBACK))
    await until_async(lambda: a.up.get(b"b") and b.up.get(b"a"), "links both ways")


@pytest.mark.asyncio
async def test_frames_go_both_ways() -> None:
    with ends(2) as (a, b):
        await linked(a, b)
        assert a.transport.is_up(b"b")
        assert not a.transport.is_up(b"c")
        for number in range(100):
            assert a.transport.send(b"b", b"to b %d" % number)
            assert b.transport.send(b"a", b"to a %d" % number)
        await until_async(lambda: len(a.frames) == len(b.frames) == 100, "all frames")
        assert a.frames == [b"to a %d" % number for number in range(100)]
        assert b.frames == [b"to b %d" % number for number in range(100)]


@pytest.mark.asyncio
async def test_a_client_is_answered_by_the_way_it_came() -> None:
    with ends(2) as (server, client):
        client.transport.connect(b"server", server.transport.bind(LOOPBACK))
        await until_async(lambda: client.up.get(b"server"), "the link")
        assert client.transport.send(b"server", b"question")
        await until_async(lambda: server.frames, "the question")
        route = server.sources[0]
        assert len(route) == ROUTE_BYTES
        assert route[0] == 0
        assert server.transport.send(route, b"answer")
        await until_async(lambda: client.frames, "the answer")
        assert client.sources == [b"server"]
        # A member is answered by its name as well, once it is known which route stands for it.
        server.transport.remember(b"sixteen byte name", route)
        assert server.transport.send(b"sixteen byte name", b"more")
        await until_async(lambda: client.frames == [b"answer", b"more"], "more")


@pytest.mark.asyncio
async def test_a_way_back_is_forgotten_when_it_ends() -> None:
    with ends(2) as (server, client):
        client.transport.connect(b"server", server.transport.bind(LOOPBACK))
        await until_async(lambda: client.up.get(b"server"), "the link")
        client.transport.send(b"server", b"question")
        await until_async(lambda: server.frames, "the question")
        server.transport.remember(b"client", server.sources[0])
        client.transport.disconnect(b"server")
        await until_async(lambda: not server.transport.send(b"client", b"?"), "nobody is there")


@pytest.mark.asyncio
async def test_a_thousand_frames_arrive_after_one_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeromq, "SAFETY_SECONDS", 3600.0)  # the drain alone must do it
    with ends(1) as (end,), raw_socket(zmq.DEALER, end.transport.bind(LOOPBACK)) as raw:
        raw.send(b"hello")
        await until_async(lambda: end.frames, "the first frame")
        for number in range(1000):
            raw.send(b"%d" % number)
        await until_async(lambda: len(end.frames) == 1001, "all frames", 10.0)
    assert end.frames[1:] == [b"%d" % number for number in range(1000)]


@pytest.mark.asyncio
async def test_one_frame_for_each_edge_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would notice: without the drain, what is there is never taken."""

    def one(self: Watched) -> None:
        if not self.closed:
            with contextlib.suppress(zmq.Again):
                self.take()

    monkeypatch.setattr(zeromq, "SAFETY_SECONDS", 3600.0)
    monkeypatch.setattr(Watched, "drain", one)
    with ends(1) as (end,), raw_socket(zmq.DEALER, end.transport.bind(LOOPBACK)) as raw:
        for number in range(1000):
            raw.send(b"%d" % number)
        with pytest.raises(AssertionError):
            await until_async(lambda: len(end.frames) == 1000, "all frames", 1.0)
    assert 0 < len(end.frames) < 1000


@pytest.mark.asyncio
async def test_a_flood_lets_others_have_their_turn() -> None:
    """The drain is bounded: other callbacks of the loop run between its rounds."""
    with ends(1) as (end,), raw_socket(zmq.DEALER, end.transport.bind(LOOPBACK)) as raw:
        for number in range(900):
            raw.send(b"%d" % number)
        seen: list[int] = []
        while len(end.frames) < 900:
            await asyncio.sleep(0)
            seen.append(len(end.frames))
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert max(steps) <= 3 * limits.DRAIN_FRAMES_MAX < 900


@pytest.mark.asyncio
async def test_a_send_to_nobody_is_refused_at_once() -> None:
    with ends(1) as (end,):
        assert not end.transport.send(b"stranger", b"frame")
        end.transport.bind(LOOPBACK)
        assert not end.transport.send(b"stranger", b"frame")
        end.transport.connect(b"dead", "127.0.0.1:1")
        for _ in range(10):
            assert not end.transport.send(b"dead", b"frame")
            await asyncio.sleep(0)
        assert not end.links


@pytest.mark.asyncio
async def test_a_full_queue_is_an_unreachable_peer() -> None:
    """Bytes beyond the queue are refused, not piled up."""
    with ends(2) as (a, b):
        await linked(a, b)
        a.transport.disconnect(b"b")
        sent = 0
        with zmq.Context() as context, context.socket(zmq.ROUTER) as silent:
            silent.setsockopt(zmq.RCVHWM, 1)
            silent.setsockopt(zmq.LINGER, 0)
            port = silent.bind_to_random_port("tcp://127.0.0.1")
            a.transport.connect(b"silent", f"127.0.0.1:{port}")
            await until_async(lambda: a.up.get(b"silent"), "the link")
            while a.transport.send(b"silent", bytes(64 * limits.KiB)):
                sent += 1
                assert sent < 20 * limits.SEND_QUEUE_FRAMES
            a.transport.disconnect(b"silent")
    assert sent >= limits.SEND_QUEUE_FRAMES


@pytest.mark.asyncio
async def test_a_peer_that_restarts_is_found_again() -> None:
    with ends(1) as (a,):
        with ends(1) as (first,):
            address = first.transport.bind(LOOPBACK)
            a.transport.connect(b"b", address)
            await until_async(lambda: a.up.get(b"b"), "the link")
        await until_async(lambda: not a.up[b"b"], "the loss of the link")
        assert not a.transport.send(b"b", b"lost")
        with ends(1) as (second,):
            second.transport.bind(address)
            await until_async(lambda: a.up[b"b"], "the link again")
            assert a.transport.send(b"b", b"found")
            await until_async(lambda: second.frames == [b"found"], "the frame")
    assert a.links == [(b"b", True), (b"b", False), (b"b", True)]


@pytest.mark.asyncio
async def test_a_link_to_another_address_takes_the_place_of_the_old_one() -> None:
    with ends(3) as (a, b, c):
        addresses = [end.transport.bind(LOOPBACK) for end in (b, c)]
        a.transport.connect(b"peer", addresses[0])
        await until_async(lambda: a.up.get(b"peer"), "the first link")
        a.transport.connect(b"peer", addresses[0])
        assert a.links == [(b"peer", True)], "the same address again changes nothing"
        a.transport.connect(b"peer", addresses[1])
        assert a.links == [(b"peer", True), (b"peer", False)]
        await until_async(lambda: a.up[b"peer"], "the second link")
        assert a.transport.send(b"peer", b"frame")
        await until_async(lambda: c.frames, "the frame")
        assert not b.frames


@pytest.mark.asyncio
async def test_an_address_in_use_is_said_so() -> None:
    with ends(2) as (a, b):
        address = a.transport.bind(LOOPBACK)
        with pytest.raises(AddressInUse, match=address):
            b.transport.bind(address)
        before = open_descriptors()
        for _ in range(20):
            with pytest.raises(AddressInUse, match=address):
                b.transport.bind(address)
        await until_async(lambda: open_descriptors() <= before, "nothing is left open")


@pytest.mark.parametrize("address", ["10.255.255.1:0", "nohost.invalid:0", "127.0.0.1:65536"])
@pytest.mark.asyncio
async def test_an_address_that_cannot_be_bound_is_said_so(address: str) -> None:
    with ends(1) as (end,):
        with pytest.raises(ConfigError, match="cannot listen"):
            end.transport.bind(address)
        assert end.transport.bind(LOOPBACK), "a failed bind leaves the transport as it was"


@pytest.mark.asyncio
async def test_six_is_spoken_too() -> None:
    with ends(2) as (a, b):
        try:
            address = b.transport.bind("[::1]:0")
        except ConfigError:
            pytest.skip("this machine has no IPv6 loopback")
        assert address.startswith("[::1]:")
        a.transport.connect(b"b", address)
        await until_async(lambda: a.up.get(b"b"), "the link")
        assert a.transport.send(b"b", b"frame")
        await until_async(lambda: b.frames == [b"frame"], "the frame")


@pytest.mark.asyncio
async def test_every_member_of_the_largest_ring_gets_a_link() -> None:
    """libzmq's own limit of 1,023 sockets would end at 340 members."""
    with ends(1) as (end,):
        for number in range(400):
            end.transport.connect(b"%d" % number, "127.0.0.1:1")
        with ends(1) as (last,):
            end.transport.connect(b"last", last.transport.bind(LOOPBACK))
            await until_async(lambda: end.up.get(b"last"), "one more link")
