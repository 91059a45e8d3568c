"""The vocabulary of the core: events go into ``step``, effects come out of it.

Rules:
    - An effect says what to do; the runtime does it, in the order given, and reports back with an
      event.
    - ``Write.then`` is what the durability of the write releases: an acknowledgement to a peer, or
      an event at home. So an acknowledgement cannot overtake its fsync, however the runtime is
      written.
    - Named tuples: made by the million, compared by tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from dynamokv.ports import Range, Row
from dynamokv.ring.topology import Topology
from dynamokv.wire.messages import Message, Refused, RefusedReason

LOCAL = b""
"""The origin of requests made in this process."""


class Origin(NamedTuple):
    """Who asked: ``LOCAL`` or a peer, and the id that the asker knows the request by."""

    peer: bytes
    id: int


# --- events ---------------------------------------------------------------------------------------


class Request(NamedTuple):
    """The application asks, through ``PutRequest``, ``GetRequest`` or ``StatusRequest``; the answer
    is a ``Reply`` with this ticket."""

    ticket: int
    message: Any


class Forget(NamedTuple):
    """The application no longer waits for this ticket; its reply, if any, is dropped."""

    ticket: int


class Received(NamedTuple):
    """A message arrived; ``peer`` is a node id, the name of a link, or the route of a client."""

    peer: bytes
    message: Message


class PeerUp(NamedTuple):
    """The link to this peer works."""

    peer: bytes


class PeerDown(NamedTuple):
    """The link to this peer broke; what was under way to it may or may not have arrived."""

    peer: bytes


class Undelivered(NamedTuple):
    """This message never left: the peer cannot be reached now."""

    peer: bytes
    message: Message


class Written(NamedTuple):
    """A write of the request with this id is durable."""

    id: int


class WriteFailed(NamedTuple):
    """A write of the request with this id failed; ``reason`` is for people."""

    id: int
    reason: str


class TopologyStored(NamedTuple):
    """A topology that this node decided on is durable, so it may be told; ``None``: the disk
    refused it."""

    topology: Topology | None
    asker: Origin | None


class IdentityStored(NamedTuple):
    """The identity row with this clock ceiling is durable; ``None``: the disk refused it."""

    ceiling: int | None


class PageStored(NamedTuple):
    """A page of a transfer is durable, and ``next`` starts the following one; ``None``: the disk
    refused it."""

    peer: bytes
    next: bytes | None
    id: int = 0


class ExchangeStored(NamedTuple):
    """What an exchange has fetched is durable; or, not ``stored``: the disk refused it. ``salt``
    tells it from others about the same partition."""

    peer: bytes
    partition: int
    salt: int
    stored: bool


class HintsRefused(NamedTuple):
    """The disk refused a write with hints in it; the one who asked for it under this id, if anybody
    did, is to be told."""

    peer: bytes = LOCAL
    id: int = 0


class HorizonsGone(NamedTuple):
    """The rows of horizons are gone that were in doubt, up to this number of doubts."""

    doubts: int


class Passed(NamedTuple):
    """All that was written before this message of ``peer`` is applied, and what it asked for is
    durable. ``drawn``: how many fences had been drawn when it came."""

    peer: bytes
    message: Message
    drawn: int = 0


class Tick(NamedTuple):
    """Time has passed: look at the timers. ``lag``: seconds by which the event loop was late when
    that was last looked at."""

    lag: float = 0.0


class Stop(NamedTuple):
    """The node is about to close cleanly; after the effects, its actor may be used again."""


class LastWords(NamedTuple):
    """All that was written before the stop is decided: what follows now is the end."""


Event: TypeAlias = (
    Request
    | Forget
    | Received
    | PeerUp
    | PeerDown
    | Undelivered
    | Written
    | WriteFailed
    | TopologyStored
    | IdentityStored
    | PageStored
    | ExchangeStored
    | HintsRefused
    | HorizonsGone
    | Passed
    | Tick
    | Stop
    | LastWords
)


# --- effects --------------------------------------------------------------------------------------


class Send(NamedTuple):
    """Queue a message; ``Undelivered`` comes back if the peer cannot be reached."""

    peer: bytes
    message: Message


After: TypeAlias = (
    Send
    | Written
    | WriteFailed
    | TopologyStored
    | IdentityStored
    | PageStored
    | ExchangeStored
    | HintsRefused
    | HorizonsGone
    | Passed
    | LastWords
)


class Write(NamedTuple):
    """Write these rows, all or none, and then release ``then``, or ``otherwise`` when the write
    failed. A row without a value goes.

    ``synced``: on the disk first, whatever the node's durability setting.
    """

    rows: Sequence[Row]
    then: After | None = None
    otherwise: After | None = None
    synced: bool = False


class Reply(NamedTuple):
    """The answer for the application: ``PutDone``, ``GetDone``, ``StatusReply`` or ``Failed``."""

    ticket: int
    message: Message


class Connect(NamedTuple):
    """Keep a link to this address under this name."""

    peer: bytes
    address: str


class Disconnect(NamedTuple):
    """Drop the link."""

    peer: bytes


class Describe(NamedTuple):
    """Somebody asks for this node's status: ``StatusReply`` with this id goes to this peer."""

    peer: bytes
    id: int


class Ready(NamedTuple):
    """This node has a place in the ring, and the data that it needs to serve."""


class JoinFailed(NamedTuple):
    """This node will not get into the ring; ``reason`` is a ``JoinReason``."""

    reason: int
    text: str


class Report(NamedTuple):
    """Something people should know; ``level`` is a name of ``logging``."""

    area: str
    level: str
    text: str


class Mend(NamedTuple):
    """What the store had quarantined of these ranges was brought back by other owners: it is read
    again. Whatever has been lost since is not in them, because nobody was asked for it."""

    lost: Sequence[Range]


class TakenIn(NamedTuple):
    """The store found less than there was when it was opened, and all that follows from it is on
    the disk: it need not say so again."""


class Again(NamedTuple):
    """Step this event, once the effects before this one are carried out: what it waited for is
    here."""

    event: Received


Effect: TypeAlias = (
    Send
    | Write
    | Reply
    | Connect
    | Disconnect
    | Describe
    | Ready
    | JoinFailed
    | Report
    | Mend
    | TakenIn
    | Again
)
"""What ``step`` returns is a list of these."""


def answer(origin: Origin, message: Message) -> Send | Reply:
    """The reply, to wherever the request came from. The message carries the origin's id already."""
    return Reply(origin.id, message) if origin.peer == LOCAL else Send(origin.peer, message)


def refuse(peer: bytes, id: int, reason: RefusedReason, detail: str) -> list[Effect]:
    """Tell who asked that it is not done, if it wants to hear."""
    return [Send(peer, Refused(id, reason, detail))] if id else []
