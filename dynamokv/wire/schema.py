"""The closed schema: tag and fields of every message, and the check that each one passes.

Rules:
    - ONLY APPEND to ``_TAGS``. A tag is never reused.
    - Exact types: ``bool`` is an ``int`` in Python, but not here. Ranges and lengths wherever a
      wrong one could do harm.
    - Anything unknown is refused, with the whole frame that carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from dynamokv import limits
from dynamokv.merkle import messages as trees
from dynamokv.merkle.tree import BRANCH_BYTES, FAN_OUT, LEAVES, SUM_BYTES
from dynamokv.types import NODE_ID_BYTES, Consistency
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import probes, rounds
from dynamokv.wire.messages import Message

U64_MAX = (1 << 64) - 1


class Kind(NamedTuple):
    """What one field may hold: an exact type, and a closer look where the type is not enough."""

    type: type[Any]
    check: Callable[[Any], bool] | None = None


def _at_most(limit: int) -> Callable[[Any], bool]:
    return lambda value: len(value) <= limit


_ONLY_BYTES = frozenset({bytes})
_ONLY_INTEGERS = frozenset({int})


def _blobs(value: list[Any]) -> bool:
    return _ONLY_BYTES.issuperset(map(type, value))


def _values(value: list[Any]) -> bool:
    return _blobs(value) and all(len(item) <= limits.VALUE_BYTES_MAX for item in value)


def _rows(value: list[Any]) -> bool:
    for item in value:
        if type(item) is not bytes or not row_keys.is_data_row(item):
            return False
    return _distinct(value)


def _names(value: list[Any]) -> bool:
    for item in value:
        if type(item) is not bytes or not row_keys.is_name(item):
            return False
    return bool(value) and _distinct(value)


def _distinct(value: list[bytes]) -> bool:
    # Twice the same key in one message: the second would be decided without having seen the first.
    return len(value) <= 1 or len(set(value)) == len(value)


def _numbers(value: list[Any], limit: int = U64_MAX) -> bool:
    if not value:
        return True
    return _ONLY_INTEGERS.issuperset(map(type, value)) and 0 <= min(value) <= max(value) <= limit


def _texts(value: list[Any]) -> bool:
    return all(type(item) is str and len(item) <= limits.TEXT_BYTES_MAX for item in value)


def _node_ids(value: list[Any]) -> bool:
    return all(type(item) is bytes and len(item) == NODE_ID_BYTES for item in value)


def _numbers_to(limit: int) -> Callable[[list[Any]], bool]:
    return lambda value: _numbers(value, limit)


def _subjects(value: list[Any]) -> bool:
    # A sender's own word comes first; of each member there is one piece of news at most.
    return _node_ids(value) and 0 < len(value) <= limits.MEMBERS_MAX and _distinct(value)


NUMBER = Kind(int)
"""An unsigned 64-bit integer: all of a message's are looked at together."""

LEVEL = Kind(int, lambda value: value <= Consistency.ALL)
DURATION = Kind(int, lambda value: value <= limits.DURATION_MS_MAX)
FLAG = Kind(bool)
TEXT = Kind(str, _at_most(limits.TEXT_BYTES_MAX))
BLOB = Kind(bytes)
CURSOR = Kind(bytes, _at_most(row_keys.ROW_KEY_BYTES_MAX))
NODE_ID = Kind(bytes, lambda value: len(value) == NODE_ID_BYTES)
BLOBS = Kind(list, _blobs)
VALUES = Kind(list, _values)
ROWS = Kind(list, _rows)
NAMES = Kind(list, _names)
NUMBERS = Kind(list, _numbers)
TEXTS = Kind(list, _texts)
NODE_IDS = Kind(list, _node_ids)
NEWS = (
    Kind(list, _subjects),
    Kind(list, _numbers_to(probes.BOOT_MS_MAX)),
    Kind(list, _numbers_to(probes.COUNTER_MAX)),
    Kind(list, _numbers_to(max(probes.State))),
    Kind(list, _numbers_to(limits.DURATION_MS_MAX)),
    NODE_IDS,
)
RECORD = Kind(list)
"""A topology: ``ring.topology`` checks it."""

SUM = Kind(bytes, lambda value: len(value) == SUM_BYTES)
BRANCH = Kind(bytes, lambda value: len(value) == BRANCH_BYTES)
LEAF_SUMS = Kind(bytes, lambda value: len(value) % BRANCH_BYTES == 0)
LEAVES_OF = Kind(list, _numbers_to(LEAVES - 1))
BRANCHES_OF = Kind(list, _numbers_to(FAN_OUT - 1))

_TAGS: tuple[tuple[int, type[Any], tuple[Kind, ...]], ...] = (
    (1, m.Replicate, (NUMBER, NUMBER, DURATION, ROWS, BLOBS)),
    (2, m.Replicated, (NUMBER,)),
    (3, m.Fetch, (NUMBER, NUMBER, DURATION, ROWS, NUMBERS)),
    (4, m.Fetched, (NUMBER, BLOBS)),
    (5, m.Same, (NUMBER,)),
    (6, m.Refused, (NUMBER, NUMBER, TEXT)),
    (7, m.Refresh, (NUMBER, RECORD)),
    (
        8,
        m.PutRequest,
        (NUMBER, NUMBER, DURATION, LEVEL, FLAG, FLAG, DURATION, NAMES, VALUES, BLOBS),
    ),
    (9, m.PutDone, (NUMBER, NUMBER, NUMBER, NODE_IDS, FLAG, NODE_IDS, BLOBS, NUMBERS)),
    (10, m.GetRequest, (NUMBER, NUMBER, DURATION, LEVEL, FLAG, NAMES)),
    (11, m.GetDone, (NUMBER, NUMBER, NUMBER, NODE_IDS, BLOBS, BLOBS)),
    (12, m.Failed, (NUMBER, NUMBER, NUMBER, NUMBER, TEXTS, TEXT)),
    (13, m.TopologyRequest, (NUMBER, TEXT)),
    (14, m.TopologyReply, (NUMBER, RECORD)),
    (15, m.JoinRequest, (NUMBER, TEXT, NODE_ID, TEXT, TEXT, NUMBER, NUMBER, NUMBER)),
    (16, m.JoinAnswer, (NUMBER, NUMBER, TEXT)),
    (17, m.Announce, (RECORD,)),
    (18, m.Scan, (NUMBER, NUMBER, CURSOR)),
    (19, m.Scanned, (NUMBER, ROWS, BLOBS, CURSOR)),
    (20, m.Filled, (NUMBER, NUMBER)),
    (21, m.WrongCluster, (TEXT,)),
    (22, m.StatusRequest, (NUMBER, NUMBER, DURATION)),
    (23, m.StatusReply, (NUMBER, BLOB)),
    (24, probes.Probe, (NUMBER, FLAG, *NEWS)),
    (25, probes.ProbeAck, (NUMBER, *NEWS)),
    (26, probes.ProbeFor, (NUMBER, NODE_ID, *NEWS)),
    (27, probes.ProbeNack, (NUMBER, FLAG, *NEWS)),
    (28, trees.CompareRoot, (NUMBER, NUMBER, NUMBER, SUM)),
    (29, trees.Branches, (NUMBER, BRANCH)),
    (30, trees.CompareLeaves, (NUMBER, NUMBER, NUMBER, BRANCHES_OF, LEAF_SUMS)),
    (31, trees.Differing, (NUMBER, LEAVES_OF)),
    (
        32,
        trees.CompareKeys,
        (NUMBER, NUMBER, NUMBER, LEAVES_OF, NUMBER, CURSOR, CURSOR, NUMBERS, NUMBERS),
    ),
    (33, trees.Compared, (NUMBER, CURSOR, ROWS, NUMBERS)),
    (34, m.Hint, (NUMBER, NUMBER, DURATION, NODE_ID, ROWS, BLOBS)),
    (35, rounds.Round, (NUMBER, NUMBER, NUMBER, NUMBER, NUMBERS, BLOBS)),
    (36, rounds.Agreed, (NUMBER, NUMBERS)),
    (37, rounds.Horizons, (NUMBER, NUMBER, NUMBERS, NUMBERS, NUMBERS, BLOBS)),
    (38, m.Stamp, (NUMBER, NUMBER)),
    # 39 is reserved.
    (40, m.Identify, (NUMBER,)),
    (41, m.Identified, (NUMBER, NODE_ID, NUMBER)),
)

TAG_OF: dict[type[Any], int] = {cls: tag for tag, cls, _ in _TAGS}

_NEWS = ("ids", "boots", "counters", "states", "lags", "accusers")

_PARALLEL: dict[type[Any], tuple[str, ...]] = {
    m.Replicate: ("keys", "records"),
    m.Fetch: ("keys", "digests"),
    m.PutRequest: ("names", "values", "contexts"),
    m.GetDone: ("records", "seals"),
    m.Scanned: ("keys", "records"),
    probes.Probe: _NEWS,
    probes.ProbeAck: _NEWS,
    probes.ProbeFor: _NEWS,
    probes.ProbeNack: _NEWS,
    trees.CompareKeys: ("hashes", "digests"),
    m.Hint: ("keys", "records"),
    rounds.Round: ("partitions", "roots"),
    rounds.Horizons: ("partitions", "horizons", "collected", "trees"),
}
"""Lists of one message that must have the same length as the first; those in ``_MAY_BE_EMPTY`` may
also be empty."""

_MAY_BE_EMPTY = frozenset({"digests", "contexts", "seals", "roots"})


class _Shape:
    """The schema of one message, prepared so that the common case runs in C.

    Positions count the tag, which stands first.
    """

    __slots__ = ("checks", "cls", "numbers", "parallel", "types")

    def __init__(self, cls: type[Any], kinds: tuple[Kind, ...]) -> None:
        numbers = [at for at, kind in enumerate((NUMBER, *kinds)) if kind.type is int]
        fields: tuple[str, ...] = cls._fields
        parallel = _PARALLEL.get(cls, ())
        self.cls = cls
        self.types = (int, *(kind.type for kind in kinds))
        self.numbers = itemgetter(*numbers, 0)
        self.checks = [
            (at, kind.check) for at, kind in enumerate(kinds, 1) if kind.check is not None
        ]
        self.parallel = [
            (fields.index(parallel[0]) + 1, fields.index(name) + 1, name in _MAY_BE_EMPTY)
            for name in parallel[1:]
        ]


_SHAPES: dict[int, _Shape] = {tag: _Shape(cls, kinds) for tag, cls, kinds in _TAGS}


def check_message(fields: Any) -> Message:
    """A decoded CBOR item as a message.

    Raises:
        ValueError: unknown tag, wrong number of fields, or a field outside of its schema.
    """
    if type(fields) is not list or not fields or type(fields[0]) is not int:
        raise ValueError("a message is a list that starts with its tag")
    shape = _SHAPES.get(fields[0])
    if shape is None:
        raise ValueError(f"unknown message tag {fields[0]}")
    cls = shape.cls
    if tuple(map(type, fields)) != shape.types:
        raise ValueError(f"{cls.__name__} with a missing field, or one of another type")
    numbers = shape.numbers(fields)
    if min(numbers) < 0 or max(numbers) > U64_MAX:
        raise ValueError(f"{cls.__name__} with a number outside of 64 bits, unsigned")
    for at, check in shape.checks:
        if not check(fields[at]):
            raise ValueError(f"{cls.__name__}.{cls._fields[at - 1]} is outside of its schema")
    for first, other, may_be_empty in shape.parallel:
        found = len(fields[other])
        if found != len(fields[first]) and (found or not may_be_empty):
            raise ValueError(
                f"{cls.__name__}.{cls._fields[other - 1]} has another length than its keys"
            )
    # As ``_make``, whose look at the length was taken above.
    message: Message = tuple.__new__(cls, fields[1:])
    if type(message) is m.PutRequest and message.delete and any(message.values):
        raise ValueError("PutRequest.values is outside of its schema: a tombstone has none")
    return message
