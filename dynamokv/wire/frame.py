"""A frame: what one ZeroMQ message carries. Many messages to one peer leave in one frame.

Layout::

    version u8 = 1 | zero u8 | ring tag 8 bytes | sender 16 bytes | CBOR list of messages

The tag is the start of the ring's random id, and zeros while the sender does not know it. The
sender is the node id of a member, and zeros for a client. Both are read before anything is decoded,
so that a frame of another ring costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from dynamokv import limits
from dynamokv.types import NODE_ID_BYTES, ClusterId
from dynamokv.wire import codec
from dynamokv.wire.messages import Message
from dynamokv.wire.schema import TAG_OF, check_message

FRAME_VERSION = 1
TAG_BYTES = 8
NO_TAG = bytes(TAG_BYTES)
NO_SENDER = bytes(NODE_ID_BYTES)

_HEAD = Struct(">BB8s16s")
_VERSION = bytes((FRAME_VERSION, 0))
_TAG_END = len(_VERSION) + TAG_BYTES


def tag_of(cluster_id: ClusterId) -> bytes:
    """The ring's tag on each frame."""
    return cluster_id[:TAG_BYTES]


def head(tag: bytes, sender: bytes) -> bytes:
    """What every frame of this sender in this ring starts with."""
    return _HEAD.pack(FRAME_VERSION, 0, tag, sender)


def encode_frame(frame_head: bytes, messages: Iterable[Message]) -> bytes:
    """A frame of these messages."""
    return frame_head + codec.encode([(TAG_OF[type(msg)], *msg) for msg in messages])


def read_head(frame: bytes) -> tuple[bytes, bytes]:
    """Tag and sender of a frame. Raises ``ValueError`` for what is no frame of this version."""
    if len(frame) <= _HEAD.size:
        raise ValueError("too short for a frame")
    if frame[:2] != _VERSION:
        raise ValueError(f"frame of version {frame[0]}, this library speaks {FRAME_VERSION}")
    return frame[2:_TAG_END], frame[_TAG_END : _HEAD.size]


class FrameReader:
    """Reads frames whose heads were read. One for each loop: its decoder is not for two threads."""

    def __init__(self) -> None:
        self._decode = codec.Decoder().decode

    def messages(self, frame: bytes) -> list[Message]:
        """The messages of a frame. Raises ``ValueError`` for all if one is malformed."""
        body = self._decode(frame[_HEAD.size :])
        if type(body) is not list or len(body) > limits.MESSAGES_PER_FRAME_MAX:
            raise ValueError("a frame is a list of messages, and not too long")
        return [check_message(fields) for fields in body]
