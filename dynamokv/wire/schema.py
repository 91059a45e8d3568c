"""The closed schema: tag and fields of every message, and the check that each one passes.

Rules:
    - ONLY APPEND to ``_TAGS``. A tag is never reused.
    - Exact types: ``bool`` is an ``int`` in Python, but not here. Ranges and lengths wherever a
      wrong one could do harm.
    - Anything unknown is refused, with the whole frame that carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from dynamokv import limits
from dynamokv.types import NODE_ID_BYTES, Consistency
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message

U64_MAX = (1 << 64) - 1

_Check: TypeAlias = Callable[[Any], bool]


def _u64(value: Any) -> bool:
    return type(value) is int and 0 <= value <= U64_MAX


def _level(value: Any) -> bool:
    return type(value) is int and 0 <= value <= Consistency.ALL


def _flag(value: Any) -> bool:
    return type(value) is bool


def _text(value: Any) -> bool:
    return type(value) is str and len(value) <= limits.TEXT_BYTES_MAX


def _blob(value: Any) -> bool:
    return type(value) is bytes


def _node_id(value: Any) -> bool:
    return type(value) is bytes and len(value) == NODE_ID_BYTES


def _blobs(value: Any) -> bool:
    return type(value) is list and all(type(item) is bytes for item in value)


def _u64s(value: Any) -> bool:
    return type(value) is list and all(type(item) is int and 0 <= item <= U64_MAX for item in value)


def _texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _node_ids(value: Any) -> bool:
    return type(value) is list and all(_node_id(item) for item in value)


def _rows(value: Any) -> bool:
    if type(value) is not list or not all(type(item) is bytes for item in value):
        return False
    return all(row_keys.is_data_row(item) for item in value) and _distinct(value)


def _names(value: Any) -> bool:
    if type(value) is not list or not value or not all(type(item) is bytes for item in value):
        return False
    return all(row_keys.is_name(item) for item in value) and _distinct(value)


def _distinct(value: list[bytes]) -> bool:
    # Twice the same key in one message: the second would be decided without having seen the first.
    return len(value) == 1 or len(set(value)) == len(value)


def _values(value: Any) -> bool:
    return type(value) is list and all(
        type(item) is bytes and len(item) <= limits.VALUE_BYTES_MAX for item in value
    )


def _cursor(value: Any) -> bool:
    return type(value) is bytes and len(value) <= row_keys.ROW_KEY_BYTES_MAX + 1


def _fields(value: Any) -> bool:
    return type(value) is list


_TAGS: tuple[tuple[int, type[Any], tuple[_Check, ...]], ...] = (
    (1, m.Replicate, (_u64, _u64, _u64, _rows, _blobs)),
    (2, m.Replicated, (_u64,)),
    (3, m.Fetch, (_u64, _u64, _u64, _rows, _u64s)),
    (4, m.Fetched, (_u64, _blobs)),
    (5, m.Same, (_u64,)),
    (6, m.Refused, (_u64, _u64, _text)),
    (7, m.Refresh, (_u64, _fields)),
    (8, m.PutRequest, (_u64, _u64, _u64, _level, _flag, _flag, _u64, _names, _values, _blobs)),
    (9, m.PutDone, (_u64, _u64, _u64, _node_ids, _flag, _node_ids, _blobs, _u64s)),
    (10, m.GetRequest, (_u64, _u64, _u64, _level, _flag, _names)),
    (11, m.GetDone, (_u64, _u64, _u64, _node_ids, _blobs, _blobs)),
    (12, m.Failed, (_u64, _u64, _u64, _u64, _texts, _text)),
    (13, m.TopologyRequest, (_u64, _text)),
    (14, m.TopologyReply, (_u64, _fields)),
    (15, m.JoinRequest, (_u64, _text, _node_id, _text, _text, _u64, _u64, _u64)),
    (16, m.JoinAnswer, (_u64, _u64, _text)),
    (17, m.Announce, (_fields,)),
    (18, m.Scan, (_u64, _u64, _cursor)),
    (19, m.Scanned, (_u64, _rows, _blobs, _cursor)),
    (20, m.Filled, (_u64, _u64)),
    (21, m.WrongCluster, (_text,)),
    (22, m.StatusRequest, (_u64, _u64, _u64)),
    (23, m.StatusReply, (_u64, _blob)),
)

TAG_OF: dict[type[Any], int] = {cls: tag for tag, cls, _ in _TAGS}
SCHEMA: dict[int, tuple[type[Any], tuple[_Check, ...]]] = {
    tag: (cls, checks) for tag, cls, checks in _TAGS
}

_PARALLEL: dict[type[Any], tuple[str, ...]] = {
    m.Replicate: ("keys", "records"),
    m.Fetch: ("keys", "digests"),
    m.PutRequest: ("names", "values", "contexts"),
    m.GetDone: ("records", "seals"),
    m.Scanned: ("keys", "records"),
}
"""Lists of one message that must have the same length as the first; those in ``_MAY_BE_EMPTY`` may
also be empty."""

_MAY_BE_EMPTY = frozenset({"digests", "contexts", "seals"})


def check_message(fields: Any) -> Message:
    """A decoded CBOR item as a message.

    Raises:
        ValueError: unknown tag, wrong number of fields, or a field outside of its schema.
    """
    if type(fields) is not list or not fields or type(fields[0]) is not int:
        raise ValueError("a message is a list that starts with its tag")
    found = SCHEMA.get(fields[0])
    if found is None:
        raise ValueError(f"unknown message tag {fields[0]}")
    cls, checks = found
    if len(fields) != len(checks) + 1:
        raise ValueError(f"{cls.__name__} has {len(checks)} fields, not {len(fields) - 1}")
    del fields[0]
    for name, check, value in zip(cls._fields, checks, fields, strict=True):
        if not check(value):
            raise ValueError(f"{cls.__name__}.{name} is outside of its schema")
    message: Message = cls._make(fields)
    if cls in _PARALLEL:
        _check_parallel(message, _PARALLEL[cls])
    return message


def _check_parallel(message: Message, names: tuple[str, ...]) -> None:
    length = len(getattr(message, names[0]))
    for name in names[1:]:
        found = len(getattr(message, name))
        if found != length and (found or name not in _MAY_BE_EMPTY):
            raise ValueError(f"{type(message).__name__} needs {', '.join(names)} of one length")
