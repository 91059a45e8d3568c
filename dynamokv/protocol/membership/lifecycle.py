"""The life of a member: who it is, its place in the ring, and its share of the data.

Rules:
    - Nothing is minted, and no place is asked for, before the identity row of this life is durable
      (``state/identity.py``): a member that forgets who it is could never come back.
    - A store that forgot something says so until a new actor is on the disk, and with it, in one
      batch or before, that no horizon counts any more.
    - A topology is taken over when it is newer, of this ring, and complete with its secrets.
    - Once a write of this node is known elsewhere and not here, because the store forgot it or the
      disk refused it, the next dot has a new actor (``home.take_new_actor``).
    - A disk that refused a write is asked for no further ones of this node's own before it took the
      identity row again; until then, other owners coordinate.
    - Ready once: in a topology that names this node and its address, whole, and with an identity
      that is durable.
    - Who was replaced while it was away or cut off is no member any more: it serves nobody from the
      moment it learns of that, and says why. It missed what was acknowledged since.
    - A node that comes back at another address is not ready before the ring knows it. If somebody
      still answers at the old one, there are two of it, from a copied data directory: it stops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dynamokv import limits
from dynamokv.causality.hlc import time_at
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Origin, Send
from dynamokv.protocol.membership.decisions import store
from dynamokv.protocol.membership.formation import Driver, Seeker
from dynamokv.protocol.membership.moving import Move
from dynamokv.protocol.membership.reachability import Reachability
from dynamokv.protocol.membership.replacing import replaced
from dynamokv.protocol.membership.transfer import Newcomer
from dynamokv.protocol.state.home import Home
from dynamokv.protocol.state.identity import Identity
from dynamokv.ring.topology import Member, Topology
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m

_FOR_GOOD = (m.JoinReason.DUPLICATE, m.JoinReason.MISMATCH, m.JoinReason.REPLACED)


class Lifecycle:
    """From the first start of a store to a member that serves, and back after every stop."""

    def __init__(
        self,
        home: Home,
        stored_topology: Topology | None,
        new_id: Callable[[], int],
        reach: Reachability,
    ) -> None:
        self.home = home
        self.reach = reach
        self.driver = Driver()
        self.seeker: Seeker | None = None
        self.move = Move(home, self.driver)
        self.newcomer = Newcomer(home, new_id)
        self.ready = False
        self.replaced = ""
        self.stored_topology = stored_topology
        self.identified = False
        self._raising = False
        self._gossip_at = 0.0

    def start(self) -> list[Effect]:
        """The first effects: make this life durable, and find the way back, or in."""
        effects: list[Effect] = [self.identity()]
        stored = self.stored_topology
        if stored is not None and stored.member(self.home.node_id) is None:
            return effects + self._lost_place(stored)
        if stored is not None:
            return effects + self._enter(stored)
        self.seeker = Seeker(self.home, self.home.clock.monotonic())
        return effects + self.seeker.connect()

    def tick(self, now: float) -> list[Effect]:
        """What is due now and then."""
        if self.replaced:
            return []
        effects: list[Effect] = []
        half = time_at(self.home.clock.wall_ms() + limits.CLOCK_CEILING_STEP_MS // 2)
        due = self.home.hybrid.ceiling < half or not self.home.writable
        if due and not self._raising:
            effects.append(self.identity())
        if self.seeker is not None:
            return effects + (self.seeker.tick(self.home, now) if self.identified else [])
        return effects + self.newcomer.tick() + self.move.tick(now) + self._gossip(now)

    def _gossip(self, now: float) -> list[Effect]:
        """Show some member the topology now and then. Whoever has a newer one answers with it."""
        home = self.home
        peers = sorted(home.linked - {home.node_id})
        if home.topology is None or not peers or now < self._gossip_at:
            return []
        first, self._gossip_at = not self._gossip_at, now + limits.GOSSIP_SECONDS
        if first:
            # Its peers were greeted when their links came up.
            return []
        peer = peers[int(home.rng.random() * len(peers))]
        return [Send(peer, m.Announce(home.topology.encode()))]

    def identity(self, *, clean: bool = False) -> Effect:
        """Make durable who this node is; ``clean`` is its last word."""
        home = self.home
        self._raising = True
        ceiling = time_at(home.clock.wall_ms() + limits.CLOCK_CEILING_STEP_MS)
        ceiling = home.hybrid.last if clean else max(ceiling, home.hybrid.ceiling, home.hybrid.last)
        row = (row_keys.IDENTITY_ROW, Identity(home.node_id, home.actor, clean, ceiling).encode())
        return e.Write([row], e.IdentityStored(ceiling), e.IdentityStored(None), synced=True)

    def last_words(self, _: e.LastWords) -> list[Effect]:
        """The end of a clean stop: in one batch, that it was one, and what the next life may take
        over."""
        identity = self.identity(clean=True)
        assert type(identity) is e.Write
        kept = self.home.forest.keep(self.home.actor)
        return [identity._replace(rows=[*identity.rows, *kept])]

    def on_identity_stored(self, event: e.IdentityStored) -> list[Effect]:
        """The identity is durable: times up to its ceiling may be used."""
        self._raising = False
        if event.ceiling is None:
            return [e.Report("storage", "ERROR", "the disk refused the identity row")]
        self.home.hybrid.raise_ceiling(event.ceiling)
        self.home.writable = True
        self.identified = self.reach.speaks = True
        effects: list[Effect] = [e.TakenIn()] if self.home.store_forgot else []
        self.home.store_forgot = False
        if self.seeker is not None:
            return effects + self.seeker.tick(self.home, self.home.clock.monotonic())
        return effects + self._become_ready()

    def on_amnesia(self) -> list[Effect]:
        """Whatever is minted from now on has another name: write it down."""
        self.home.amnesia = False
        self.home.counters["amnesia"] += 1
        text = "others may know a write of this node that its store does not hold: new actor minted"
        return [self.identity(), e.Report("storage", "WARNING", text)]

    def _become_ready(self) -> list[Effect]:
        if self.ready or not self.identified or self.newcomer.fill is not None:
            return []
        mine = self._mine()
        if mine is None or mine.address != self.home.settings.address:
            return []
        self.ready = True
        return [*self.move.arrived(), *self.reach.begin(), e.Ready()]

    def _mine(self) -> Member | None:
        """This node, as the ring knows it."""
        topology = self.home.topology
        return topology.member(self.home.node_id) if topology is not None else None

    def on_link_up(self, link: bytes) -> list[Effect]:
        """Something answers at an address that is no member's: a seed, which is asked at once, or
        whoever stands at this node's old place."""
        if self.seeker is None:
            return self.move.on_link_up(link)
        return self.seeker.ask(self.home, link) if self.identified else []

    # --- topology ---------------------------------------------------------------------------------

    def topology_for(self, peer: bytes) -> list[Any]:
        """The record for this peer: secrets are for members."""
        topology = self.home.topology
        assert topology is not None
        member = topology.member(NodeId(peer)) is not None
        return (topology if member else topology.without_secrets()).encode()

    def on_announce(self, peer: bytes, message: m.Announce) -> list[Effect]:
        """Members say so when their link to this node works, and when there is a new topology."""
        home, member = self.home, NodeId(peer)
        greeted = member in home.greeted_by
        home.greeted_by.add(member)
        effects = self.adopt(message.topology, peer)
        ours = home.topology.encode() if home.topology is not None else None
        if not greeted and member in home.linked and message.topology == ours:
            # It may have had no ring yet when it was greeted, and then it did not hear of it.
            effects.append(Send(member, m.Announce(ours)))
        return effects

    def adopt(self, fields: list[Any], peer: bytes) -> list[Effect]:
        """Take over a newer topology of this ring, from whoever has it."""
        home = self.home
        try:
            topology = Topology.decode(fields)
        except ValueError as error:
            home.counters["poison_records"] += 1
            return [e.Report("ring", "ERROR", f"damaged topology from {peer.hex()}: {error}")]
        if home.topology is None:
            if topology.member(home.node_id) is None:
                return self.seeker.on_topology(home, topology, peer) if self.seeker else []
        elif topology.cluster_id != home.topology.cluster_id or topology.epoch == home.epoch:
            return []
        elif topology.epoch < home.epoch:
            # Its sender may have nobody else to learn the newer one from.
            return [Send(peer, m.TopologyReply(0, self.topology_for(peer)))]
        elif topology.member(home.node_id) is None:
            return self._lost_place(topology)
        if not topology.context_key:
            return []
        return [store(topology)._replace(then=None, otherwise=None), *self._enter(topology)]

    def _lost_place(self, topology: Topology) -> list[Effect]:
        """The ring has no place for this node. A newcomer that was given up before it was filled
        lost nothing that counted, and looks for a place again; who stood for a member is replaced,
        and the ring goes on without it."""
        home, before = self.home, self.home.topology
        if self.replaced:
            return []
        self.newcomer.fill = None
        if before is None or before.change != home.node_id or before.replacement is not None:
            home.adopt(topology)
            self.ready = False
            self.replaced, told = replaced(home, topology)
            return told
        links = [mb.node_id for mb in before.members if mb.node_id != home.node_id]
        home.topology, home.epoch = None, 0
        self.seeker = Seeker(home, home.clock.monotonic())
        effects: list[Effect] = [e.Disconnect(link) for link in links]
        return effects + self.seeker.connect() + self.seeker.on_topology(home, topology, b"")

    def _enter(self, topology: Topology) -> list[Effect]:
        """From now on this is the ring."""
        home = self.home
        old = {mb.node_id: mb.address for mb in home.topology.members} if home.topology else {}
        home.adopt(topology)
        self.reach.adopt(topology)
        new = {mb.node_id: mb.address for mb in topology.members}
        effects: list[Effect] = []
        if self.seeker is not None:
            effects += [e.Disconnect(link) for link in self.seeker.seeds]
            self.seeker = None
        effects += [e.Disconnect(peer) for peer in old if peer not in new]
        effects += [
            e.Connect(peer, address)
            for peer, address in new.items()
            if peer != home.node_id and old.get(peer) != address
        ]
        self.newcomer.settle(topology)
        return effects + self._become_ready()

    def on_topology_stored(self, event: e.TopologyStored) -> list[Effect]:
        """A decision of this node is durable: live by it, and tell everyone."""
        home, topology = self.home, event.topology
        self.driver.deciding = False
        if topology is None:
            if self.seeker is not None:
                self.seeker.founding = False
            return [e.Report("ring", "ERROR", "the disk refused a change of the topology")]
        effects = self._enter(topology)
        record = topology.encode()
        if event.asker is not None:
            effects.append(e.answer(event.asker, m.TopologyReply(event.asker.id, record)))
        others = (mb.node_id for mb in topology.members if mb.node_id != home.node_id)
        return effects + [Send(peer, m.Announce(record)) for peer in others]

    def on_topology_request(self, peer: bytes, message: m.TopologyRequest) -> list[Effect]:
        """Somebody looks for the ring, or missed a change."""
        home = self.home
        if message.cluster != home.settings.cluster:
            text = f"this ring is {home.settings.cluster!r}, not {message.cluster!r}"
            return [Send(peer, m.JoinAnswer(message.id, m.JoinReason.MISMATCH, text))]
        if self.seeker is not None:
            return self.seeker.on_topology_request(Origin(peer, message.id))
        return [Send(peer, m.TopologyReply(message.id, self.topology_for(peer)))]

    def on_join_request(self, peer: bytes, message: m.JoinRequest) -> list[Effect]:
        """Somebody wants a place."""
        origin = Origin(peer, message.id)
        if self.seeker is not None:
            return self.seeker.on_join_request(self.home, origin, message)
        return self.driver.on_join_request(self.home, origin, message)

    def on_join_answer(self, peer: bytes, message: m.JoinAnswer) -> list[Effect]:
        """A place was not granted, yet or for ever."""
        if self.seeker is not None:
            return self.seeker.on_answer(self.home, peer, message)
        if message.reason in _FOR_GOOD:
            return [e.JoinFailed(message.reason, message.detail)]
        return []
