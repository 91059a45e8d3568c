"""Resolvers: several values that were written without knowing of each other, made into one.

A resolver takes the values, newest first by hybrid time, and returns one. It only decides what a
read shows: the siblings stay stored until a put with the context that has seen them. Write it so
that the order and the repetition of its input do not matter; two readers then agree without
talking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from dynamokv.errors import UsageError

Resolver: TypeAlias = Callable[[list[Any]], Any]


def latest(values: list[Any]) -> Any:
    """The newest value. The others are not shown."""
    return values[0]


def keep_all(values: list[Any]) -> Any:
    """No choice: ``get`` raises ``SiblingsError`` with all of them (``calls.py`` knows this
    function by identity)."""
    return values


def union(values: list[Any]) -> Any:
    """Everything that is in any of them: sets and lists joined without repetition, dicts key by
    key; else the newest."""
    return _combine(values, _newest)


def merge(values: list[Any]) -> Any:
    """As ``union``, and of numbers the greatest: for counters that only grow and for high-water
    marks."""
    return _combine(values, _greatest)


RESOLVERS: dict[str, Resolver] = {
    "latest": latest,
    "keep_all": keep_all,
    "union": union,
    "merge": merge,
}


def resolver_of(given: str | Resolver | None) -> Resolver:
    """A resolver by name, or your own function; ``None`` means ``latest``."""
    if given is None:
        return latest
    if isinstance(given, str) and given in RESOLVERS:
        return RESOLVERS[given]
    if callable(given):
        return given
    raise UsageError(f"resolver must be one of {', '.join(RESOLVERS)} or a function, not {given!r}")


def _newest(values: list[Any]) -> Any:
    return values[0]


def _greatest(values: list[Any]) -> Any:
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return max(numbers) if len(numbers) == len(values) else values[0]


def _combine(values: list[Any], otherwise: Resolver) -> Any:
    if len(values) == 1:
        return values[0]
    if all(isinstance(value, (set, frozenset)) for value in values):
        return set().union(*values)
    if all(isinstance(value, list) for value in values):
        return _distinct(values)
    if all(isinstance(value, dict) for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        return {k: _combine([v[k] for v in values if k in v], otherwise) for k in keys}
    return otherwise(values)


def _distinct(lists: list[list[Any]]) -> list[Any]:
    """Items of all lists in order of first appearance, oldest list first; items need not be
    hashable."""
    found: list[Any] = []
    for items in reversed(lists):
        found += [item for item in items if item not in found]
    return found
