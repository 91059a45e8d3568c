"""Whatever comes in at the port of a node: it is dropped, it is counted, and the node goes on."""

from __future__ import annotations

import random

import pytest
import zmq

from dynamokv import limits
from tests.transport.ends import GREETING, End, ends, raw_socket, tcp
from tests.waiting import until_async

LOOPBACK = "127.0.0.1:0"

HTTP = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
TLS = bytes.fromhex("16030100c8010000c40303") + random.Random(1).randbytes(189)

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(100),
    "ones": b"\xff" * 100,
    "http": HTTP,
    "http, a lot": HTTP * 50,
    "http, short": b"GET /\r\n\r\n",
    "tls": TLS,
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "half a greeting": GREETING[:20],
    "a greeting and random bytes": GREETING + random.Random(2).randbytes(200),
    "another mechanism": GREETING[:12] + b"CURVE" + GREETING[17:],
    "an older protocol": GREETING[:10] + b"\x01" + b"\x05\x00" + b"\x01\x00\x05hello",
    "the oldest protocol": b"\x01\x00\x06\x00hello" * 3,
    **{f"random {seed}": random.Random(seed).randbytes(40 * seed) for seed in range(1, 9)},
}


async def still_works(end: End) -> None:
    """A peer that keeps the rules is heard."""
    with raw_socket(zmq.DEALER, end.transport.address) as raw:
        raw.send(b"from a friend")
        await until_async(lambda: end.frames, "the frame of a friend")
    assert end.frames == [b"from a friend"]


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.asyncio
async def test_garbage_is_counted_and_harmless(name: str) -> None:
    """Each of these is a connection that never becomes a peer, and none of its bytes a frame."""
    with ends(1) as (end,):
        address = end.transport.bind(LOOPBACK)
        with tcp(address) as connection:
            connection.sendall(GARBAGE[name])
        await until_async(lambda: end.transport.handshakes_failed == 1, "a counter moves")
        assert not end.frames
        assert not end.transport.frames_rejected
        await still_works(end)
        assert end.transport.handshakes_failed == 1


@pytest.mark.parametrize("name", ["http", "half a greeting", "nothing", "an older protocol"])
@pytest.mark.asyncio
async def test_who_does_not_greet_is_sent_away(name: str) -> None:
    """A connection that says nothing useful holds its descriptor for seconds, not for ever."""
    with ends(1) as (end,), tcp(end.transport.bind(LOOPBACK)) as connection:
        connection.sendall(GARBAGE[name])
        await until_async(lambda: end.transport.handshakes_failed == 1, "it is sent away")
        connection.settimeout(10.0)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass  # the other way to say goodbye


@pytest.mark.asyncio
async def test_friends_and_strangers_are_told_apart_when_they_come_together() -> None:
    with ends(1) as (end,):
        address = end.transport.bind(LOOPBACK)
        with tcp(address) as first, tcp(address) as second:
            first.sendall(GREETING[:20])
            second.sendall(GREETING[:5])
            with raw_socket(zmq.DEALER, address) as friend:
                friend.send(b"hello")
                await until_async(lambda: end.frames, "the frame")
        await until_async(lambda: end.transport.handshakes_failed == 2, "both are counted")
        for _ in range(5):
            with tcp(address) as connection:
                connection.sendall(HTTP)
        await until_async(lambda: end.transport.handshakes_failed == 7, "all are counted")
        assert end.frames == [b"hello"]


@pytest.mark.asyncio
async def test_a_message_of_many_parts_is_dropped_whole() -> None:
    with ends(1) as (end,), raw_socket(zmq.DEALER, end.transport.bind(LOOPBACK)) as raw:
        for number in range(50):
            raw.send(b"single %d" % number)
            raw.send_multipart([b"part"] * (2 + number))
        await until_async(lambda: len(end.frames) == 50, "the single ones")
        await until_async(lambda: end.transport.frames_rejected == 50, "the counter")
    assert end.frames == [b"single %d" % number for number in range(50)]


@pytest.mark.asyncio
async def test_a_server_that_answers_in_parts_is_not_misread() -> None:
    with ends(1) as (end,), zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.setsockopt(zmq.LINGER, 0)
        port = server.bind_to_random_port("tcp://127.0.0.1")
        end.transport.connect(b"server", f"127.0.0.1:{port}")
        await until_async(lambda: end.up.get(b"server"), "the link")
        assert end.transport.send(b"server", b"question")
        route, question = server.recv_multipart()
        assert question == b"question"
        for number in range(10):
            server.send_multipart([route, b"a", b"b", b"c"])
            server.send_multipart([route, b"answer %d" % number])
        await until_async(lambda: len(end.frames) == 10, "the answers")
        assert end.frames == [b"answer %d" % number for number in range(10)]
        assert end.transport.frames_rejected == 10


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.ROUTER])
@pytest.mark.asyncio
async def test_other_kinds_of_sockets_are_no_peers(kind: int) -> None:
    with ends(1) as (end,), raw_socket(kind, end.transport.bind(LOOPBACK)) as raw:
        raw.setsockopt(zmq.LINGER, 0)
        if kind == zmq.REQ:
            raw.send(b"question")
            await until_async(lambda: end.transport.frames_rejected == 1, "the counter")
        await still_works(end)


@pytest.mark.asyncio
async def test_a_frame_beyond_the_limit_costs_its_sender_the_connection() -> None:
    with ends(1) as (end,), raw_socket(zmq.DEALER, end.transport.bind(LOOPBACK)) as raw:
        raw.send(b"before")
        await until_async(lambda: end.frames == [b"before"], "the frame before")
        raw.send(bytes(limits.FRAME_BYTES_MAX + 1))

        def after() -> bool:
            raw.send(b"after")
            return end.frames[-1] == b"after"

        await until_async(after, "a frame after, on a new connection")
    assert set(end.frames) == {b"before", b"after"}


@pytest.mark.asyncio
async def test_the_largest_frame_passes() -> None:
    with ends(2) as (a, b):
        a.transport.connect(b"b", b.transport.bind(LOOPBACK))
        await until_async(lambda: a.up.get(b"b"), "the link")
        assert a.transport.send(b"b", bytes(limits.FRAME_BYTES_MAX))
        await until_async(lambda: b.frames, "the frame")
        assert len(b.frames[0]) == limits.FRAME_BYTES_MAX
        assert a.links == [(b"b", True)]


@pytest.mark.asyncio
async def test_we_never_send_what_would_cut_our_own_link() -> None:
    with ends(2) as (a, b):
        a.transport.connect(b"b", b.transport.bind(LOOPBACK))
        await until_async(lambda: a.up.get(b"b"), "the link")
        assert not a.transport.send(b"b", bytes(limits.FRAME_BYTES_MAX + 1))
        assert a.transport.frames_too_large == 1
        assert a.transport.send(b"b", b"small")
        await until_async(lambda: b.frames == [b"small"], "the frame")
        assert not b.transport.send(b.sources[0], bytes(limits.FRAME_BYTES_MAX + 1))
        assert b.transport.send(b.sources[0], b"back")
        await until_async(lambda: a.frames == [b"back"], "the frame back")
        assert a.links == [(b"b", True)], "the link held"


@pytest.mark.parametrize("identity", [b"\x00" * 5, b"m", b"sixteen-bytes-id", b"x" * 255])
@pytest.mark.asyncio
async def test_a_peer_may_call_itself_what_it_likes(identity: bytes) -> None:
    """libzmq refuses names that begin with zero, which are its own; others are just routes."""
    with (
        ends(1) as (end,),
        raw_socket(zmq.DEALER, end.transport.bind(LOOPBACK), identity) as raw,
    ):
        raw.setsockopt(zmq.LINGER, 0)
        raw.send(b"hello")
        await until_async(lambda: end.frames or end.transport.handshakes_failed, "an outcome")
        if end.frames:
            assert end.transport.send(end.sources[0], b"back")
            assert raw.poll(10_000)
            assert raw.recv() == b"back"


@pytest.mark.asyncio
async def test_two_with_one_name_do_not_take_each_others_frames() -> None:
    with ends(1) as (end,):
        address = end.transport.bind(LOOPBACK)
        with raw_socket(zmq.DEALER, address, b"same") as first:
            first.send(b"first")
            await until_async(lambda: end.frames == [b"first"], "the first one")
            with raw_socket(zmq.DEALER, address, b"same") as second:
                second.setsockopt(zmq.LINGER, 0)
                second.send(b"second")
                first.send(b"first again")
                await until_async(lambda: b"first again" in end.frames, "the first one again")
                end.transport.send(b"same", b"back")
                assert first.poll(10_000)
                assert first.recv() == b"back"
                assert not second.poll(0)


@pytest.mark.asyncio
async def test_a_stranger_beside_a_friend_is_counted_while_the_friend_stays() -> None:
    """Whatever the order in which libzmq tells of the two."""
    with ends(1) as (end,):
        address = end.transport.bind(LOOPBACK)
        for count in range(1, 31):
            with raw_socket(zmq.DEALER, address) as friend, tcp(address) as stranger:
                stranger.sendall(HTTP)
                friend.send(b"hello")
                await until_async(
                    lambda n=count: end.transport.handshakes_failed == n,  # type: ignore[misc]
                    "the stranger is counted",
                )
        await until_async(lambda: len(end.frames) == 30, "every friend is heard")
        assert end.transport.handshakes_failed == 30
