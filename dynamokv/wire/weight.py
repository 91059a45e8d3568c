"""What a message weighs: the bytes that it carries, and a little for the rest.

For bounds and for cutting frames, so it is quick and roughly right rather than exact.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from dynamokv.merkle.messages import Branches, Compared, CompareKeys, CompareLeaves
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message
from dynamokv.wire.rounds import Horizons, Round

MESSAGE_BYTES: Final = 64
"""What a message weighs beside its lists, roughly."""

LONG_BYTES: Final = 9
"""Of a number that uses all of its 64 bits."""

_LISTS: Final[dict[type[Any], tuple[str, str]]] = {
    m.Replicate: ("keys", "records"),
    m.Hint: ("keys", "records"),
    m.Fetched: ("records", "records"),
    m.PutRequest: ("names", "values"),
    m.GetRequest: ("names", "names"),
    m.GetDone: ("records", "seals"),
    m.Scanned: ("keys", "records"),
    m.Fetch: ("keys", "keys"),
    Compared: ("keys", "keys"),
}
"""The lists of bytes of a message; those of one list alone name it twice."""


def _getter(cls: type[Any], names: tuple[str, str]) -> tuple[itemgetter[Any], bool]:
    first, other = (cls._fields.index(name) for name in names)
    return itemgetter(first, other), first == other


_OTHERS: Final[dict[type[Any], Callable[[Any], int]]] = {
    m.StatusReply: lambda it: len(it.document),
    Branches: lambda it: len(it.sums),
    CompareLeaves: lambda it: len(it.sums),
    CompareKeys: lambda it: 2 * LONG_BYTES * len(it.hashes),
    Round: lambda it: sum(map(len, it.roots)),
    Horizons: lambda it: 2 * LONG_BYTES * len(it.horizons) + sum(map(len, it.trees)),
}
"""Of those that carry something else."""

_GETTERS: Final = {cls: _getter(cls, names) for cls, names in _LISTS.items()}


def weight_of(message: Message) -> int:
    """Its bytes, roughly."""
    found = _GETTERS.get(type(message))
    if found is None:
        other_bytes = _OTHERS.get(type(message))
        return MESSAGE_BYTES if other_bytes is None else MESSAGE_BYTES + other_bytes(message)
    getter, same = found
    first, other = getter(message)
    weight = MESSAGE_BYTES + sum(map(len, other))
    return weight if same else weight + sum(map(len, first))
