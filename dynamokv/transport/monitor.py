"""What libzmq tells of connections, taken from its monitor sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from dynamokv.transport.watched import Watched

LINK_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
CONNECTION_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class LinkMonitor(Watched):
    """Tells when a link's connection works, and when it broke."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: zmq.Socket[bytes],
        changed: Callable[[bool], None],
    ) -> None:
        self._changed = changed
        super().__init__(loop, socket)

    def take(self) -> None:
        """Take one event."""
        event: Any = recv_monitor_message(self.socket, zmq.NOBLOCK)
        self._changed(event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED)


class ConnectionMonitor(Watched):
    """Counts the connections that never became peers.

    libzmq names a connection, by its descriptor, when it comes and when it goes, but not when its
    handshake succeeds; and of bytes that are not of its protocol it says only that the connection
    went. So a success is put down to the newest connection without one, because a peer succeeds in
    milliseconds, and whoever goes without has failed. Where that may have been wrong, whoever goes
    counts as failed and passes its success on to another one, which then has it in its place: the
    sum comes out right.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: zmq.Socket[bytes]) -> None:
        self.failed = 0
        self._waiting: list[int] = []
        self._doubtful: dict[int, bool] = {}
        self._told = False
        super().__init__(loop, socket)

    def take(self) -> None:
        """Take one event."""
        message: Any = recv_monitor_message(self.socket, zmq.NOBLOCK)
        event, descriptor = message["event"], message["value"]
        if event == zmq.EVENT_ACCEPTED:
            self._waiting.append(descriptor)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._succeed()
        elif event != zmq.EVENT_DISCONNECTED:
            self._told = True
        else:
            told, self._told = self._told, False
            if descriptor in self._waiting:
                self._waiting.remove(descriptor)
                self.failed += 1
            elif (self._doubtful.pop(descriptor, False) or told) and self._succeed():
                self.failed += 1

    def _succeed(self) -> bool:
        """Put a success down to a connection; False when all that are open have one."""
        if not self._waiting:
            return False
        newest = self._waiting.pop()
        self._doubtful[newest] = bool(self._waiting)
        return True
