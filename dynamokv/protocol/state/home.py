"""The node itself: its place in the ring, its store, its clocks, and who can be reached.

Knows: all that follows from these without a word to anybody, such as who owns a key, and what a
record from a peer makes of the own one. Must not know: requests, and who changes it when. Whatever
acts on a node acts on this, and meets the others here alone. A client has one too, with no store
and no share of the ring.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from dynamokv import limits
from dynamokv.causality.hlc import HybridClock, wall_ms_of
from dynamokv.causality.versions import Context
from dynamokv.errors import StorageError
from dynamokv.ports import Clock, Reader, Rng
from dynamokv.protocol.liveness.liveness import Liveness
from dynamokv.protocol.load.admission import Refusal
from dynamokv.protocol.load.load import Load
from dynamokv.protocol.state.forest import Forest
from dynamokv.protocol.state.hints import Hints
from dynamokv.protocol.state.horizons import Horizons, KeptOut
from dynamokv.protocol.state.identity import new_actor
from dynamokv.ring.hashing import partition_shift, position_of
from dynamokv.ring.placement import Placement, place
from dynamokv.ring.topology import Topology
from dynamokv.types import Actor, NodeId, replicas_needed
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.messages import FailedCode

NO_OWNERS: tuple[NodeId, ...] = ()
LAG_SAMPLES = 1024
"""Applied writes that the replication lag is taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The part of the configuration that decisions depend on."""

    cluster: str = "dynamokv"
    address: str = ""
    zone: str = ""
    weight: int = 1
    seeds: tuple[str, ...] = ()
    partitions: int = limits.PARTITIONS_DEFAULT
    n: int = 3
    expect_members: int | None = None
    hedge_after: float = 0.03
    sibling_cap: int = limits.SIBLINGS_MAX
    in_flight_max: int = limits.IN_FLIGHT_MAX
    in_flight_bytes_max: int = limits.IN_FLIGHT_BYTES_MAX
    credit_messages: int = limits.CREDIT_MESSAGES
    credit_bytes: int = limits.CREDIT_BYTES
    background_bytes_per_second: int = limits.BACKGROUND_BYTES_PER_SECOND
    tree_check_interval: float = limits.TREE_CHECK_SECONDS
    hint_bytes: int = limits.HINT_BYTES
    hint_bytes_per_target: int = limits.HINT_BYTES_PER_TARGET
    scan_page_items: int = limits.SCAN_PAGE_ITEMS
    tombstone_grace: float = limits.TOMBSTONE_GRACE_SECONDS


class ClockDrift(ValueError):
    """A record carries a time too far ahead of this node's clock."""


class NotAsked(Enum):
    """Why a peer cannot be asked anything now; for errors, too."""

    DOWN = "down"
    NO_CREDIT = "no credit: it has not answered what it was asked"


class Home:
    """State of one node, without behaviour of its own beyond reading, minting and merging.

    Attributes:
        store_forgot: the store found at its opening that something was missing; until taken in.
        owners: by partition, the first one first; none before there is a ring.
        linked: members to which there is a link that works.
        up: those of them that requests go to.
        slow: those of these that are asked after others, where there is a choice.
        doubted: whom requests found late since somebody last looked.
        liveness: the verdicts; None while this node does not probe.
        seen_up: members that were up before.
        greeted_by: members whose own link to this node has worked.
        returned: when each member that was away came back.
        amnesia: a new actor was minted that is not written down yet.
        writable: the disk takes writes, as far as is known.
        closing: the last words are on their way, and nothing is taken in any more.
        uncounted: a newcomer whose acknowledgements do not count.
        replacement: a member that is filled in the place of one that lost its data.
        lags_ms: how old writes were when they were joined here.
    """

    def __init__(
        self,
        *,
        node_id: NodeId,
        actor: Actor,
        settings: Settings,
        reader: Reader,
        clock: Clock,
        rng: Rng,
        hybrid: HybridClock,
        forgot: bool = False,
    ) -> None:
        self.node_id = node_id
        self.actor = actor
        self.settings = settings
        self.reader = reader
        self.clock = clock
        self.rng = rng
        self.hybrid = hybrid
        self.store_forgot = forgot
        self.topology: Topology | None = None
        self.epoch = 0
        self.placement: Placement | None = None
        self.owners: tuple[tuple[NodeId, ...], ...] = ()
        self.linked: set[NodeId] = {node_id} if node_id else set()
        self.up: set[NodeId] = set(self.linked)
        self.slow: set[NodeId] = set()
        self.doubted: dict[NodeId, None] = {}
        self.liveness: Liveness | None = None
        self.seen_up: set[NodeId] = set()
        self.greeted_by: set[NodeId] = set()
        self.returned: dict[NodeId, float] = {}
        self.amnesia = False
        self.writable = True
        self.closing = False
        self.uncounted: NodeId | None = None
        self.replacement: NodeId | None = None
        self.counters: Counter[str] = Counter()
        self.load = Load(
            in_flight_max=settings.in_flight_max,
            in_flight_bytes_max=settings.in_flight_bytes_max,
            credit_messages=settings.credit_messages,
            credit_bytes=settings.credit_bytes,
            hedge_after=settings.hedge_after,
            background_bytes_per_second=settings.background_bytes_per_second,
        )
        self.forest = Forest(reader)
        self.horizons = Horizons(reader, clock, self.counters)
        self.lags_ms: deque[int] = deque(maxlen=LAG_SAMPLES)
        self.hints = Hints(
            reader,
            clock,
            self.counters,
            target_bytes=settings.hint_bytes_per_target,
            all_bytes=settings.hint_bytes,
        )
        self._seed = 0
        self._shift = 64
        self._prefixes: tuple[bytes, ...] = ()
        self._owners: tuple[tuple[NodeId, ...], ...] = ()

    def adopt(self, topology: Topology) -> Placement:
        """From now on, this is the ring."""
        placement = place(topology)
        self.topology = topology
        self.epoch = topology.epoch
        self.placement = placement
        self.owners = placement.owners
        # Which of them is the first one differs between partitions of the same owners, and concerns
        # only those who pass a put on.
        self._owners = tuple(tuple(sorted(owners)) for owners in placement.owners)
        owned = [p for p, owners in enumerate(self._owners) if self.node_id in owners]
        self.forest.adopt(topology, owned, self.actor)
        self.horizons.lift_all()
        # A newcomer may still go, and take its copies along; so a quorum must be one without it.
        # Beside an odd number of others, every quorum is: the majority of all is one more.
        others = len(topology.members) - 1
        self.uncounted = topology.change if others % 2 == 0 else None
        self.replacement = topology.replacement
        if self.replacement is not None:
            self.uncounted = None
        self._seed = topology.seed
        self._shift = partition_shift(topology.partitions)
        self._prefixes = tuple(row_keys.row_key(p, b"") for p in range(topology.partitions))
        return placement

    def locate(self, name: bytes) -> tuple[bytes, tuple[NodeId, ...]]:
        """The row key of a name, and its owners."""
        partition = position_of(name, self._seed) >> self._shift
        return self._prefixes[partition] + name, self._owners[partition]

    def locate_all(self, names: list[bytes]) -> tuple[list[bytes], tuple[NodeId, ...] | None]:
        """The row keys of names and the owners they share; ``None`` when they do not share them."""
        if len(names) == 1:
            key, owners = self.locate(names[0])
            return [key], owners
        found = [self.locate(name) for name in names]
        shared = {owners for _, owners in found}
        return [key for key, _ in found], shared.pop() if len(shared) == 1 else None

    def quorum(self, owners: Sequence[NodeId], level: int) -> tuple[Sequence[NodeId], int]:
        """Who may count towards a level, and how many of them must.

        A replacement keeps its slot: the copies are as many as before. But what was acknowledged by
        the member that it stands in for, and by one other owner, is at that other one only. So
        until it is whole, quorums are made of the others; it has a say where all of them have, too.
        """
        needed = replicas_needed(level, len(owners))
        if self.replacement is None or needed == len(owners):
            return owners, needed
        return [owner for owner in owners if owner != self.replacement], needed

    def owners_of(self, partition: int) -> tuple[NodeId, ...]:
        """The owners of a partition, the first one first; none of one that does not exist."""
        return self.owners[partition] if partition < len(self.owners) else NO_OWNERS

    def is_member(self, peer: bytes) -> bool:
        """Whether the ring knows this peer."""
        return self.topology is not None and self.topology.member(NodeId(peer)) is not None

    def is_up(self, peer: NodeId) -> bool:
        """Whether requests go to this peer."""
        return peer in self.up

    def why_not(self, peer: NodeId) -> NotAsked | None:
        """Why this peer cannot be asked anything now; ``None`` when it can."""
        if peer not in self.up:
            return NotAsked.DOWN
        credit = self.load.credit
        if peer not in credit.short or credit.has_room(peer, self.clock.monotonic()):
            return None
        return NotAsked.NO_CREDIT

    def overloaded(self, refusal: Refusal) -> tuple[FailedCode, str]:
        """What a request is told that is refused for this reason; counted."""
        self.counters["overloaded"] += 1
        self.counters[refusal.counter] += 1
        return FailedCode.OVERLOADED, refusal.text

    def recently_returned(self, now: float) -> set[NodeId]:
        """Peers that were away and came back not long ago: they may have missed writes."""
        horizon = now - limits.RETURNED_PEER_SECONDS
        self.returned = {peer: at for peer, at in self.returned.items() if at > horizon}
        return set(self.returned)

    def mint(self, *contexts: Context) -> int:
        """A time for a new dot of this node's actor, above all of its times in these contexts."""
        above = 0
        for context in contexts:
            above = max(above, context.get(self.actor, 0))
        return self.hybrid.tick(self.clock.wall_ms(), above)

    def take_new_actor(self) -> None:
        """Others may know a write of this node that its store does not hold. The next write under
        the same name would claim to know that one, and erase it: so it gets another name.
        """
        self.actor = new_actor(self.rng)
        self.amnesia = True

    def held(self, key: bytes) -> bytes | None:
        """The record that a write builds on; ``None`` where there is none, or it is damaged.

        A write may go on without a record that is lost: what it does not know stays beside it on
        the other owners, under a name that never claimed to know it.
        """
        try:
            return self.reader.newest(key)
        except StorageError:
            self.damaged_read([key])
            self.take_new_actor()
            self.horizons.doubt(row_keys.partition_of(key))
            return None

    def damaged_read(self, keys: Iterable[bytes]) -> None:
        """One of these records cannot be read: other owners have to bring it back."""
        self.counters["damaged_reads"] += 1
        for partition in {row_keys.partition_of(key) for key in keys}:
            self.forest.cannot_read(partition)

    def under_way(self, key: bytes) -> bytes | None:
        """The record that a write builds on, while the store does not have it: its disk may yet
        refuse it, so a promise that counts on it has to write it as well."""
        held = self.held(key)
        try:
            return None if self.reader.visible(key) == held else held
        except StorageError:
            return held

    def merge(self, key: bytes, incoming: bytes) -> bytes | None:
        """The record to write after joining one from a peer; ``None`` when there is nothing new in
        it, or nothing that the horizon lets in.

        Raises:
            ValueError: it is no record.
            ClockDrift: it is stamped too far ahead of this node's clock; taking it over would drag
                every clock along.
        """
        joined = self.take_in(key, incoming)
        return None if isinstance(joined, KeptOut) else joined

    def take_in(self, key: bytes, incoming: bytes) -> bytes | KeptOut | None:
        """``merge``, for those who have to know whether anything of it was let in."""
        return self.join(key, incoming, self.checked(incoming))

    def checked(self, incoming: bytes) -> Context:
        """The context of a record from a peer, which may be kept. Raises as ``merge`` does."""
        theirs = records.check(incoming)
        latest = max(theirs.values(), default=0)
        wall_ms = self.clock.wall_ms()
        if not self.hybrid.observe(latest, wall_ms):
            self.counters["clock_drift_refused"] += 1
            ahead = (wall_ms_of(latest) - wall_ms) / 1000
            raise ClockDrift(f"stamped {ahead:.1f} s ahead of this node's clock")
        return theirs

    def join(self, key: bytes, incoming: bytes, theirs: Context) -> bytes | KeptOut | None:
        """``take_in`` of a record that was checked, with its context."""
        held = self.held(key)
        ours = records.context_of(held) if held else {}
        admitted = self.horizons.admit(key, incoming, ours)
        if isinstance(admitted, KeptOut):
            return admitted
        if self.horizons.forgets(key, theirs.get(self.actor, 0), ours.get(self.actor, 0)):
            self.take_new_actor()
        joined = records.join_checked(held, ours, admitted, theirs)
        if joined is held:
            return None
        latest = max(theirs.values(), default=0)
        self.lags_ms.append(max(0, self.clock.wall_ms() - wall_ms_of(latest)))
        return joined
