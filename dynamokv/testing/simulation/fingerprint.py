"""One number for everything that happened in a simulation: two runs of one seed have the same.

Knows: how each decision is made bytes, so that neither the hash seed of Python nor its version
shows in them. What processes send and write, and what they answer, is in it by its own encoding.
"""

from __future__ import annotations

from struct import Struct

from xxhash import xxh3_64

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.wire import codec
from dynamokv.wire.messages import Message
from dynamokv.wire.schema import TAG_OF

_HEAD = Struct(">QIIB")

_KINDS = {
    kind: number
    for number, kind in enumerate(
        [
            type(None),
            *(e.Request, e.Forget, e.Received, e.PeerUp, e.PeerDown, e.Undelivered, e.Written),
            *(e.WriteFailed, e.TopologyStored, e.IdentityStored, e.PageStored, e.Tick, e.Stop),
            *(e.LastWords, e.ExchangeStored),
            e.LastWords,
            e.HintsRefused,
            e.Passed,
            e.HorizonsGone,
        ]
    )
}


class Fingerprint:
    """Take in what happens; ``text`` is what came of it so far."""

    def __init__(self) -> None:
        self._hash = xxh3_64()
        self._update = self._hash.update

    def step(self, now_ns: int, process: int, event: Event | None, effects: list[Effect]) -> None:
        """A process decided this."""
        update = self._update
        update(_HEAD.pack(now_ns, process, len(effects), _KINDS[type(event)]))
        for effect in effects:
            kind = type(effect)
            if kind is e.Write:
                for key, record in effect.rows:  # type: ignore[union-attr]
                    update(key)
                    update(b"" if record is None else record)
            elif kind is e.Reply:
                update(_message(effect.message))  # type: ignore[union-attr]
            elif kind is not e.Send:
                # What is sent comes by as a frame.
                update(kind.__name__.encode())

    def frame(self, source: str, frame: bytes) -> None:
        """This frame left."""
        self._update(source.encode())
        self._update(frame)

    def text(self) -> str:
        """In hexadecimal digits."""
        return self._hash.hexdigest()


def _message(message: Message) -> bytes:
    return codec.encode((TAG_OF[type(message)], *message))
