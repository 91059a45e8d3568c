"""Batches: many keys in one call, one message per peer, a result for each key.

A key that cannot be a key, a value that cannot be a value, owners that cannot be reached: each
fails alone, in ``BatchResult.errors``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dynamokv import errors, limits
from dynamokv.api import calls
from dynamokv.api.calls import Call, Items, Key, Level, Scope, Session, Writing
from dynamokv.api.receipts import BatchResult, Receipt
from dynamokv.api.resolvers import keep_all
from dynamokv.api.values import encode_value
from dynamokv.wire import messages as m


def batch_get(
    session: Session,
    scope: Scope,
    keys: Iterable[Key],
    default: Any,
    consistency: Level | None,
    timeout: float | None,
) -> Call[BatchResult[Any]]:
    """The values of many keys."""
    level, budget_ms = scope.level_of(consistency), scope.budget_of(timeout)
    result: BatchResult[Any] = BatchResult()
    names = _names(scope, keys, result)
    wanted = list(names)
    groups = session.group([names[key] for key in wanted], [0] * len(wanted), writes=False)
    sealed = scope.resolver is keep_all
    deadline = scope.clock.monotonic() + budget_ms / 1000
    while groups:
        requests = [
            m.GetRequest(0, 0, budget_ms, level, sealed, [names[wanted[at]] for at in group])
            for group in groups
        ]
        rest: list[list[int]] = []
        for group, reply in zip(groups, (yield requests), strict=True):
            if type(reply) is not m.GetDone:
                result.errors |= {wanted[at]: calls.error_of(reply) for at in group}
                continue
            if not reply.records:
                empty = errors.ReadFailed(reply.needed, 0, (), "an answer without a record")
                result.errors |= dict.fromkeys((wanted[at] for at in group), empty)
                continue
            count = len(reply.records)
            for at, record, seal in zip(
                group, reply.records, reply.seals or [calls.NO_SEAL] * count, strict=False
            ):
                try:
                    result[wanted[at]] = calls.value_of(scope, record, default, seal)
                except Exception as error:  # a resolver of the application may raise anything
                    result.errors[wanted[at]] = error
            if count < len(group):
                # All of it would have been too large for one answer.
                rest.append(group[count:])
        groups = rest
        budget_ms = max(1, round((deadline - scope.clock.monotonic()) * 1000))
    return result


def batch_put(session: Session, options: Writing, items: Items) -> Call[BatchResult[Receipt]]:
    """Write many keys; where one is given twice, the last value counts."""
    result: BatchResult[Receipt] = BatchResult()
    values: dict[Key, bytes] = {}
    given = _pairs(items)
    names = _names(options.scope, given, result)
    for key in names:
        try:
            values[key] = encode_value(given[key], options.scope.serializer)
        except errors.UsageError as error:
            result.errors[key] = error
    return (yield from _batch_write(session, options, names, values, result))


def batch_delete(
    session: Session, options: Writing, keys: Iterable[Key]
) -> Call[BatchResult[Receipt]]:
    """Write many tombstones."""
    result: BatchResult[Receipt] = BatchResult()
    names = _names(options.scope, keys, result)
    options = replace(options, delete=True, ttl_ms=0)
    return (yield from _batch_write(session, options, names, dict.fromkeys(names, b""), result))


def _batch_write(
    session: Session,
    options: Writing,
    names: dict[Key, bytes],
    values: dict[Key, bytes],
    result: BatchResult[Receipt],
) -> Call[BatchResult[Receipt]]:
    started = options.scope.clock.monotonic()
    keys = list(values)
    sizes = [len(values[key]) for key in keys]
    groups = session.group([names[key] for key in keys], sizes, writes=True)
    requests = [
        options.request([names[keys[at]] for at in group], [values[keys[at]] for at in group], [])
        for group in groups
    ]
    replies = yield requests
    duration = options.scope.clock.monotonic() - started
    for group, reply in zip(groups, replies, strict=True):
        for position, at in enumerate(group):
            if type(reply) is not m.PutDone:
                result.errors[keys[at]] = calls.error_of(reply)
            elif reply.errors and reply.errors[position]:
                result.errors[keys[at]] = calls.put_error(reply.errors[position])
            else:
                result[keys[at]] = calls.receipt_of(reply, position, duration)
    return result


def _pairs(items: Items) -> dict[Key, Any]:
    try:
        return dict(items)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise errors.UsageError(
            f"batch_put takes a mapping, or pairs of a key and a value: {error}"
        ) from error


def _names(scope: Scope, keys: Iterable[Key], result: BatchResult[Any]) -> dict[Key, bytes]:
    """The names of the keys that can be keys; the others go into the result's errors."""
    if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
        raise errors.UsageError(f"a batch takes several keys, not one {type(keys).__name__}")
    names: dict[Key, bytes] = {}
    taken: set[bytes] = set()
    for key in keys:
        if len(names) >= limits.BATCH_ITEMS_MAX:
            raise errors.UsageError(
                f"a batch has at most {limits.BATCH_ITEMS_MAX:,} keys: split it"
            )
        try:
            name = scope.name(key)
        except errors.InvalidKey as error:
            try:
                result.errors[key] = error
            except TypeError:
                raise error from None  # not hashable, it cannot even stand among the errors
            continue
        if key not in names and name in taken:
            result.errors[key] = errors.InvalidKey(
                f"the key {key!r} is in this batch twice, as str and as bytes"
            )
            continue
        taken.add(name)
        names[key] = name
    return names
