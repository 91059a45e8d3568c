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
    milliseconds, and whoever goes without has failed. Where that was wrong, because libzmq says
    that one failed which has a success, it passes that on; the sum comes out right.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: zmq.Socket[bytes]) -> None:
        self.failed = 0
        self._greeted: dict[int, bool] = {}
        self._told = False
        super().__init__(loop, socket)

    def take(self) -> None:
        """Take one event."""
        message: Any = recv_monitor_message(self.socket, zmq.NOBLOCK)
        event, descriptor = message["event"], message["value"]
        if event == zmq.EVENT_ACCEPTED:
            self._greeted[descriptor] = False
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._greet()
        elif event != zmq.EVENT_DISCONNECTED:
            self._told = True
        else:
            greeted = self._greeted.pop(descriptor, True)
            told, self._told = self._told, False
            if not greeted or (told and self._greet()):
                self.failed += 1

    def _greet(self) -> bool:
        """Put a success down to a connection; False when all that are open have one."""
        waiting = [descriptor for descriptor, greeted in self._greeted.items() if not greeted]
        if waiting:
            self._greeted[waiting[-1]] = True
        return bool(waiting)
