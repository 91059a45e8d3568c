"""Messages between a store and its worker, over one socket.

Knows: bytes and where a message ends. Must not know: what a message says, whose process is whose.

A message is ``magic length payload``. What does not begin so, and what begins and does not go on,
is garbage: whoever reads it gives up the other side, and never waits for the rest.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final

from dynamokv.limits import MiB

MESSAGE_BYTES_MAX: Final = 256 * MiB
"""A merge of 1,000 tables whose keys are as long as can be."""

MESSAGE_SECONDS: Final = 10.0
"""The rest of a message follows its first byte at once; on a busy machine, within this."""

_MAGIC: Final = b"dkvw"
_HEAD = Struct(">4sI")

_NO_SIGNAL: Final = getattr(socket, "MSG_NOSIGNAL", 0)
"""The other side may be gone, and the application may have SIGPIPE at its default: to end it."""


class Garbage(Exception):
    """What came is no message."""


def send_message(channel: socket.socket, payload: bytes) -> None:
    """Send a message whole.

    Raises:
        OSError: the other side is gone.
    """
    channel.sendall(_HEAD.pack(_MAGIC, len(payload)) + payload, _NO_SIGNAL)


def receive_message(channel: socket.socket, seconds: float | None = None) -> bytes:
    """The next message; wait for its beginning this long, or for ever.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: nothing came in time.
        Garbage: no message came.
    """
    channel.settimeout(seconds)
    try:
        begin = channel.recv(_HEAD.size)
    except TimeoutError:
        raise
    except OSError as error:
        raise EOFError(str(error)) from error
    if not begin:
        raise EOFError("the connection ended")
    channel.settimeout(MESSAGE_SECONDS)
    try:
        head = begin + _receive_exactly(channel, _HEAD.size - len(begin))
        magic, length = _HEAD.unpack(head)
        if magic != _MAGIC or length > MESSAGE_BYTES_MAX:
            raise Garbage(f"{head!r} begins no message")
        return _receive_exactly(channel, length)
    except OSError as error:
        raise Garbage(f"a message ended early: {error}") from error
    finally:
        channel.settimeout(None)


def _receive_exactly(channel: socket.socket, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes:
        piece = channel.recv(min(size_bytes - len(data), MiB))
        if not piece:
            raise Garbage("a message ended early")
        data += piece
    return bytes(data)
