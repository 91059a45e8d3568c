"""What must hold whatever fails: watches every step of a cluster and knows the true history.

Knows of each minted version whom it had the right to overwrite, because its coordinator or the
client that asked for it really held them. From that:

1. A context never covers a version that nobody on the way had seen (what an actor with amnesia, or
   a forgotten write, would do).
2. A read that starts after an acknowledged write sees it or what replaced it.
3. In the end every acknowledged write is there or was overwritten by somebody who had seen it, and
   so is every other version that the final context covers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dynamokv.causality.versions import EMPTY, Context, Dot, covers, dominates, join_contexts
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Actor
from dynamokv.wire import record as records
from dynamokv.wire.context import DOT_BYTES, SEAL_BYTES, own_dot
from dynamokv.wire.messages import GetDone, PutDone

_TOKEN_HEAD = 1 + SEAL_BYTES


class Asked(NamedTuple):
    """One put of the workload; its value is like no other."""

    key: bytes
    value: bytes
    token: bytes


class Minted(NamedTuple):
    """One write, as a coordinator named it, and the writes that it had the right to overwrite."""

    dot: Dot
    value: bytes
    saw: frozenset[Dot]


def told_by(token: bytes) -> tuple[Context, Dot | None]:
    """What a token has seen, and the one write that it stands for besides."""
    own = own_dot(token)
    return records.decode_context(token[_TOKEN_HEAD + (DOT_BYTES if own else 0) :]), own


class Oracle:
    """``watch`` is for ``Cluster.watchers``; the workload reports the rest.

    Attributes:
        durable: whether acknowledged writes survive every crash; otherwise only rule 1 and the
            second half of rule 3 are held.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self.durable = durable
        self.asked: dict[bytes, Asked] = {}
        self.minted: dict[bytes, list[Minted]] = {}
        self.acknowledged: dict[bytes, Context] = {}
        self.acknowledged_dots: dict[bytes, set[Dot]] = {}
        self.reads = self.writes = 0

    def watch(self, process: Process, _: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if type(effect) is e.Write and type(effect.then) is e.Written:
                for key, record in effect.rows:
                    held = process.home.reader.newest(key)
                    self._mint(process.home.actor, key, record, held)

    def _mint(self, actor: Actor, key: bytes, record: bytes, held: bytes | None) -> None:
        state = records.decode(record)
        dot = Dot(actor, state.context[actor])
        value = next(version.value for version in state.versions if version.dot == dot)
        token = self.asked[value].token
        here: Context = records.context_of(held) if held else {}
        seen, own = told_by(token) if token else (here, None)
        known = join_contexts(here, seen)
        before = self.minted.setdefault(key, [])
        for other in before:
            assert other.dot != dot, f"two writes have the name {dot}"
            assert covers(known, other.dot) or not covers(state.context, other.dot), (
                f"{value!r} claims to have seen {other.value!r}"
            )
        saw = {other.dot for other in before if covers(seen, other.dot) or other.dot == own}
        before.append(Minted(dot, value, frozenset(saw)))

    def must_see(self, key: bytes) -> Context:
        """What a read of this row that starts now has to know."""
        return self.acknowledged.get(key, {})

    def on_put(self, asked: Asked, row_key: bytes, done: PutDone) -> None:
        """A write was acknowledged at QUORUM."""
        self.writes += 1
        context, own = told_by(done.contexts[0])
        if own is not None:
            context = join_contexts(context, {own.actor: own.time})
        known = self.acknowledged.get(row_key, {})
        self.acknowledged[row_key] = join_contexts(known, context)
        # A request that the network doubled was minted twice; this is the answer to one of them.
        minted = [one.dot for one in self.minted[row_key] if one.value == asked.value]
        told = {dot for dot in minted if covers(context, dot)}
        assert told, f"the acknowledgement of {asked.value!r} does not cover it"
        self.acknowledged_dots.setdefault(row_key, set()).update(told)

    def on_get(self, must_see: Context, done: GetDone) -> None:
        """A QUORUM read ended."""
        self.reads += 1
        record = done.records[0]
        found: Context = records.context_of(record) if record else {}
        if self.durable:
            assert dominates(found, must_see), f"read {found}, after {must_see} was acknowledged"

    def at_the_end(self, row_key: bytes, copies: Iterable[bytes | None]) -> None:
        """All copies of a row, when everything has healed and was repaired."""
        first, *others = copies
        assert all(other == first for other in others), "copies differ"
        state = records.decode(first) if first else EMPTY
        present = {version.dot for version in state.versions}
        minted = self.minted.get(row_key, [])
        acknowledged = self.acknowledged_dots.get(row_key, set()) if self.durable else set()
        for one in minted:
            if not covers(state.context, one.dot):
                assert one.dot not in acknowledged, f"lost {one.value!r}"
            elif one.dot not in present:
                assert any(
                    one.dot in other.saw and covers(state.context, other.dot) for other in minted
                ), f"{one.value!r} was erased by nobody who had seen it"
