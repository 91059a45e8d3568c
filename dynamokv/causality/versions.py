"""Versions of one key: explicit dots per sibling plus one context, and the two operations on them.

A *dot* (actor, time) names one write for ever. A *context* maps each actor to the time up to which
all of its writes to this key are known. The state of a key is the versions that nobody has
overwritten, and the context of everything ever seen. A version whose dot the other side's context
covers, and which the other side no longer has, was overwritten there.

Rules:
    - The dots stand explicitly beside each version. The compact lists of DVVSet assume counters
      without gaps, and our
      times have gaps: with them, overwritten values would stay for ever.
    - ``join`` is commutative, associative and idempotent, and it is the only way two states meet:
      replication, repair, transfer and restore all use it, so their rules cannot drift apart.
    - Only an owner mints dots, one update of a key at a time.
    - Versions are sorted by dot, so that equal states look equal.

Sources: Preguica, Baquero, Almeida, Fonte, Goncalves, "Dotted Version Vectors" (arXiv 1011.5808).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from dynamokv.types import Actor

Context: TypeAlias = Mapping[Actor, int]
"""Actor -> the time up to which all of its writes to the key are known. Treated as immutable."""


class Dot(NamedTuple):
    """The name of one write."""

    actor: Actor
    time: int


class Version(NamedTuple):
    """One write: a value, or the mark of a delete.

    ``expires_ms`` is the wall-clock millisecond from which it counts as deleted; 0 means never.
    """

    dot: Dot
    value: bytes
    tombstone: bool = False
    expires_ms: int = 0

    def alive(self, wall_ms: int) -> bool:
        """Whether a read at this moment shows it."""
        return not self.tombstone and (self.expires_ms == 0 or wall_ms < self.expires_ms)


class KeyState(NamedTuple):
    """All that is known of a key: its versions, sorted by dot, and the context that covers them and
    all before."""

    versions: tuple[Version, ...]
    context: Context


EMPTY = KeyState((), {})


def covers(context: Context, dot: Dot) -> bool:
    """Whether the write is among those that the context knows."""
    return context.get(dot.actor, 0) >= dot.time


def dominates(a: Context, b: Context) -> bool:
    """Whether ``a`` covers all that ``b`` covers."""
    return all(a.get(actor, 0) >= time for actor, time in b.items())


def join_contexts(a: Context, b: Context) -> Context:
    """The pointwise maximum."""
    joined = dict(a)
    for actor, time in b.items():
        if joined.get(actor, 0) < time:
            joined[actor] = time
    return joined


def update(
    state: KeyState, seen: Context | None, version: Version, own: Dot | None = None
) -> KeyState:
    """The state after a write that has seen ``seen``; ``None`` stands for all that this state
    holds. ``own`` is one more write that it has seen, without those before it.

    The version's dot must be above every time of its actor in the state and in ``seen``: the caller
    mints it so.
    """
    actor, time = version.dot
    if seen is None:
        return KeyState((version,), {**state.context, actor: time})
    kept = [v for v in state.versions if not covers(seen, v.dot) and v.dot != own]
    context = {**join_contexts(state.context, seen), actor: time}
    return KeyState(tuple(sorted((*kept, version))), context)


def join(a: KeyState, b: KeyState) -> KeyState:
    """The least state that knows what both know.

    A version stays when both have it, or when the other side's context does not cover it: then that
    side never saw it.
    """
    if a == b:
        return a
    dots_of_a = {v.dot for v in a.versions}
    dots_of_b = {v.dot for v in b.versions}
    kept = [v for v in a.versions if v.dot in dots_of_b or not covers(b.context, v.dot)]
    kept += [v for v in b.versions if v.dot not in dots_of_a and not covers(a.context, v.dot)]
    return KeyState(tuple(sorted(kept)), join_contexts(a.context, b.context))
