"""The protocol core of a client: a node that owns nothing, so every request is passed on to an
owner.

Rules:
    - The seeds are kept for ever. While no member can be reached, they are asked for the topology
      again, and while some cannot be reached, one of the others is. So a client finds its ring even
      after every member has moved.
    - A newer topology is taken over from any answer that carries one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event, Origin, Send
from dynamokv.protocol.requests.forward import ForwardOp
from dynamokv.protocol.requests.table import RequestTable
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId
from dynamokv.wire import messages as m


class ClientNode:
    """One client. Feed it events, carry out what it returns."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.table = RequestTable(home)
        self.ready = False
        self._seeds = [seed.encode() for seed in home.settings.seeds]
        self._next_ask = 0.0
        self._handlers: dict[type[Any], Callable[[Any], list[Effect]]] = {
            e.Request: self._on_request,
            e.Received: self._on_received,
            e.Forget: lambda event: self.table.forget(event.ticket),
            e.PeerUp: self._on_peer_up,
            e.PeerDown: self._on_peer_down,
            e.Undelivered: self._on_undelivered,
            e.Tick: self._on_tick,
        }

    def start(self) -> list[Effect]:
        """Links to the seeds, known by their addresses until a topology names them."""
        return [e.Connect(seed, seed.decode()) for seed in self._seeds]

    def step(self, event: Event) -> list[Effect]:
        """What to do about an event."""
        return self._handlers[type(event)](event)

    def why_not_ready(self) -> str:
        """What this client waits for, for people."""
        asked = ", ".join(self.home.settings.seeds)
        return (
            f"no member answered at {asked}: is one of them running, can it be reached from here, "
            "and is it ready itself?"
        )

    def next_deadline(self) -> float:
        """When the next ``Tick`` is due, in the clock's monotonic seconds."""
        return min(self._next_ask, self.table.next_deadline())

    def _on_request(self, event: e.Request) -> list[Effect]:
        origin = Origin(e.LOCAL, event.ticket)
        now = self.home.clock.monotonic()
        deadline = now + event.message.budget_ms / 1000
        operation = ForwardOp(self.table.new_id(), origin, event.message, deadline)
        return self.table.start(operation, now)

    def _on_received(self, event: e.Received) -> list[Effect]:
        peer, message = event
        if isinstance(message, (m.PutDone, m.GetDone, m.Failed, m.StatusReply)):
            return self.table.reply(message.id, peer, message)
        if type(message) is m.Refused:
            return self.table.fail(message.id, peer, message.detail, untouched=True)
        if type(message) is m.Refresh:
            return self._adopt(message.topology) + self.table.restart(message.id, peer)
        if isinstance(message, (m.TopologyReply, m.Announce)):
            return self._adopt(message.topology)
        if type(message) is m.JoinAnswer:
            if message.reason != m.JoinReason.MISMATCH:
                return []
            return [e.JoinFailed(message.reason, message.detail)]
        if type(message) is m.WrongCluster:
            return self._on_peer_down(e.PeerDown(peer))
        self.home.counters["unexpected_messages"] += 1
        return []

    def _adopt(self, fields: list[Any]) -> list[Effect]:
        home = self.home
        try:
            topology = Topology.decode(fields)
        except ValueError as error:
            home.counters["poison_records"] += 1
            return [e.Report("ring", "ERROR", f"damaged topology: {error}")]
        if home.topology is not None and (
            topology.cluster_id != home.topology.cluster_id or topology.epoch <= home.epoch
        ):
            return []
        old = {mb.node_id: mb.address for mb in home.topology.members} if home.topology else {}
        new = {mb.node_id: mb.address for mb in topology.members}
        home.adopt(topology)
        effects: list[Effect] = [e.Disconnect(peer) for peer in old if peer not in new]
        effects += [
            e.Connect(peer, address) for peer, address in new.items() if old.get(peer) != address
        ]
        if not self.ready:
            self.ready = True
            effects.append(e.Ready())
        return effects

    def _on_peer_up(self, event: e.PeerUp) -> list[Effect]:
        topology = self.home.topology
        if topology is None:
            return [Send(event.peer, m.TopologyRequest(0, self.home.settings.cluster))]
        if topology.member(NodeId(event.peer)):
            self.home.linked.add(NodeId(event.peer))
            self.home.up.add(NodeId(event.peer))
        return []

    def _on_peer_down(self, event: e.PeerDown) -> list[Effect]:
        self.home.linked.discard(NodeId(event.peer))
        self.home.up.discard(NodeId(event.peer))
        return self.table.peer_down(event.peer)

    def _on_undelivered(self, event: e.Undelivered) -> list[Effect]:
        self.home.counters["undelivered"] += 1
        if isinstance(event.message, (m.PutRequest, m.GetRequest, m.StatusRequest)):
            return self.table.fail(event.message.id, event.peer, "unreachable", untouched=True)
        return []

    def _on_tick(self, _: e.Tick) -> list[Effect]:
        now = self.home.clock.monotonic()
        effects = self.table.expire(now)
        if now < self._next_ask:
            return effects
        home = self.home
        members = home.topology.members if home.topology is not None else ()
        up = [member.node_id for member in members if member.node_id in home.up]
        self._next_ask = now + (limits.UPKEEP_SECONDS if up else limits.SEEK_SECONDS)
        request = m.TopologyRequest(0, home.settings.cluster)
        if not up:
            effects += [Send(seed, request) for seed in self._seeds]
        elif len(up) < len(members):
            # Whoever is missing may have moved, and somebody who is here knows where to.
            effects.append(Send(up[int(home.rng.random() * len(up))], request))
        return effects
