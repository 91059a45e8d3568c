"""The protocol core of a member: ``step(event) -> effects``. Dispatch only; the decisions stand in
the files beside it.

Rules:
    - Pure: the same events on the same store, clock and random source give the same effects.
    - Nothing is minted before the identity row of this life is durable (``identity.py``).
    - Requests of an older epoch are answered with the newer topology. Those of a newer epoch wait
      for it.
    - When a peer proves that this store forgot a write of its own (``home.amnesia``), the next dot
      has a new actor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dynamokv import limits
from dynamokv.causality.hlc import time_at
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event, Origin, Send
from dynamokv.protocol.formation import Driver, Seeker, join_request, store
from dynamokv.protocol.forward import ForwardOp
from dynamokv.protocol.get import GetOp
from dynamokv.protocol.home import Home
from dynamokv.protocol.identity import Identity, new_actor
from dynamokv.protocol.put import PutOp
from dynamokv.protocol.replica import serve_fetch, serve_replicate, serve_scan
from dynamokv.protocol.requests import Operation, RequestTable
from dynamokv.protocol.transfer import Fill
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m

_Handler = Callable[[Any], list[Effect]]
_MessageHandler = Callable[[bytes, Any], list[Effect]]


class Node:
    """One member. Feed it events, carry out what it returns."""

    def __init__(self, home: Home, stored_topology: Topology | None) -> None:
        self.home = home
        self.table = RequestTable(home)
        self.driver = Driver()
        self.seeker: Seeker | None = None
        self.fill: Fill | None = None
        self.ready = False
        self.parked: list[tuple[bytes, Any, float]] = []
        self._stored_topology = stored_topology
        self._identified = False
        self._raising = False
        self._next_upkeep = 0.0
        self._handlers: dict[type[Any], _Handler] = {
            e.Request: lambda event: self._coordinate(Origin(e.LOCAL, event.ticket), event.message),
            e.Received: self._on_received,
            e.Written: lambda event: self.table.reply(
                event.id, home.node_id, m.Replicated(event.id)
            ),
            e.WriteFailed: self._on_write_failed,
            e.Forget: self._on_forget,
            e.PeerUp: self._on_peer_up,
            e.PeerDown: self._on_peer_down,
            e.Undelivered: self._on_undelivered,
            e.TopologyStored: self._on_topology_stored,
            e.IdentityStored: self._on_identity_stored,
            e.PageStored: self._on_page_stored,
            e.Tick: self._on_tick,
            e.Stop: lambda _: [self._identity(clean=True)],
        }
        self._messages: dict[type[Any], _MessageHandler] = {
            m.Replicate: self._serve(serve_replicate),
            m.Fetch: self._serve(serve_fetch),
            m.Scan: self._serve(serve_scan),
            m.Filled: self._serve(lambda home, peer, _: self.driver.on_filled(home, peer)),
            m.PutRequest: self._serve(self._coordinate_for),
            m.GetRequest: self._serve(self._coordinate_for),
            m.Replicated: self._on_reply,
            m.Fetched: self._on_reply,
            m.Same: self._on_reply,
            m.PutDone: self._on_reply,
            m.GetDone: self._on_reply,
            m.Failed: self._on_reply,
            m.Refused: self._on_refused,
            m.Refresh: self._on_refresh,
            m.Announce: self._on_announce,
            m.TopologyRequest: self._on_topology_request,
            m.TopologyReply: lambda peer, message: self._adopt(message.topology, peer),
            m.JoinRequest: self._on_join_request,
            m.JoinAnswer: self._on_join_answer,
            m.Scanned: self._on_scanned,
            m.WrongCluster: self._on_wrong_cluster,
            m.StatusRequest: lambda peer, message: [e.Describe(peer, message.id)],
        }

    # --- the life of a node -----------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """The first effects: make this life durable, and find the way back, or in."""
        effects: list[Effect] = [self._identity()]
        if self._stored_topology is not None:
            return effects + self._enter(self._stored_topology)
        self.seeker = Seeker(self.home, self.home.clock.monotonic())
        return effects + self.seeker.connect()

    def step(self, event: Event) -> list[Effect]:
        """What to do about an event."""
        effects = self._handlers[type(event)](event)
        if self.home.amnesia:
            effects += self._new_actor()
        return effects

    def next_deadline(self) -> float:
        """When the next ``Tick`` is due, in the clock's monotonic seconds."""
        due = self._next_upkeep
        requests = self.table.next_deadline()
        return due if requests is None else min(due, requests)

    def _on_tick(self, _: e.Tick) -> list[Effect]:
        now = self.home.clock.monotonic()
        effects = self.table.expire(now)
        if now < self._next_upkeep:
            return effects
        self._next_upkeep = now + (limits.UPKEEP_SECONDS if self.ready else limits.SEEK_SECONDS)
        half = time_at(self.home.clock.wall_ms() + limits.CLOCK_CEILING_STEP_MS // 2)
        if not self._raising and self.home.hybrid.ceiling < half:
            effects.append(self._identity())
        self.parked = [entry for entry in self.parked if entry[2] > now]
        if self.seeker is not None:
            return effects + self.seeker.tick(self.home, now)
        if self.fill is not None:
            effects += self._continue_fill(self.fill)
        return effects + self._correct_address()

    def _identity(self, *, clean: bool = False) -> Effect:
        home = self.home
        self._raising = True
        ceiling = time_at(home.clock.wall_ms() + limits.CLOCK_CEILING_STEP_MS)
        ceiling = home.hybrid.last if clean else max(ceiling, home.hybrid.ceiling, home.hybrid.last)
        row = (row_keys.IDENTITY_ROW, Identity(home.node_id, home.actor, clean, ceiling).encode())
        return e.Write([row], e.IdentityStored(ceiling), e.IdentityStored(None), synced=True)

    def _on_identity_stored(self, event: e.IdentityStored) -> list[Effect]:
        self._identified = False
        self._raising = False
        if event.ceiling is None:
            return [e.Report("storage", "ERROR", "the disk refused the identity row")]
        self.home.hybrid.raise_ceiling(event.ceiling)
        self._identified = True
        return self._become_ready()

    def _new_actor(self) -> list[Effect]:
        home = self.home
        home.amnesia = False
        home.actor = new_actor(home.rng)
        home.counters["amnesia"] += 1
        text = "a peer knows a write of this node that its store does not hold: new actor minted"
        return [self._identity(), e.Report("storage", "WARNING", text)]

    def _become_ready(self) -> list[Effect]:
        """Ready once: in a topology, whole, and with an identity that is durable."""
        home = self.home
        if self.ready or not self._identified or home.topology is None or self.fill is not None:
            return []
        self.ready = True
        return [e.Ready()]

    # --- requests of the application and of clients -----------------------------------------------

    def _coordinate_for(self, home: Home, peer: bytes, message: Any) -> list[Effect]:
        if not self.ready:
            return [Send(peer, m.Refused(message.id, m.RefusedReason.NOT_READY, "not ready yet"))]
        return self._coordinate(Origin(peer, message.id), message)

    def _coordinate(self, origin: Origin, request: m.PutRequest | m.GetRequest) -> list[Effect]:
        home = self.home
        if len(self.table.operations) >= home.settings.in_flight_max:
            home.counters["overloaded"] += 1
            text = f"{home.settings.in_flight_max} requests are under way"
            return [e.answer(origin, m.Failed(origin.id, m.FailedCode.OVERLOADED, 0, 0, [], text))]
        now = home.clock.monotonic()
        operation: Operation
        if type(request) is m.GetRequest:
            operation = GetOp(self.table.new_id(), origin, request, now)
        elif origin.peer == e.LOCAL and home.node_id not in home.locate(request.names[0])[1]:
            deadline = now + request.budget_ms / 1000
            operation = ForwardOp(self.table.new_id(), origin, request, deadline)
        else:
            assert type(request) is m.PutRequest
            operation = PutOp(self.table.new_id(), origin, request, now)
        return self.table.start(operation)

    def _on_forget(self, event: e.Forget) -> list[Effect]:
        self.table.forget(event.ticket)
        return []

    def _on_write_failed(self, event: e.WriteFailed) -> list[Effect]:
        return self.table.fail(event.id, self.home.node_id, event.reason, untouched=False)

    # --- messages ---------------------------------------------------------------------------------

    def _on_received(self, event: e.Received) -> list[Effect]:
        handler = self._messages.get(type(event.message))
        if handler is None:
            self.home.counters["unexpected_messages"] += 1
            return []
        return handler(event.peer, event.message)

    def _on_reply(self, peer: bytes, message: Any) -> list[Effect]:
        return self.table.reply(message.id, peer, message)

    def _on_refused(self, peer: bytes, message: m.Refused) -> list[Effect]:
        return self.table.fail(message.id, peer, message.detail, untouched=True)

    def _serve(self, handler: Callable[[Home, bytes, Any], list[Effect]]) -> _MessageHandler:
        """Only requests of this node's own epoch reach the handler."""

        def serve(peer: bytes, message: Any) -> list[Effect]:
            home = self.home
            if message.epoch == home.epoch:
                return handler(home, peer, message)
            if home.topology is None:
                return [
                    Send(peer, m.Refused(message.id, m.RefusedReason.NOT_READY, "no ring here yet"))
                ]
            if message.epoch < home.epoch:
                home.counters["stale_requests"] += 1
                return [Send(peer, m.Refresh(message.id, self._topology_for(peer)))]
            return self._park(peer, message)

        return serve

    def _park(self, peer: bytes, message: Any) -> list[Effect]:
        """The asker knows a newer ring: learn it first, then serve."""
        home = self.home
        if len(self.parked) >= limits.PARKED_MAX:
            home.counters["parked_dropped"] += 1
            return []
        budget = getattr(message, "budget_ms", 0) / 1000 or limits.FOUND_GRACE_SECONDS
        self.parked.append((peer, message, home.clock.monotonic() + budget))
        return [Send(peer, m.TopologyRequest(0, home.settings.cluster))]

    # --- topology ---------------------------------------------------------------------------------

    def _topology_for(self, peer: bytes) -> list[Any]:
        """The record for this peer: secrets are for members."""
        topology = self.home.topology
        assert topology is not None
        member = topology.member(NodeId(peer)) is not None
        return (topology if member else topology.without_secrets()).encode()

    def _on_refresh(self, peer: bytes, message: m.Refresh) -> list[Effect]:
        effects = self._adopt(message.topology, peer)
        return effects + self.table.restart(message.id)

    def _on_announce(self, peer: bytes, message: m.Announce) -> list[Effect]:
        """Members say so when their link to this node works, and when there is a new topology."""
        self.home.greeted_by.add(NodeId(peer))
        return self._adopt(message.topology, peer)

    def _adopt(self, fields: list[Any], peer: bytes) -> list[Effect]:
        """Take over a newer topology of this ring, from whoever has it."""
        home = self.home
        try:
            topology = Topology.decode(fields)
        except ValueError as error:
            home.counters["poison_records"] += 1
            return [e.Report("ring", "ERROR", f"damaged topology from {peer.hex()}: {error}")]
        if home.topology is None:
            if topology.member(home.node_id) is None:
                return self.seeker.on_topology(home, topology) if self.seeker else []
        elif topology.cluster_id != home.topology.cluster_id or topology.epoch <= home.epoch:
            return []
        if not topology.context_key:
            return []
        return [store(topology)._replace(then=None, otherwise=None), *self._enter(topology)]

    def _enter(self, topology: Topology) -> list[Effect]:
        """From now on this is the ring."""
        home = self.home
        old = {mb.node_id: mb.address for mb in home.topology.members} if home.topology else {}
        home.adopt(topology)
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
        if topology.change == home.node_id and not self.ready:
            self.fill = Fill(home, self.table.new_id())
        elif self.fill is not None and topology.change != home.node_id:
            self.fill = None
        parked, self.parked = self.parked, []
        for peer, message, _ in parked:
            effects += self._messages[type(message)](peer, message)
        return effects + self._become_ready()

    def _on_topology_stored(self, event: e.TopologyStored) -> list[Effect]:
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

    def _on_topology_request(self, peer: bytes, message: m.TopologyRequest) -> list[Effect]:
        home = self.home
        if message.cluster != home.settings.cluster:
            text = f"this ring is {home.settings.cluster!r}, not {message.cluster!r}"
            return [Send(peer, m.JoinAnswer(message.id, m.JoinReason.MISMATCH, text))]
        if home.topology is None:
            return [Send(peer, m.JoinAnswer(message.id, m.JoinReason.NO_RING, "no ring here yet"))]
        return [Send(peer, m.TopologyReply(message.id, self._topology_for(peer)))]

    def _on_join_request(self, peer: bytes, message: m.JoinRequest) -> list[Effect]:
        origin = Origin(peer, message.id)
        if self.seeker is not None:
            return self.seeker.on_join_request(self.home, origin, message)
        return self.driver.on_join_request(self.home, origin, message)

    def _on_join_answer(self, peer: bytes, message: m.JoinAnswer) -> list[Effect]:
        if self.seeker is not None:
            return self.seeker.on_answer(self.home, peer, message)
        if message.reason in (m.JoinReason.DUPLICATE, m.JoinReason.MISMATCH):
            return [e.JoinFailed(message.reason, message.detail)]
        return []

    def _correct_address(self) -> list[Effect]:
        """This node came back at another address than the record says: ask the driver to put it
        right."""
        home = self.home
        assert home.topology is not None
        mine = home.topology.member(home.node_id)
        if mine is None or mine.address == home.settings.address or self.driver.deciding:
            return []
        driver = home.topology.members[0].node_id
        if driver != home.node_id:
            return [Send(driver, join_request(home))]
        moved = type(mine)(mine.node_id, home.settings.address, mine.zone, mine.weight)
        self.driver.deciding = True
        return [store(home.topology.with_member(moved))]

    # --- the newcomer's copy ----------------------------------------------------------------------

    def _continue_fill(self, fill: Fill) -> list[Effect]:
        home = self.home
        if fill.whole(home):
            assert home.topology is not None
            return [Send(home.topology.members[0].node_id, m.Filled(0, home.epoch))]
        return fill.ask(home)

    def _on_scanned(self, peer: bytes, message: m.Scanned) -> list[Effect]:
        if self.fill is None:
            return []
        try:
            return self.fill.on_page(self.home, peer, message)
        except ValueError as error:
            self.home.counters["poison_records"] += 1
            self.fill.on_lost(peer)
            return [e.Report("transfer", "ERROR", f"damaged page from {peer.hex()}: {error}")]

    def _on_page_stored(self, event: e.PageStored) -> list[Effect]:
        if self.fill is None:
            return []
        self.fill.on_stored(event.peer, event.next)
        return self._continue_fill(self.fill) if event.next is not None else []

    # --- peers ------------------------------------------------------------------------------------

    def _on_peer_up(self, event: e.PeerUp) -> list[Effect]:
        home, peer = self.home, NodeId(event.peer)
        if home.topology is None or home.topology.member(peer) is None:
            return []
        home.up.add(peer)
        if peer in home.seen_up:
            home.returned[peer] = home.clock.monotonic()
        home.seen_up.add(peer)
        effects: list[Effect] = [Send(peer, m.Announce(home.topology.encode()))]
        return effects + (self.fill.ask(home) if self.fill is not None else [])

    def _on_peer_down(self, event: e.PeerDown) -> list[Effect]:
        peer = NodeId(event.peer)
        self.home.up.discard(peer)
        if self.fill is not None:
            self.fill.on_lost(peer)
        return self.table.peer_down(peer)

    def _on_undelivered(self, event: e.Undelivered) -> list[Effect]:
        message = event.message
        self.home.counters["undelivered"] += 1
        if type(message) is m.Scan and self.fill is not None:
            self.fill.on_lost(event.peer)
        if isinstance(message, (m.Replicate, m.Fetch, m.PutRequest, m.GetRequest)):
            return self.table.fail(message.id, event.peer, "unreachable", untouched=True)
        return []

    def _on_wrong_cluster(self, peer: bytes, message: m.WrongCluster) -> list[Effect]:
        self.home.counters["wrong_cluster"] += 1
        text = f"the address of {peer.hex()} now belongs to another ring, {message.cluster!r}"
        return [e.Report("ring", "ERROR", text), *self._on_peer_down(e.PeerDown(peer))]
