"""A ZeroMQ socket on an asyncio loop: its readable side, drained.

Rules:
    - A socket's descriptor is edge-triggered and says only "something changed": so drain until
      nothing waits (bounded, then again in the next round of the loop).
    - The descriptor is forgotten before the socket is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import zmq

from dynamokv import limits

_POLLIN = int(zmq.POLLIN)


class Watched:
    """A socket whose readable side is drained on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: zmq.Socket[bytes]) -> None:
        self.loop = loop
        self.socket = socket
        self.descriptor = int(socket.getsockopt(zmq.FD))
        self.closed = False
        loop.add_reader(self.descriptor, self.drain)
        loop.call_soon(self.drain)

    def drain(self) -> None:
        """Take what is there."""
        if self.closed:
            return
        try:
            for _ in range(limits.DRAIN_FRAMES_MAX):
                self.take()
                if self.closed:  # by what the frame brought about
                    return
                if not self.readable():
                    break
            else:
                self.loop.call_soon(self.drain)
        except zmq.Again:
            pass
        self.drained()

    def readable(self) -> bool:
        """Whether a message waits. Cheaper than the exception of an attempt that finds none."""
        events: Any = self.socket.getsockopt(zmq.EVENTS)
        return bool(events & _POLLIN)

    def look_again(self) -> None:
        """After a send: the edge of an arrival may be gone."""
        if self.readable():
            self.loop.call_soon(self.drain)

    def take(self) -> None:
        """Take one message, or raise ``zmq.Again``."""
        raise NotImplementedError

    def drained(self) -> None:
        """Nothing is left for now."""

    def close(self, linger_ms: int) -> None:
        """Forget the descriptor, then close."""
        if not self.closed:
            self.closed = True
            if not self.loop.is_closed():
                self.loop.remove_reader(self.descriptor)
            self.socket.close(linger=linger_ms)
