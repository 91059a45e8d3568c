"""Every message between processes: one named tuple each, a tag, and the closed schema of its
fields.

Rules:
    - ONLY APPEND to the fields of a message, and to its enums. No position or number is reused.
    - A message is its tuple of fields, so it is encoded as it is; it is made 18 000 000 times an
      hour on a busy node, and a frozen dataclass costs twice as much to make (``docs/adr/0002``).
    - Every field of a decoded message was checked (``schema.py``) before anyone sees it.
    - Requests carry ``id`` (echoed by the reply, unique for the sender), ``epoch`` (the sender's
      topology) and ``budget_ms`` (time left for the whole request; work past it is dropped).
    - Lists that belong together are parallel lists of the same length, which is the cheapest shape
      to encode and check.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from dynamokv.merkle.messages import (
    Branches,
    Compared,
    CompareKeys,
    CompareLeaves,
    CompareRoot,
    Differing,
)
from dynamokv.wire.probes import Probe, ProbeAck, ProbeFor, ProbeNack
from dynamokv.wire.rounds import Agreed, Horizons, Round

# --- between owners -------------------------------------------------------------------------------


class Replicate(NamedTuple):
    """Join these records into your store; answered by ``Replicated`` once that is durable. ``id``
    0: no answer wanted."""

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
    """The records asked for, ``b""`` where there is none; only the first ones when all are too much
    for an answer."""

    id: int
    records: list[bytes]


class Same(NamedTuple):
    """Answer to ``Fetch``: exactly what your digests say."""

    id: int


class Refused(NamedTuple):
    """The request was not served, and nothing of it was applied; of an outdated one, nothing of the
    records that are outdated."""

    id: int
    reason: int
    detail: str


class Refresh(NamedTuple):
    """The request was not served: its epoch is older than this topology."""

    id: int
    topology: list[Any]


class Stamp(NamedTuple):
    """The sender's own clock when this frame left, in a frame with requests; ``life`` is by chance
    for each process. Only differences between stamps of one life mean anything."""

    life: int
    sent_ms: int


# --- from clients, and forwarded by members that own no copy --------------------------------------


class PutRequest(NamedTuple):
    """Write these names, all of one set of owners. With ``delete``, values are empty and mean
    tombstones.

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
    """The write reached its level. ``errors`` is empty, or one ``PutError`` per name, 0 where that
    name was written."""

    id: int
    epoch: int
    needed: int
    replicas: list[bytes]
    sloppy: bool
    hinted: list[bytes]
    contexts: list[bytes]
    errors: list[int]


class GetRequest(NamedTuple):
    """Read these names, all of one set of owners; ``sealed`` asks for contexts too, which a plain
    ``get`` does not need."""

    id: int
    epoch: int
    budget_ms: int
    level: int
    sealed: bool
    names: list[bytes]


class GetDone(NamedTuple):
    """The joined records, ``b""`` for none; where asked for, the seal of each one's context. Only
    the first ones when all are too much for an answer: ask again for the rest."""

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


# --- for owners that are away ---------------------------------------------------------------------


class Hint(NamedTuple):
    """Keep these records for the member ``target``, which is away; answered by ``Replicated`` once
    that is durable."""

    id: int
    epoch: int
    budget_ms: int
    target: bytes
    keys: list[bytes]
    records: list[bytes]


# --- the ring -------------------------------------------------------------------------------------


class TopologyRequest(NamedTuple):
    """What is your topology? Answered by ``TopologyReply`` or ``JoinAnswer``; allowed before the
    ring is known."""

    id: int
    cluster: str


class TopologyReply(NamedTuple):
    """This is the topology, with its secrets only for members."""

    id: int
    topology: list[Any]


class JoinRequest(NamedTuple):
    """Let me be a member; allowed before the ring is known. From a known node id: my address
    changed."""

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
    """The newcomer holds all that its peers hold; answered by an ``Announce``."""

    id: int
    epoch: int


class Identify(NamedTuple):
    """Who listens at the end of this link? Answered at any epoch, and before the ring is known."""

    id: int


class Identified(NamedTuple):
    """This one, and the newest ring that it knows is of this epoch; 0: none."""

    id: int
    node_id: bytes
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
    | Probe
    | ProbeAck
    | ProbeFor
    | ProbeNack
    | CompareRoot
    | Branches
    | CompareLeaves
    | Differing
    | CompareKeys
    | Compared
    | Hint
    | Stamp
    | Identify
    | Identified
    | Round
    | Agreed
    | Horizons
)


class RefusedReason(IntEnum):
    """Why a replica did not serve. Append only."""

    STORAGE = 1
    CLOCK_DRIFT = 2
    NOT_READY = 3
    EXPIRED = 4
    OUTDATED = 5
    LATER = 6


class JoinReason(IntEnum):
    """Why a join was not granted. Append only; NO_RING, BUSY, ASK and WAITING mean "try again".
    BUSY and ASK come from members. Whom a member told of a ring says WAITING, never NO_RING."""

    NO_RING = 1
    BUSY = 2
    ASK = 3
    MISMATCH = 4
    FULL = 5
    DUPLICATE = 6
    REPLACED = 7
    WAITING = 8


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


BEFORE_THE_RING = (
    TopologyRequest,
    TopologyReply,
    JoinRequest,
    JoinAnswer,
    WrongCluster,
    Identify,
    Identified,
)
"""Messages that may travel without the ring's tag, because one side does not know it yet."""
