"""How a ring comes to be: the founder founds it, the others join it, one at a time, until it has
``n`` members.

Two sides, both plain state machines driven by ``lifecycle.py``:

- ``Seeker``: a process without a place asks the seeds, and follows their hints, until a topology
  names it.
- ``Driver``: the first member in the record decides every change, makes it durable, and tells the
  others.

Rules:
    - The seed with the least address founds, in whatever order the list names them, and only when
      no other seed knows a ring: each said so, or stayed silent for a grace period. It founds with
      those that still ask for a place then.
    - Whom a member told of a ring believes it for life. That somebody else was told is hearsay: it
      stops a founder for some seconds only, and is not passed on. Processes that told it each other
      would wait for a ring that is gone, for ever.
    - It may have lost its data, and the silent ones may be its ring. So more than half of the seeds
      have to know of none, itself included, unless its application says how many members it
      expects (``expect_members``): then the others may be silent.
    - While the ring has fewer members than copies, every member owns every key. So a newcomer may
      be added at once: any quorum after it meets any quorum before it, as long as the next newcomer
      waits until this one holds everything (``change`` in the record). Beyond ``n`` members,
      partitions would have to move between owners, and this version does not move them: it refuses.
      Start such a ring with ``expect_members``.
    - A newcomer that is gone before it was filled loses its place to the next that asks. So until
      then its acknowledgements do not count where a quorum could need them (``home.uncounted``).
    - A decision is durable before anyone hears of it.
    - An address that is known and asks under a new id has lost its data: it may take its own place
      again (``replacing.py``).
    - An id that is known and asks again has a new address; but while its old address answers, there
      are two of it, from a copied data directory, and the second is refused.
"""

from __future__ import annotations

from dataclasses import replace

from dynamokv import limits
from dynamokv.protocol.effects import Connect, Effect, JoinFailed, Origin, Send, Write, answer
from dynamokv.protocol.membership.decisions import filling, no, store, taken
from dynamokv.protocol.membership.replacing import Replacing, decider
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Member, Topology
from dynamokv.types import ClusterId, NodeId
from dynamokv.wire.messages import (
    Identified,
    JoinAnswer,
    JoinReason,
    JoinRequest,
    TopologyReply,
    TopologyRequest,
)

_KEEP_ASKING = (JoinReason.NO_RING, JoinReason.BUSY, JoinReason.ASK, JoinReason.WAITING)


def founding_topology(home: Home, members: tuple[Member, ...]) -> Topology:
    """The first record of a new ring."""
    settings, rng = home.settings, home.rng
    return Topology(
        cluster_id=ClusterId(rng.randbytes(16)),
        cluster=settings.cluster,
        epoch=1,
        partitions=settings.partitions,
        n=settings.n,
        seed=int.from_bytes(rng.randbytes(8)),
        context_key=rng.randbytes(16),
        members=members,
        change=None,
    )


def this_member(home: Home) -> Member:
    """This node, as the record shall name it."""
    settings = home.settings
    return Member(home.node_id, settings.address, settings.zone, settings.weight)


def founding_seed(home: Home) -> str:
    """The address of the process that founds the ring, the same for all that have these seeds.

    The least as text, not the first: people put their own address first, and then every process
    of one ring would found one.
    """
    return min(home.settings.seeds, default=home.settings.address)


class Seeker:
    """The way into a ring, for a process whose store remembers none.

    Attributes:
        founder: it founds the ring, if there is none.
        seeds: whom it asks, by the addresses of their links.
        silent: seeds that have not answered yet.
        said: the last answer of each that did.
        decider: the address of the member that decides about its place, where that is known.
        expected: members that it founds a ring with.
        explicit: its application said so.
        grace_ends: when it need not wait for silent seeds any more.
        candidates: others that ask the founder for a place, and when they last did.
        founding: the first record is on its way to the disk.
        found_a_ring: a member said that there is one. Whoever asks this process is told so.
        hearsay_ends: until then a founder believes others that were told of a ring.
    """

    def __init__(self, home: Home, now: float) -> None:
        settings = home.settings
        self.founder = founding_seed(home) == settings.address
        others = [seed for seed in settings.seeds if seed != settings.address]
        self.seeds = dict.fromkeys(seed.encode() for seed in others)
        self.silent = set(self.seeds)
        self.said: dict[bytes, str] = {}
        self.decider = ""
        self.expected = settings.expect_members or 1
        self.explicit = settings.expect_members is not None
        self.grace_ends = now + limits.FOUND_GRACE_SECONDS
        self.candidates: dict[NodeId, tuple[Member, float]] = {}
        self.founding = False
        self.found_a_ring = False
        self.hearsay_ends = now

    def connect(self) -> list[Effect]:
        """Links to the seeds, known by their addresses until a topology names them."""
        return [Connect(seed, seed.decode()) for seed in self.seeds]

    def tick(self, home: Home, now: float) -> list[Effect]:
        """Ask again, or found."""
        may_found = self.founder and not self.found_a_ring and not self.founding
        if may_found and self.asked_enough(now):
            others = self._still_asking(now)
            if len(others) >= self.expected - 1:
                self.founding = True
                return [store(founding_topology(home, (this_member(home), *others)))]
        return [effect for seed in self.seeds for effect in self.ask(home, seed)]

    def asked_enough(self, now: float) -> bool:
        """Whether there is no ring, as far as a founder has to know."""
        if now < self.hearsay_ends:
            return False
        if not self.silent:
            return True
        heard = len(self.seeds) - len(self.silent) + 1
        return now >= self.grace_ends and (self.explicit or 2 * heard > len(self.seeds) + 1)

    def ask(self, home: Home, seed: bytes) -> list[Effect]:
        """The question for a seed: is there a ring, or, for a place in it."""
        if self.founding:
            return []
        if self.founder and not self.found_a_ring:
            return [Send(seed, TopologyRequest(0, home.settings.cluster))]
        return [Send(seed, join_request(home))]

    def on_answer(self, home: Home, peer: bytes, message: JoinAnswer) -> list[Effect]:
        """A seed has no place for us, yet or for ever."""
        self._heard(peer, message.detail)
        if message.reason not in _KEEP_ASKING:
            return [JoinFailed(message.reason, message.detail)]
        if message.reason == JoinReason.WAITING:
            self.hearsay_ends = home.clock.monotonic() + limits.HEARSAY_SECONDS
        self.found_a_ring |= message.reason in (JoinReason.BUSY, JoinReason.ASK)
        if message.reason == JoinReason.ASK:
            self._heard(peer, f"{message.detail} decides")
            return self._also_ask(home, message.detail)
        return []

    def _heard(self, peer: bytes, text: str) -> None:
        self.silent.discard(peer)
        if peer in self.seeds:
            self.said[peer] = text

    def on_topology(self, home: Home, topology: Topology, peer: bytes) -> list[Effect]:
        """There is a ring, and we are not in it yet: ask its driver; or, if that stood here once,
        whoever decides about its place."""
        self._heard(peer, "there is a ring")
        self.found_a_ring = True
        first = topology.members[0]
        holder = first if first.address == home.settings.address else None
        return self._also_ask(home, decider(topology, holder).address)

    def on_topology_request(self, origin: Origin) -> list[Effect]:
        """Others look for the ring as well: it is not here, but they may not found another one if
        there is one."""
        if self.found_a_ring:
            return no(origin, JoinReason.WAITING, "it waits for a place in the ring itself")
        return no(origin, JoinReason.NO_RING, "no ring here yet")

    def on_join_request(self, home: Home, origin: Origin, request: JoinRequest) -> list[Effect]:
        """Others want a place: the founder remembers them, everyone else knows no more than they
        do."""
        if not self.founder:
            return self.on_topology_request(origin)
        refusal = _disagreement(
            home.settings.partitions, home.settings.n, home.settings.cluster, request
        )
        if refusal:
            return no(origin, JoinReason.MISMATCH, refusal)
        if request.address == home.settings.address:
            return no(origin, JoinReason.DUPLICATE, taken(this_member(home)))
        if self.found_a_ring:
            return self.on_topology_request(origin)
        if not self.founding:
            self._remember(home, _member_of(request))
        # Not "busy": should it lose its data before that is durable, nobody may say it was there.
        return no(origin, JoinReason.NO_RING, "the ring is being founded")

    def _remember(self, home: Home, asker: Member) -> None:
        """A place for who asks. An address whose process came back without its data has one place,
        and so has an id."""
        others = {
            node_id: entry
            for node_id, entry in self.candidates.items()
            if node_id != asker.node_id and entry[0].address != asker.address
        }
        if len(others) < self.expected - 1:
            self.candidates = {**others, asker.node_id: (asker, home.clock.monotonic())}

    def _still_asking(self, now: float) -> list[Member]:
        """The candidates, without those that went away."""
        horizon = now - limits.FOUND_GRACE_SECONDS
        self.candidates = {
            node_id: entry for node_id, entry in self.candidates.items() if entry[1] > horizon
        }
        return [member for member, _ in self.candidates.values()]

    def _also_ask(self, home: Home, address: str) -> list[Effect]:
        """``address``: of the driver."""
        link = address.encode()
        self.decider = address
        if link in self.seeds:
            return []
        if address == home.settings.address:
            text = (
                f"address {address} belongs to the ring's first member: start that one, with its "
                "data directory, or choose another address"
            )
            return [JoinFailed(JoinReason.DUPLICATE, text)]
        self.seeds[link] = None
        return [Connect(link, address)]


def join_request(home: Home) -> JoinRequest:
    """What this node asks of the driver: a place, or, where it has one, that its address be put
    right."""
    settings = home.settings
    return JoinRequest(
        0,
        settings.cluster,
        home.node_id,
        settings.address,
        settings.zone,
        settings.weight,
        settings.partitions,
        settings.n,
    )


class Driver:
    """The deciding side; every member has one, and only the first in the record uses it."""

    def __init__(self) -> None:
        self.deciding = False
        self.silent_since: float | None = None
        self.replacing = Replacing()

    def on_join_request(self, home: Home, origin: Origin, request: JoinRequest) -> list[Effect]:
        """Grant a place, or say why not."""
        topology = home.topology
        assert topology is not None
        refusal = _disagreement(topology.partitions, topology.n, topology.cluster, request)
        if refusal:
            return no(origin, JoinReason.MISMATCH, refusal)
        known = topology.member(NodeId(request.node_id))
        if known is not None and known.address == request.address:
            return [answer(origin, TopologyReply(origin.id, topology.encode()))]
        holder = next((m for m in topology.members if m.address == request.address), None)
        if holder is not None and holder.node_id == home.node_id:
            return no(origin, JoinReason.DUPLICATE, taken(holder))
        driver = decider(topology, holder if known is None else None)
        if driver.node_id != home.node_id:
            return no(origin, JoinReason.ASK, driver.address)
        newcomer = topology.change if topology.replacement is None else None
        if holder is not None and holder.node_id != newcomer:
            if known is not None:
                return no(origin, JoinReason.DUPLICATE, taken(holder))
            if not self.deciding:
                return self.replacing.ask(home, origin, holder, request)
        if self.deciding:
            return no(origin, JoinReason.BUSY, "another change is being decided")
        if known is not None:
            return self._move(home, origin, known, request)
        if topology.change is not None:
            return self._wait_for(home, origin, topology, holder)
        if len(topology.members) >= topology.n:
            return no(origin, JoinReason.FULL, _full(topology))
        self.deciding = True
        return [store(topology.with_member(_member_of(request), filling=True), origin)]

    def on_identified(self, home: Home, peer: bytes, message: Identified) -> list[Effect]:
        """Somebody says who it is: this may decide who takes a member's place."""
        effects = [] if self.deciding else self.replacing.on_identified(home, peer, message)
        self.deciding |= any(type(effect) is Write for effect in effects)
        return effects

    def on_filled(self, home: Home, peer: bytes) -> list[Effect]:
        """The newcomer holds everything: the next may come."""
        topology = home.topology
        assert topology is not None
        if self.deciding or topology.change != peer or topology.members[0].node_id != home.node_id:
            return []
        self.deciding = True
        return [store(topology.settled())]

    def _wait_for(
        self, home: Home, origin: Origin, topology: Topology, holder: Member | None
    ) -> list[Effect]:
        """Another newcomer is being filled. One that is gone loses its place: after a while, or at
        once when it is its own address that asks, under a new id."""
        newcomer = topology.change
        assert newcomer is not None
        why = filling(topology)
        if topology.replacement is not None:
            # Its place is that of a member: nobody else's, however long it is away.
            return no(origin, JoinReason.BUSY, why)
        # A link proves that somebody listens at an address; who asks from there is that somebody.
        if holder is None and newcomer in home.linked:
            self.silent_since = None
            return no(origin, JoinReason.BUSY, why)
        now = home.clock.monotonic()
        if self.silent_since is None:
            self.silent_since = now
        busy = no(origin, JoinReason.BUSY, f"{why}, but is away")
        if holder is None and now - self.silent_since < limits.NEWCOMER_GRACE_SECONDS:
            return busy
        self.silent_since = None
        self.deciding = True
        return [*busy, store(topology.abandoned())]

    def _move(
        self, home: Home, origin: Origin, known: Member, request: JoinRequest
    ) -> list[Effect]:
        if known.node_id in home.linked:
            # It may have gone a moment ago, and nobody has noticed.
            return self.replacing.ask_old_place(home, origin, known, request)
        assert home.topology is not None
        self.deciding = True
        moved = replace(known, address=request.address)
        return [store(home.topology.with_member(moved), origin)]


def _member_of(request: JoinRequest) -> Member:
    return Member(NodeId(request.node_id), request.address, request.zone, request.weight)


def _disagreement(partitions: int, n: int, cluster: str, request: JoinRequest) -> str:
    """What the asker and the ring see differently, or nothing."""
    try:
        _member_of(request)
    except ValueError as error:
        return str(error)
    differences = [
        f"{name} is {ours!r} in the ring and {theirs!r} at the joiner"
        for name, ours, theirs in (
            ("cluster", cluster, request.cluster),
            ("partitions", partitions, request.partitions),
            ("n", n, request.n),
        )
        if ours != theirs
    ]
    return "; ".join(differences)


def _full(topology: Topology) -> str:
    return (
        f"the ring has {len(topology.members)} members and n={topology.n} copies of each key; a "
        "further member would have to take partitions over, which this version does not do: found "
        "the ring with expect_members, or use a client (dynamokv.connect)"
    )
