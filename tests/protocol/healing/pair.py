"""Two members that compare what they hold, over the real encoding, a step at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.wire import frame as frames
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ELSE, NOW, Lone, of, record

TAG = bytes(8)


def row(number: int, partition: int = 3) -> bytes:
    return row_key(partition, name_of(b"", b"key %d" % number))


def held(time: int = NOW - 900, value: bytes = b"v") -> bytes:
    return record((ELSE, time, value))


def some(count: int, first: int = 0) -> dict[bytes, bytes]:
    return {row(number): held(value=b"%d" % number) for number in range(first, first + count)}


class Side(Lone):
    """One of them. Its rows are put into its store, and its trees are built from that."""

    def __init__(self, number: int, rows: dict[bytes, bytes], **settings: Any) -> None:
        super().__init__(3, number=number, up=[], **settings)
        self.store.rows.update(rows)
        for partition in range(8):
            self.home.forest.forget(partition)
        self.reach: dict[bytes, Side] = {}

    @property
    def rows(self) -> dict[bytes, bytes]:
        """What it holds of data."""
        return {key: value for key, value in self.store.rows.items() if key < b"\x80"}

    def count(self, name: str) -> int:
        return self.home.counters[name]


class Pair:
    """Both, and what travels between them.

    Attributes:
        frames_bytes: all that was sent, encoded.
        sent: messages by their kind.
        lose: whether a message gets lost.
    """

    def __init__(self, one: dict[bytes, bytes], other: dict[bytes, bytes], **settings: Any) -> None:
        self.one, self.other = Side(0, one, **settings), Side(1, other, **settings)
        self.frames_bytes = 0
        self.sent: Counter[str] = Counter()
        self.lose: Callable[[Any], bool] = lambda message: False
        self._waiting: list[tuple[Side, Side, Any]] = []
        self.meet()

    def meet(self) -> None:
        """The link between them works."""
        for side, peer in ((self.one, self.other), (self.other, self.one)):
            self.take(side, side.step(e.PeerUp(peer.me)))

    def take(self, side: Side, effects: list[Effect]) -> None:
        peer = self.other if side is self.one else self.one
        for effect in of(e.Send, effects):
            if effect.peer != peer.me:
                continue
            frame = frames.encode_frame(frames.head(TAG, side.me), [effect.message])
            self.sent[type(effect.message).__name__] += 1
            self.frames_bytes += len(frame)
            [message] = frames.FrameReader().messages(frame)
            if not self.lose(message):
                self._waiting.append((side, peer, message))

    def round(self, seconds: float = limits.TREE_STEP_SECONDS) -> bool:
        """Everything arrives and is written, and some time passes; whether anything was sent."""
        before = self.sent.total()
        waiting, self._waiting = self._waiting, []
        for side, peer, message in waiting:
            self.take(peer, peer.receive(side.me, message))
        for side in (self.one, self.other):
            self.take(side, side.durable())
            self.take(side, side.after(seconds))
        return self.sent.total() > before

    def run(self, seconds: float = 3.0) -> None:
        for _ in range(round(seconds / limits.TREE_STEP_SECONDS)):
            self.round()

    @property
    def equal(self) -> bool:
        """Whether they hold the same, and know it."""
        roots = [[s.home.forest.root(p) for p in range(8)] for s in (self.one, self.other)]
        return self.one.rows == self.other.rows and roots[0] == roots[1] and None not in roots[0]
