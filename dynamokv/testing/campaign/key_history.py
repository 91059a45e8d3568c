"""All writes of one row with their true causality, and what a state of it says about them.

Rules:
    - The writes of a key are numbered, and sets of them are bits of an integer. Each actor's writes
      are in the order of their times, so what a context covers is a few look-ups.
    - Memory grows with the writes of a run, not with its time.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from dynamokv.causality.versions import Context, Dot, Version
from dynamokv.types import Actor, NodeId
from dynamokv.wire import record as records
from dynamokv.wire.context import DOT_BYTES, SEAL_BYTES, own_dot

_TOKEN_HEAD = 1 + SEAL_BYTES


class Minted(NamedTuple):
    """One write, as its coordinator named it; ``saw``: those that it had the right to replace."""

    bit: int
    version: Version
    saw: int
    at_ns: int

    @property
    def label(self) -> str:
        """For people."""
        value = self.version.value.rstrip(b".").decode(errors="replace")
        return f"the delete of {self.version.dot.time}" if self.version.tombstone else repr(value)


class Seen(NamedTuple):
    """What a state says: the writes it knows, those it holds, and those that one it knows had
    seen. ``strange``: versions that nobody wrote."""

    known: int
    present: int
    replaced: int
    strange: list[Version]


NOTHING_SEEN = Seen(0, 0, 0, [])


class _Line:
    """The writes of one actor to one key. At each of them: all up to it, and all these saw."""

    __slots__ = ("known", "replaced", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.known: list[int] = []
        self.replaced: list[int] = []


class KeyHistory:
    """All writes of one row.

    Attributes:
        acknowledged: writes that some client was told of, at any level.
        quorum: what every quorum read that starts now has to know.
        shown: writes that some read knew of.
        excused: made before some replica was lost for ever: they stay if a quorum has them.
        everywhere: what a read of any one replica has to know, in the ring of ``settled_epoch``.
        collected: what a row knew that an owner forgot; ``buried``: but for what was in it.
        handed: contexts that some user was given, as they are.
        promised: writes that a receipt names a member for, which will be given them.
    """

    def __init__(self) -> None:
        self.minted: list[Minted] = []
        self.by_dot: dict[Dot, Minted] = {}
        self.by_context: dict[bytes, Minted] = {}
        self.acknowledged = 0
        self.shown = 0
        self.excused = 0
        self.quorum = 0
        self.everywhere = 0
        self.settled_epoch = 0
        self.collected = self.buried = 0
        self.handed: dict[bytes, None] = {}
        self.promised: dict[NodeId, int] = {}
        self._lines: dict[Actor, _Line] = {}
        self._given: dict[bytes, int] = {}

    @property
    def lasting(self) -> int:
        """What was acknowledged and has to be there for ever."""
        return self.quorum | self.acknowledged & ~self.excused

    def known(self, context: Context) -> int:
        """The writes that a context covers."""
        bits = 0
        for actor, time in context.items():
            line = self._lines.get(actor)
            if line is not None:
                at = bisect_right(line.times, time)
                if at:
                    bits |= line.known[at - 1]
        return bits

    def told_by(self, token: bytes) -> Context:
        """What a token has seen, without the write that it stands for."""
        own = own_dot(token)
        return records.decode_context(token[_TOKEN_HEAD + (DOT_BYTES if own else 0) :])

    def give(self, token: bytes, known: int) -> None:
        """A user was given a context, by an answer that showed these writes."""
        told = _told(token)
        self._given[told] = self._given.get(told, 0) | known

    def known_by(self, token: bytes) -> int:
        """The writes that a context covers, with the one that it stands for, and that were shown to
        whoever was given it; none, if nobody was."""
        said, own = self.known(self.told_by(token)), own_dot(token)
        minted = self.by_dot.get(own) if own else None
        said |= minted.bit if minted else 0
        return said & self._given.get(_told(token), 0)

    def named_by(self, token: bytes) -> Minted | None:
        """The write that a receipt is for: it names it, or has the context of its record."""
        own = own_dot(token)
        if own is not None:
            return self.by_dot.get(own)
        return self.by_context.get(token[_TOKEN_HEAD:])

    def seen(self, record: bytes | None) -> Seen:
        """What a record says."""
        if not record:
            return NOTHING_SEEN
        versions, context = records.decode(record)
        known = replaced = present = 0
        for actor, time in context.items():
            line = self._lines.get(actor)
            if line is not None:
                at = bisect_right(line.times, time)
                if at:
                    known |= line.known[at - 1]
                    replaced |= line.replaced[at - 1]
        strange = []
        for version in versions:
            minted = self.by_dot.get(version.dot)
            if minted is None or minted.version != version:
                strange.append(version)
            else:
                present |= minted.bit
        return Seen(known, present, replaced, strange)

    def add(self, version: Version, context: bytes, saw: int, at_ns: int) -> Minted | None:
        """A new write; ``None`` when its name is used, or older than one that is."""
        actor, time = version.dot
        line = self._lines.get(actor)
        if line is None:
            line = self._lines[actor] = _Line()
        if line.times and line.times[-1] >= time:
            return None
        minted = Minted(1 << len(self.minted), version, saw, at_ns)
        self.minted.append(minted)
        self.by_dot[version.dot] = minted
        self.by_context[context] = minted
        line.times.append(time)
        line.known.append((line.known[-1] if line.known else 0) | minted.bit)
        line.replaced.append((line.replaced[-1] if line.replaced else 0) | saw)
        return minted

    def labels(self, bits: int) -> str:
        """Which writes these are, for people."""
        return ", ".join(minted.label for minted in self.minted if minted.bit & bits)


def _told(token: bytes) -> bytes:
    """A context without its seal."""
    return token[:1] + token[_TOKEN_HEAD:]
