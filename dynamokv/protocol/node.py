"""The protocol core of a member: ``step(event) -> effects``. Dispatch only.

The decisions stand in the packages beside it.

Rules:
    - Pure: the same events on the same store, clock and random source give the same effects.
    - Requests of an older epoch are answered with the newer topology. Those of a newer epoch wait
      for it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, get_args

from dynamokv import limits
from dynamokv.merkle.messages import Answer, Question
from dynamokv.protocol import effects as e
from dynamokv.protocol.collecting.collector import Collector
from dynamokv.protocol.effects import Effect, Event, Origin, Send
from dynamokv.protocol.healing.exchanges import Exchanges
from dynamokv.protocol.healing.forest_building import Builder
from dynamokv.protocol.healing.handoff import Handoff, serve_hint
from dynamokv.protocol.membership import stopping, waiting
from dynamokv.protocol.membership.giving import Giver
from dynamokv.protocol.membership.lifecycle import Lifecycle
from dynamokv.protocol.membership.reachability import Reachability
from dynamokv.protocol.replica import serve_fetch, serve_replicate
from dynamokv.protocol.requests.forward import ForwardOp
from dynamokv.protocol.requests.get import GetOp
from dynamokv.protocol.requests.put import PutOp
from dynamokv.protocol.requests.table import Operation, RequestTable
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Topology
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import messages as m
from dynamokv.wire import rounds
from dynamokv.wire.probes import PROBES

EXPIRED = "its time was over when it was read"

ANSWERED = (m.Replicate, m.Hint, m.Fetch, m.PutRequest, m.GetRequest, *get_args(Question))
"""Requests whose asker has to hear that they never left."""

_Handler = Callable[[Any], list[Effect]]
_MessageHandler = Callable[[bytes, Any], list[Effect]]


class Node:
    """One member. Feed it events, carry out what it returns.

    Attributes:
        why_not_ready: what it waits for, for people.
    """

    def __init__(self, home: Home, stored_topology: Topology | None) -> None:
        self.home = home
        self.table = table = RequestTable(home)
        self.reach = reach = Reachability(home)
        self.life = life = Lifecycle(home, stored_topology, table.new_id, reach)
        self.why_not_ready: Callable[[], str] = lambda: waiting.why_not_ready(life)
        self.builder = Builder(home)
        self.exchanges = exchanges = Exchanges(home, table.new_id)
        self.handoff = handoff = Handoff(home, table.new_id)
        reach.on_return += [exchanges.on_return, handoff.on_return]
        self.collector = collector = Collector(home, home.forest, home.hints, table.new_id)
        self.giver = giver = Giver(home)
        self.parked: list[tuple[bytes, Any, float]] = []
        self._next_upkeep = 0.0
        self._handlers: dict[type[Any], _Handler] = {
            e.Request: lambda event: self._coordinate(Origin(e.LOCAL, event.ticket), event.message),
            e.Forget: lambda event: table.forget(event.ticket),
            e.Received: self._on_received,
            e.PeerUp: self._on_peer_up,
            e.PeerDown: self._on_peer_down,
            e.Undelivered: self._on_undelivered,
            e.Written: lambda event: table.reply(event.id, home.node_id, m.Replicated(event.id)),
            e.WriteFailed: self._on_write_failed,
            e.TopologyStored: life.on_topology_stored,
            e.IdentityStored: life.on_identity_stored,
            e.PageStored: life.newcomer.on_stored,
            e.ExchangeStored: exchanges.on_stored,
            e.HintsRefused: handoff.on_refused,
            e.HorizonsGone: home.horizons.on_gone,
            e.Passed: collector.on_passed,
            e.Tick: self._on_tick,
            e.Stop: lambda _: stopping.begin(home),
            e.LastWords: life.last_words,
        }
        self._messages: dict[type[Any], _MessageHandler] = {
            m.Replicate: self._serve(serve_replicate),
            m.Fetch: self._serve(serve_fetch),
            m.Scan: self._serve(lambda _, peer, message: giver.serve(peer, message)),
            m.Hint: self._serve(serve_hint),
            m.Filled: self._serve(lambda home, peer, _: life.driver.on_filled(home, peer)),
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
            m.Announce: life.on_announce,
            m.TopologyRequest: life.on_topology_request,
            m.TopologyReply: lambda peer, message: life.adopt(message.topology, peer),
            m.JoinRequest: life.on_join_request,
            m.JoinAnswer: life.on_join_answer,
            m.Identify: lambda peer, message: [
                Send(peer, m.Identified(message.id, home.node_id, home.epoch))
            ],
            m.Identified: lambda peer, message: life.driver.on_identified(home, peer, message),
            m.Scanned: life.newcomer.on_page,
            rounds.Round: self._serve(lambda _, *told: collector.serve_round(*told)),
            rounds.Agreed: collector.on_agreed,
            rounds.Horizons: collector.teller.on_horizons,
            m.WrongCluster: self._on_wrong_cluster,
            m.StatusRequest: lambda peer, message: [e.Describe(peer, message.id)],
            **dict.fromkeys(PROBES, reach.on_message),
            **dict.fromkeys(get_args(Question), self._serve(exchanges.on_question)),
            **dict.fromkeys(get_args(Answer), exchanges.on_reply),
        }

    @property
    def ready(self) -> bool:
        """Whether this member serves."""
        return self.life.ready

    def start(self) -> list[Effect]:
        """The first effects: make this life durable, and find the way back, or in."""
        home = self.home
        stored = self.life.stored_topology
        partitions = stored.partitions if stored is not None else limits.PARTITIONS_MAX
        home.horizons.load(forgot=home.store_forgot, partitions=partitions)
        home.hybrid.pass_by(home.horizons.floor)
        return home.horizons.before(self.life.start())

    def step(self, event: Event) -> list[Effect]:
        """What to do about an event."""
        effects = self.home.horizons.before(self._handlers[type(event)](event))
        if self.home.amnesia:
            effects += self.life.on_amnesia()
        if self.parked:
            effects += self._unparked()
        if self.life.replaced and self.table.operations:
            effects += self.table.give_up_reads()
        if self.home.closing or not self.life.identified:
            effects += self.home.forest.while_clean(effects, stopping=self.home.closing)
        return effects

    def next_deadline(self) -> float:
        """When the next ``Tick`` is due, in the clock's monotonic seconds."""
        if self.home.closing:
            return inf
        return min(
            self._next_upkeep,
            self.reach.next_deadline(),
            self.builder.due,
            self.exchanges.due,
            self.handoff.due,
            self.collector.due,
            self.giver.due,
            self.table.next_deadline(),
        )

    def _on_tick(self, tick: e.Tick) -> list[Effect]:
        if self.home.closing:
            return []
        now = self.home.clock.monotonic()
        self.home.load.pressure.tick(now, tick.lag)
        effects = self.table.expire(now) + self.reach.tick(now) + self.builder.tick(now)
        effects += self.exchanges.tick(now) + self.handoff.tick(now) + self.collector.tick(now)
        effects += self.giver.tick(now)
        if now < self._next_upkeep:
            return effects
        self._next_upkeep = now + (limits.UPKEEP_SECONDS if self.ready else limits.SEEK_SECONDS)
        self.parked = [entry for entry in self.parked if entry[2] > now]
        return effects + self.life.tick(now)

    # --- requests of the application and of clients -----------------------------------------------

    def _coordinate_for(self, home: Home, peer: bytes, message: Any) -> list[Effect]:
        if not self.ready or (type(message) is m.PutRequest and not home.writable):
            return [Send(peer, m.Refused(message.id, m.RefusedReason.NOT_READY, "not ready yet"))]
        return self._coordinate(Origin(peer, message.id), message)

    def _coordinate(self, origin: Origin, request: m.PutRequest | m.GetRequest) -> list[Effect]:
        home = self.home
        if self.life.replaced or home.closing:
            text = self.life.replaced or stopping.CLOSING
            failed = m.Failed(origin.id, m.FailedCode.UNAVAILABLE, 0, 0, [], text)
            return [e.answer(origin, failed)]
        assert home.topology is not None
        if home.topology.n < request.level < Consistency.ALL:
            text = f"consistency {request.level} cannot be met: the ring keeps n={home.topology.n}"
            return [e.answer(origin, m.Failed(origin.id, m.FailedCode.USAGE, 0, 0, [], text))]
        now = home.clock.monotonic()
        operation: Operation
        if type(request) is m.GetRequest:
            operation = GetOp(self.table.new_id(), origin, request, now)
        elif origin.peer == e.LOCAL and not (
            home.writable and home.node_id in home.locate(request.names[0])[1]
        ):
            deadline = now + request.budget_ms / 1000
            operation = ForwardOp(self.table.new_id(), origin, request, deadline)
        else:
            assert type(request) is m.PutRequest
            operation = PutOp(self.table.new_id(), origin, request, now)
        return self.table.start(operation, now)

    def _on_write_failed(self, event: e.WriteFailed) -> list[Effect]:
        self.handoff.recount()
        if self.home.writable:
            self.home.writable = False
            self.home.take_new_actor()
        # Whatever an engine says must fit the answer to a client.
        reason = event.reason[: limits.TEXT_BYTES_MAX // 2]
        return self.table.fail(event.id, self.home.node_id, reason, untouched=False)

    # --- messages ---------------------------------------------------------------------------------

    def _on_received(self, event: e.Received) -> list[Effect]:
        if self.home.closing:
            asks = isinstance(event.message, ANSWERED)
            return stopping.refuse(event.peer, event.message) if asks else []
        handler = self._messages.get(type(event.message))
        if handler is None:
            self.home.counters["unexpected_messages"] += 1
            return []
        return handler(event.peer, event.message)

    def _on_reply(self, peer: bytes, message: Any) -> list[Effect]:
        if message.id in self.exchanges.asked:
            return self.exchanges.on_reply(peer, message)
        if message.id in self.handoff.under_way:
            return self.handoff.on_reply(peer, message)
        if self.collector.catching_up.awaits(message.id):
            return self.collector.catching_up.on_reply(peer, message)
        return self.table.reply(message.id, peer, message)

    def _on_refused(self, peer: bytes, message: m.Refused) -> list[Effect]:
        if message.id in self.exchanges.asked:
            return self.exchanges.on_reply(peer, message)
        if message.id in self.handoff.under_way:
            return self.handoff.on_reply(peer, message)
        if self.collector.catching_up.awaits(message.id):
            return self.collector.catching_up.on_reply(peer, message)
        self.life.newcomer.on_refused(peer, message)
        return self.table.fail(message.id, peer, message.detail, untouched=True)

    def _serve(self, handler: Callable[[Home, bytes, Any], list[Effect]]) -> _MessageHandler:
        """Only requests of this node's own epoch reach the handler."""

        def serve(peer: bytes, message: Any) -> list[Effect]:
            home = self.home
            budget_ms = getattr(message, "budget_ms", 0)
            if budget_ms and home.load.transit.is_over(peer, budget_ms):
                home.load.transit.expired += 1
                return [Send(peer, m.Refused(message.id, m.RefusedReason.EXPIRED, EXPIRED))]
            if message.epoch == home.epoch and not self.life.replaced:
                return handler(home, peer, message)
            if home.topology is None or self.life.replaced:
                text = self.life.replaced or "no ring here yet"
                return [Send(peer, m.Refused(message.id, m.RefusedReason.NOT_READY, text))]
            if message.epoch < home.epoch:
                home.counters["stale_requests"] += 1
                return [Send(peer, m.Refresh(message.id, self.life.topology_for(peer)))]
            return self._park(peer, message)

        return serve

    def _on_refresh(self, peer: bytes, message: m.Refresh) -> list[Effect]:
        self.handoff.on_refresh(message.id, peer)
        return self.life.adopt(message.topology, peer) + self.table.restart(message.id, peer)

    def _park(self, peer: bytes, message: Any) -> list[Effect]:
        """The asker knows a newer ring: learn it first, then serve."""
        home = self.home
        if len(self.parked) >= limits.PARKED_MAX:
            home.counters["parked_dropped"] += 1
            return []
        budget = getattr(message, "budget_ms", 0) / 1000 or limits.FOUND_GRACE_SECONDS
        self.parked.append((peer, message, home.clock.monotonic() + budget))
        return [Send(peer, m.TopologyRequest(0, home.settings.cluster))]

    def _unparked(self) -> list[Effect]:
        """What waited for a topology that is here now, but for what waited too long. One step
        each, because one may build on what another writes."""
        epoch = self.home.epoch
        due = [entry for entry in self.parked if entry[1].epoch <= epoch]
        self.parked = [entry for entry in self.parked if entry[1].epoch > epoch]
        now = self.home.clock.monotonic()
        return [e.Again(e.Received(peer, message)) for peer, message, until in due if until > now]

    # --- peers ------------------------------------------------------------------------------------

    def _on_peer_up(self, event: e.PeerUp) -> list[Effect]:
        home, peer = self.home, NodeId(event.peer)
        if home.topology is None or home.topology.member(peer) is None:
            return self.life.on_link_up(peer)
        greeting = [
            Send(peer, m.Announce(home.topology.encode())),
            *self.collector.teller.show(peer),
        ]
        return [*greeting, *self.reach.on_link(peer, up=True), *self.life.newcomer.on_peer_up()]

    def _on_peer_down(self, event: e.PeerDown) -> list[Effect]:
        peer = NodeId(event.peer)
        effects = self.reach.on_link(peer, up=False)
        self.home.load.transit.forget(peer)
        self.giver.on_peer_down(peer)
        self.life.newcomer.on_peer_lost(peer)
        self.exchanges.on_peer_down(peer)
        self.handoff.on_peer_lost(peer)
        self.collector.catching_up.on_peer_down(peer)
        return effects + self.table.peer_down(peer)

    def _on_undelivered(self, event: e.Undelivered) -> list[Effect]:
        message = event.message
        if isinstance(message, PROBES):
            return self.reach.on_undelivered(NodeId(event.peer), message)
        self.home.counters["undelivered"] += 1
        if type(message) is m.Scan:
            self.life.newcomer.on_peer_lost(event.peer)
        if isinstance(message, ANSWERED):
            refused = m.Refused(message.id, m.RefusedReason.NOT_READY, "unreachable")
            return self._on_refused(event.peer, refused)
        return []

    def _on_wrong_cluster(self, peer: bytes, message: m.WrongCluster) -> list[Effect]:
        self.home.counters["wrong_cluster"] += 1
        text = f"the address of {peer.hex()} now belongs to another ring, {message.cluster!r}"
        return [e.Report("ring", "ERROR", text), *self._on_peer_down(e.PeerDown(peer))]
