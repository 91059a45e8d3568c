"""Every message between processes: one named tuple each, a tag, and the closed schema of its fields.

Rules:
    - ONLY APPEND to ``_TAGS`` and to the fields of a message. A tag or a position is never reused.
    - A message is its tuple of fields, so it is encoded as it is; it is made 18 000 000 times an hour on a busy node, and
      a frozen dataclass costs twice as much to make (``docs/adr/0002``).
    - Every field of a decoded message was checked for exact type and range before anyone sees it.
    - Requests carry ``id`` (echoed by the reply, unique for the sender), ``epoch`` (the sender's topology) and ``budget_ms``
      (time left for the whole request; work past it is dropped).
    - Lists that belong together are parallel lists of the same length, which is the cheapest shape to encode and check.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from dynamokv import limits
from dynamokv.types import NODE_ID_BYTES, Consistency
from dynamokv.wire import keys as row_keys

U64_MAX = (1 << 64) - 1


# --- between owners -------------------------------------------------------------------------------------------------------


class Replicate(NamedTuple):
    """Join these records into your store; answered by ``Replicated`` once that is durable. ``id`` 0: no answer wanted."""

    id: int
    epoch: int
    budget_ms: int
    keys: list[bytes]
    records: list[bytes]


class Replicated(NamedTuple):
    """Done, durably."""

    id: int


class Fetch(NamedTuple):
    """What do you hold? ``digests`` are the asker's own, or empty when it holds no copies."""

    id: int
    epoch: int
    budget_ms: int
    keys: list[bytes]
    digests: list[int]


class Fetched(NamedTuple):
    """The records asked for, ``b""`` where there is none."""

    id: int
    records: list[bytes]


class Same(NamedTuple):
    """Answer to ``Fetch``: exactly what your digests say."""

    id: int


class Refused(NamedTuple):
    """The request was not served, and nothing of it was applied."""

    id: int
    reason: int
    detail: str


class Refresh(NamedTuple):
    """The request was not served: its epoch is older than this topology."""

    id: int
    topology: list[Any]


# --- from clients, and forwarded by members that own no copy -------------------------------------------------------------


class PutRequest(NamedTuple):
    """Write these names, all of one set of owners. With ``delete``, values are empty and mean tombstones.

    ``contexts`` are tokens, ``b""`` for none; the list is empty when there is none at all.
    """

    id: int
    epoch: int
    budget_ms: int
    level: int
    sloppy: bool
    delete: bool
    ttl_ms: int
    names: list[bytes]
    values: list[bytes]
    contexts: list[bytes]


class PutDone(NamedTuple):
    """The write reached its level. ``errors`` is empty, or one ``PutError`` per name, 0 where that name was written."""

    id: int
    epoch: int
    needed: int
    replicas: list[bytes]
    sloppy: bool
    hinted: list[bytes]
    contexts: list[bytes]
    errors: list[int]


class GetRequest(NamedTuple):
    """Read these names, all of one set of owners; ``sealed`` asks for contexts too, which a plain ``get`` does not need."""

    id: int
    epoch: int
    budget_ms: int
    level: int
    sealed: bool
    names: list[bytes]


class GetDone(NamedTuple):
    """The joined records, ``b""`` for none; where asked for, the seal of each one's context."""

    id: int
    epoch: int
    needed: int
    replicas: list[bytes]
    records: list[bytes]
    seals: list[bytes]


class Failed(NamedTuple):
    """The request ended without its level, or was refused whole."""

    id: int
    code: int
    needed: int
    got: int
    failed: list[str]
    detail: str


# --- the ring -------------------------------------------------------------------------------------------------------------


class TopologyRequest(NamedTuple):
    """What is your topology? Answered by ``TopologyReply`` or ``NoTopology``; allowed before the ring is known."""

    id: int
    cluster: str


class TopologyReply(NamedTuple):
    """This is the topology, with its secrets only for members."""

    id: int
    topology: list[Any]


class JoinRequest(NamedTuple):
    """Let me be a member; allowed before the ring is known. From a known node id: my address changed."""

    id: int
    cluster: str
    node_id: bytes
    address: str
    zone: str
    weight: int
    partitions: int
    n: int


class JoinAnswer(NamedTuple):
    """Not now, or not here; a welcome is a ``TopologyReply``."""

    id: int
    reason: int
    detail: str


class Announce(NamedTuple):
    """Here is a topology that you may not have yet. Members tell each other; no answer."""

    topology: list[Any]


class Scan(NamedTuple):
    """A newcomer asks for all rows from ``start`` on, a page at a time."""

    id: int
    epoch: int
    start: bytes


class Scanned(NamedTuple):
    """One page, in key order; ``next`` starts the following one, ``b""`` after the last."""

    id: int
    keys: list[bytes]
    records: list[bytes]
    next: bytes


class Filled(NamedTuple):
    """The newcomer holds all that its peers hold; answered by ``TopologyReply``."""

    id: int
    epoch: int


class WrongCluster(NamedTuple):
    """Your frame carries the tag of another ring. No request of it was looked at."""

    cluster: str


class StatusRequest(NamedTuple):
    """What do you know of yourself and of your peers? Answered at any epoch."""

    id: int
    epoch: int
    budget_ms: int


class StatusReply(NamedTuple):
    """A CBOR map, as ``status()`` and ``metrics()`` show it."""

    id: int
    document: bytes


Message: TypeAlias = (
    Replicate
    | Replicated
    | Fetch
    | Fetched
    | Same
    | Refused
    | Refresh
    | PutRequest
    | PutDone
    | GetRequest
    | GetDone
    | Failed
    | TopologyRequest
    | TopologyReply
    | JoinRequest
    | JoinAnswer
    | Announce
    | Scan
    | Scanned
    | Filled
    | WrongCluster
    | StatusRequest
    | StatusReply
)


class RefusedReason(IntEnum):
    """Why a replica did not serve. Append only."""

    STORAGE = 1
    CLOCK_DRIFT = 2
    NOT_READY = 3
    EXPIRED = 4


class JoinReason(IntEnum):
    """Why a join was not granted. Append only; the first three mean "try again"."""

    NO_RING = 1
    BUSY = 2
    ASK = 3
    MISMATCH = 4
    FULL = 5
    DUPLICATE = 6


class FailedCode(IntEnum):
    """Which error a request ended with. Append only."""

    UNAVAILABLE = 1
    INDETERMINATE = 2
    READ_FAILED = 3
    OVERLOADED = 4
    USAGE = 5


class PutError(IntEnum):
    """Why one name of a write was refused while the others were written. Append only."""

    CONTEXT = 1
    SIBLINGS = 2


# --- the schema -----------------------------------------------------------------------------------------------------------

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
    (1, Replicate, (_u64, _u64, _u64, _rows, _blobs)),
    (2, Replicated, (_u64,)),
    (3, Fetch, (_u64, _u64, _u64, _rows, _u64s)),
    (4, Fetched, (_u64, _blobs)),
    (5, Same, (_u64,)),
    (6, Refused, (_u64, _u64, _text)),
    (7, Refresh, (_u64, _fields)),
    (8, PutRequest, (_u64, _u64, _u64, _level, _flag, _flag, _u64, _names, _values, _blobs)),
    (9, PutDone, (_u64, _u64, _u64, _node_ids, _flag, _node_ids, _blobs, _u64s)),
    (10, GetRequest, (_u64, _u64, _u64, _level, _flag, _names)),
    (11, GetDone, (_u64, _u64, _u64, _node_ids, _blobs, _blobs)),
    (12, Failed, (_u64, _u64, _u64, _u64, _texts, _text)),
    (13, TopologyRequest, (_u64, _text)),
    (14, TopologyReply, (_u64, _fields)),
    (15, JoinRequest, (_u64, _text, _node_id, _text, _text, _u64, _u64, _u64)),
    (16, JoinAnswer, (_u64, _u64, _text)),
    (17, Announce, (_fields,)),
    (18, Scan, (_u64, _u64, _cursor)),
    (19, Scanned, (_u64, _rows, _blobs, _cursor)),
    (20, Filled, (_u64, _u64)),
    (21, WrongCluster, (_text,)),
    (22, StatusRequest, (_u64, _u64, _u64)),
    (23, StatusReply, (_u64, _blob)),
)

TAG_OF: dict[type[Any], int] = {cls: tag for tag, cls, _ in _TAGS}
SCHEMA: dict[int, tuple[type[Any], tuple[_Check, ...]]] = {
    tag: (cls, checks) for tag, cls, checks in _TAGS
}

_PARALLEL: dict[type[Any], tuple[str, ...]] = {
    Replicate: ("keys", "records"),
    Fetch: ("keys", "digests"),
    PutRequest: ("names", "values", "contexts"),
    GetDone: ("records", "seals"),
    Scanned: ("keys", "records"),
}
"""Lists of one message that must have the same length as the first; those in ``_MAY_BE_EMPTY`` may also be empty."""

_MAY_BE_EMPTY = frozenset({"digests", "contexts", "seals"})

BEFORE_THE_RING = (TopologyRequest, TopologyReply, JoinRequest, JoinAnswer, WrongCluster)
"""Messages that may travel without the ring's tag, because one side does not know it yet."""


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
    for check, value in zip(checks, fields, strict=True):
        if not check(value):
            name = cls._fields[next(i for i, item in enumerate(fields) if item is value)]
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
