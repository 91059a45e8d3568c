"""ZeroMQ on an asyncio loop, raw: one ROUTER that everyone's frames arrive at, one DEALER for each
peer.

Rules:
    - All sockets live on the loop's thread. The context is private, never shared, and ends with its
      owner.
    - Sockets are drained as ``watched.py`` says, also after a send, which may have swallowed the
      edge. A slow timer looks at every socket as well, in case an edge was lost all the same.
    - Sends never block. A peer without a live connection, or with a full queue, is "unreachable" at
      once: ``IMMEDIATE`` keeps frames from piling up for a peer that is not there.
    - A frame is one part. More parts are dropped whole and counted, since the size limit holds for
      each part only.
    - Only ZMTP 3 is spoken. An older peer need not greet, so that libzmq would take any bytes for
      one, and for its messages. A ZAP domain is what makes libzmq refuse them.
    - libzmq's I/O thread answers heartbeats without the GIL, so a lost heartbeat means that the
      process is frozen or gone, not that its Python is busy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
import weakref
from typing import Any, Protocol

import zmq

from dynamokv import limits
from dynamokv.config import split_address
from dynamokv.errors import AddressInUse, ConfigError
from dynamokv.transport.monitor import (
    CONNECTION_EVENTS,
    LINK_EVENTS,
    ConnectionMonitor,
    LinkMonitor,
)
from dynamokv.transport.watched import Watched

log = logging.getLogger("dynamokv.transport")

HEARTBEAT_MS = 300
HEARTBEAT_TIMEOUT_MS = 1000
"""A frozen peer is noticed after about a second; a long transfer of one frame must not look like
that."""

RECONNECT_MS = 50
RECONNECT_MAX_MS = 1000
RETRY_SECONDS = 0.1
"""A link younger than this is left to its first attempt."""

HANDSHAKE_MS = 3000
"""A connection that says nothing holds a descriptor for no longer than this."""

CLOSE_LINGER_MS = 200
"""Time for the last frames of a closing node to leave; a frozen peer cannot make it longer."""

SAFETY_SECONDS = 0.25
"""Between two looks at every socket, whatever its descriptor said."""

ZAP_DOMAIN = b"dynamokv"

SOCKETS_PER_LINK = 3
"""The socket and both ends of its monitor."""

_NOBLOCK = int(zmq.NOBLOCK)
_SNDMORE = int(zmq.SNDMORE)


class Listener(Protocol):
    """Who hears of what happens on the sockets."""

    def on_frame(self, source: bytes, frame: bytes) -> None:
        """A frame came, by the link or the route ``source``."""
        ...

    def on_drained(self) -> None:
        """A socket has no more frames for now."""
        ...

    def on_link(self, peer: bytes, up: bool) -> None:
        """The link to a peer works, or broke."""
        ...


class _Router(Watched):
    def __init__(self, transport: ZeroMQTransport, socket: zmq.Socket[bytes]) -> None:
        self.transport = transport
        super().__init__(transport.loop, socket)

    def take(self) -> None:
        route = self.socket.recv(_NOBLOCK)
        frame = self.socket.recv(_NOBLOCK)
        if self.socket.getsockopt(zmq.RCVMORE):
            _drop_rest(self.socket)
            self.transport.frames_rejected += 1
            return
        self.transport.report_frame(route, frame)

    def drained(self) -> None:
        self.transport.report_drained()


class _Link(Watched):
    """The connection to one peer, made again for ever."""

    def __init__(self, transport: ZeroMQTransport, peer: bytes, address: str) -> None:
        self.transport = transport
        self.peer = peer
        self.address = address
        self.up = False
        self.born = transport.loop.time()
        socket = transport.new_socket(zmq.DEALER)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        self.monitor = LinkMonitor(
            transport.loop, socket.get_monitor_socket(LINK_EVENTS), self.changed
        )
        super().__init__(transport.loop, socket)
        try:
            socket.connect(f"tcp://{address}")
        except zmq.ZMQError as error:
            # Addresses come from peers: one that is none is a peer that cannot be reached.
            log.error("cannot connect to %r: %s", address, error.strerror)

    def take(self) -> None:
        frame = self.socket.recv(zmq.NOBLOCK)
        if self.socket.getsockopt(zmq.RCVMORE):
            _drop_rest(self.socket)
            self.transport.frames_rejected += 1
            return
        self.transport.report_frame(self.peer, frame)

    def drained(self) -> None:
        self.transport.report_drained()

    def changed(self, up: bool) -> None:
        """The monitor saw the connection come or go."""
        if up != self.up and not self.closed:
            self.up = up
            self.transport.report_link(self.peer, up)

    def close(self, linger_ms: int) -> None:
        if not self.closed:
            # In this order: libzmq may be about to report to the monitor, holding a lock, and would
            # wait for ever for somebody to read it.
            self.socket.disable_monitor()
            self.monitor.close(0)
        super().close(linger_ms)


class ZeroMQTransport:
    """Frames in and out of one process.

    A frame that arrives is reported with the link it came on, or with the route of the connection
    that brought it; the owner may then ``remember`` which peer a route stands for, and ``send``
    finds the way back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.listener: Listener | None = None
        self._ended = False
        self.frames_rejected = 0
        self.frames_too_large = 0
        self.address = ""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, SOCKETS_PER_LINK * (limits.MEMBERS_MAX + 1))
        # Held also by the finalizer, because a context that is collected before its sockets waits
        # for them for ever.
        self._sockets: set[zmq.Socket[bytes]] = set()
        self._lost = weakref.finalize(self, _close_lost, self._context, self._sockets, os.getpid())
        self._lost.atexit = False
        self._router: _Router | None = None
        self._router_monitor: ConnectionMonitor | None = None
        self._links: dict[bytes, _Link] = {}
        self._routes: dict[bytes, bytes] = {}
        self._safety = loop.call_later(SAFETY_SECONDS, self._look_at_all)

    def new_socket(self, kind: int) -> zmq.Socket[bytes]:
        """A socket with every limit set."""
        socket = self._context.socket(kind)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.SNDHWM, limits.SEND_QUEUE_FRAMES),
            # No limit: libzmq aborts the process when a connection with heartbeats breaks while its
            # input waits at this mark (issues 3937 and 4767 there). Senders are bounded instead.
            (zmq.RCVHWM, 0),
            (zmq.MAXMSGSIZE, limits.FRAME_BYTES_MAX),
            (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS),
            (zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS),
            (zmq.RECONNECT_IVL, RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS),
            (zmq.IPV6, 1),
        ):
            socket.setsockopt(option, value)
        socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        self._sockets.add(socket)
        return socket

    def bind(self, address: str) -> str:
        """Listen, and return the address with the real port.

        Raises:
            AddressInUse: somebody listens there already.
            ConfigError: this machine has no such address.
        """
        host = split_address(address)[0]
        socket = self.new_socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        monitor = socket.get_monitor_socket(CONNECTION_EVENTS)
        try:
            socket.bind(f"tcp://{address.replace('localhost', '127.0.0.1')}")
        except zmq.ZMQError as error:
            monitor.close(linger=0)
            socket.close(linger=0)
            self._sockets.discard(socket)
            if error.errno == zmq.EADDRINUSE:
                raise AddressInUse(
                    f"{address} is in use: stop what listens there, or choose another port"
                ) from None
            raise ConfigError(f"cannot listen at {address}: {error.strerror}") from None
        self._router_monitor = ConnectionMonitor(self.loop, monitor)
        self._router = _Router(self, socket)
        endpoint: Any = socket.getsockopt(zmq.LAST_ENDPOINT)
        port = endpoint.rstrip(b"\0").rpartition(b":")[2].decode()
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self.address

    def connect(self, peer: bytes, address: str) -> None:
        """Keep a link to this address for ever, under this name."""
        link = self._links.get(peer)
        if self._ended or (link is not None and link.address == address):
            return
        self.disconnect(peer)
        self._links[peer] = _Link(self, peer, address)

    def disconnect(self, peer: bytes) -> None:
        """Drop the link, if there is one."""
        link = self._links.pop(peer, None)
        if link is not None:
            was_up = link.up
            link.close(0)
            self._sockets.discard(link.socket)
            if was_up:
                self.report_link(peer, False)

    def report_frame(self, source: bytes, frame: bytes) -> None:
        """For the sockets: a frame came."""
        if self.listener is not None:
            self.listener.on_frame(source, frame)

    def report_drained(self) -> None:
        """For the sockets: no more frames for now."""
        if self.listener is not None:
            self.listener.on_drained()

    def report_link(self, peer: bytes, up: bool) -> None:
        """For the sockets: a link came or went."""
        if self.listener is not None:
            self.listener.on_link(peer, up)

    @property
    def handshakes_failed(self) -> int:
        """Connections that never became peers."""
        return 0 if self._router_monitor is None else self._router_monitor.failed

    def remember(self, peer: bytes, route: bytes) -> None:
        """Frames of this peer come by this route: the way back while there is no link to it.

        They also prove that it is there, so a link that waits for its next attempt need not wait.
        """
        self._routes[peer] = route
        link = self._links.get(peer)
        if link is not None and not link.up and self.loop.time() - link.born > RETRY_SECONDS:
            address = link.address
            self.disconnect(peer)
            self.connect(peer, address)

    def send(self, peer: bytes, frame: bytes) -> bool:
        """Queue a frame, or say False."""
        if len(frame) > limits.FRAME_BYTES_MAX:
            # The other side would cut the connection, and lose all that is on it.
            self.frames_too_large += 1
            return False
        link = self._links.get(peer)
        if link is not None and (link.up or self._router is None):
            return self._send_by_link(link, frame)
        return self._router is not None and self._send_by_route(self._router, peer, frame)

    def _send_by_link(self, link: _Link, frame: bytes) -> bool:
        try:
            link.socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        if self._router is None:
            # A client is answered on its links. Members answer each other by links of their own, so
            # that the little that comes back by this one may wait for the safety timer.
            link.look_again()
        return True

    def _send_by_route(self, router: _Router, peer: bytes, frame: bytes) -> bool:
        try:
            router.socket.send(self._routes.get(peer, peer), _NOBLOCK | _SNDMORE)
            router.socket.send(frame, _NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            self._routes.pop(peer, None)
            return False
        router.look_again()
        return True

    def is_up(self, peer: bytes) -> bool:
        """Whether the link to this peer works."""
        link = self._links.get(peer)
        return link is not None and link.up

    def close(self) -> None:
        """Close every socket and end the context; blocks for ``CLOSE_LINGER_MS`` at most."""
        self.close_sockets()
        self.end()

    def close_sockets(self) -> None:
        """The part of closing that belongs on the loop's thread."""
        self._ended = True
        self._safety.cancel()
        for link in self._links.values():
            link.close(CLOSE_LINGER_MS)
        self._links.clear()
        if self._router is not None and self._router_monitor is not None:
            self._router.socket.disable_monitor()
            self._router_monitor.close(0)
            self._router.close(CLOSE_LINGER_MS)
            self._router = None

    def end(self) -> None:
        """The part of closing that may block, for the linger of the last frames; any thread may do
        it."""
        self._context.term()
        self._lost.detach()
        self._sockets.clear()

    def _look_at_all(self) -> None:
        self._safety = self.loop.call_later(SAFETY_SECONDS, self._look_at_all)
        watched: list[Watched] = [*self._links.values()]
        watched += [link.monitor for link in self._links.values()]
        watched += [one for one in (self._router, self._router_monitor) if one is not None]
        for one in watched:
            one.drain()


def _drop_rest(socket: zmq.Socket[bytes]) -> None:
    while socket.getsockopt(zmq.RCVMORE):
        socket.recv(zmq.NOBLOCK)


def _close_lost(
    context: zmq.Context[zmq.Socket[bytes]], sockets: set[zmq.Socket[bytes]], pid: int
) -> None:
    """Nobody closed this transport, and its loop is gone: peers must not take it for alive."""
    if os.getpid() == pid:
        text = f"a dynamokv handle with {len(sockets)} sockets was dropped without being closed"
        warnings.warn(text, ResourceWarning, stacklevel=1)
        context.destroy(linger=0)
