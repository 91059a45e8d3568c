"""The yardstick: 1 KB there and back between two processes, with pyzmq and nothing else.

``BlockingEcho``  DEALER and ROUTER with plain ``send`` and ``recv``: the fastest round trip that
                  pyzmq makes.
``AsyncioEcho``   the same sockets with ``add_reader`` on an event loop, at both ends: the fastest
                  that a library can be which drives ZeroMQ from asyncio, whatever it carries.

As a script, the other end: it prints its port, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import zmq

from benchmarks.child import say
from benchmarks.workload import VALUE

_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE: Final = int(zmq.SNDMORE)
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)


class BlockingEcho:
    """This end, blocking."""

    def __init__(self, port: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    def latencies(self, count: int) -> list[float]:
        """Seconds of each round trip."""
        send, receive = self._socket.send, self._socket.recv
        durations = []
        for _ in range(count):
            started = time.perf_counter()
            send(VALUE)
            receive()
            durations.append(time.perf_counter() - started)
        return durations

    def close(self) -> None:
        """Let go of the socket."""
        self._context.destroy(linger=0)


class AsyncioEcho:
    """This end, on the running loop."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._waiter: asyncio.Future[bytes] = self._loop.create_future()
        self._look = watch(self._loop, self._socket, self._take)

    async def latencies(self, count: int) -> list[float]:
        """Seconds of each round trip."""
        send, look, make_waiter = self._socket.send, self._look, self._loop.create_future
        durations = []
        for _ in range(count):
            started = time.perf_counter()
            self._waiter = waiter = make_waiter()
            send(VALUE, _NOBLOCK)
            look()
            await waiter
            durations.append(time.perf_counter() - started)
        return durations

    def close(self) -> None:
        """Let go of the socket."""
        self._loop.remove_reader(int(self._socket.getsockopt(zmq.FD)))
        self._context.destroy(linger=0)

    def _take(self) -> None:
        self._waiter.set_result(self._socket.recv(_NOBLOCK))


def watch(
    loop: asyncio.AbstractEventLoop, socket: zmq.Socket[bytes], take: Callable[[], None]
) -> Callable[[], None]:
    """Call ``take`` for each message that arrives.

    The descriptor is edge-triggered, and a send may swallow the edge: call what this returns after
    each one.
    """

    def drain() -> None:
        while _events(socket) & _POLLIN:
            take()

    loop.add_reader(int(socket.getsockopt(zmq.FD)), drain)
    return drain


def _events(socket: zmq.Socket[bytes]) -> int:
    events: Any = socket.getsockopt(_EVENTS)
    return int(events)


def serve_blocking(socket: zmq.Socket[bytes]) -> None:
    """The other end, blocking, until the process ends."""
    while True:
        route = socket.recv()
        message = socket.recv()
        socket.send(route, _SNDMORE)
        socket.send(message)


def serve_asyncio(socket: zmq.Socket[bytes]) -> None:
    """The other end, on a loop, until the process ends."""
    loop = asyncio.new_event_loop()

    def answer() -> None:
        route = socket.recv(_NOBLOCK)
        message = socket.recv(_NOBLOCK)
        socket.send(route, _NOBLOCK | _SNDMORE)
        socket.send(message, _NOBLOCK)

    # ``drain`` looks again after each answer, so nothing is left behind here.
    watch(loop, socket, answer)
    loop.run_forever()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Bind, say where, and echo."""
    serve = {"blocking": serve_blocking, "asyncio": serve_asyncio}[sys.argv[1]]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    # A thread that waits in a read holds no GIL and costs nothing.
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    say(port)
    serve(socket)


if __name__ == "__main__":
    main()
