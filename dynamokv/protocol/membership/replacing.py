"""Taking a dead member's place: who stands at an address is asked there, not guessed.

A member that lost its store, or never had one on disk, comes back at its address under a new id. It
asks for a place, and gets exactly the one that its former self had.

Rules:
    - Only for whoever asks from the very address of a member, and only when it is proven to be
      there: the question is sent to that address, and its answer names the asker. That a link works
      proves only that somebody listens. If the member itself answers, it lives: refused. If nobody
      does, nothing is decided.
    - The first member decides, as it does about everything. About its own place the second one
      does, and nobody else: two that decide could make two different rings of one epoch. What the
      first one decided last may be known to a single other member, so the second waits until all
      of them have said that they know no newer ring.
    - One change at a time. But a replacement that was lost while it was filled is replaced itself:
      nothing ever counted on it.
    - Who asks from elsewhere under the id of a member may be that member, gone from its old address
      a moment ago, or run on a copy of its data directory. So the old address is asked as well; who
      answers there lives. So does who does not answer, while heartbeats keep the link up.
    - Who was replaced never gets a place under its old id again: it missed what was acknowledged
      since.
"""

from __future__ import annotations

from dataclasses import dataclass

from dynamokv import limits
from dynamokv.protocol.effects import Effect, JoinFailed, Origin, Report, Send
from dynamokv.protocol.membership.decisions import alive, filling, no, store, taken
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Member, Topology
from dynamokv.types import NodeId
from dynamokv.wire.messages import (
    Identified,
    Identify,
    JoinReason,
    JoinRequest,
    TopologyRequest,
)


def decider(topology: Topology, holder: Member | None) -> Member:
    """Who decides about a place; ``holder``: the member that has it in the record."""
    first, *others = topology.members
    return others[0] if others and holder is first else first


def replaced(home: Home, topology: Topology) -> tuple[str, list[Effect]]:
    """What is to be said, and done, when this node learns that somebody has its place."""
    text = (
        f"member {home.node_id.hex()[:8]} was replaced while it was away, in epoch "
        f"{topology.epoch} or before; its data directory is of no use any more: start with an "
        "empty one"
    )
    kept = store(topology)._replace(then=None, otherwise=None)
    return text, [kept, JoinFailed(JoinReason.REPLACED, text)]


@dataclass(slots=True)
class Question:
    """Whether ``request`` comes from where ``holder`` was, or ``holder`` is still there: asked in
    ``epoch``, since ``began``, under ``id``; ``waiting``: who still has to answer."""

    request: JoinRequest
    origin: Origin
    holder: Member
    epoch: int
    began: float
    id: int
    waiting: list[NodeId]


class Replacing:
    """What was asked about the places of members, by who wants them."""

    def __init__(self) -> None:
        self.questions: dict[bytes, Question] = {}

    def ask(self, home: Home, origin: Origin, holder: Member, request: JoinRequest) -> list[Effect]:
        """Somebody wants the place of a member, at its address: find out who is there."""
        topology = home.topology
        assert topology is not None
        if topology.change not in (None, holder.node_id):
            return no(origin, JoinReason.BUSY, filling(topology))
        if any(request.node_id == member.place for member in topology.members):
            text = f"{request.node_id.hex()[:8]} was replaced: start with an empty data directory"
            return no(origin, JoinReason.REPLACED, text)
        question = self._question(home, topology, origin, holder, request)
        silent = ", ".join(m.address for m in topology.members if m.node_id in question.waiting)
        text = f"asking who is at {holder.address}; no answer from {silent}"
        return [
            *no(origin, JoinReason.BUSY, text),
            *(Send(peer, Identify(question.id)) for peer in question.waiting),
        ]

    def ask_old_place(
        self, home: Home, origin: Origin, member: Member, request: JoinRequest
    ) -> list[Effect]:
        """A member asks from elsewhere, and the link to its old address is up: find out whether
        somebody is still there."""
        topology = home.topology
        assert topology is not None
        question = self._question(home, topology, origin, member, request)
        lasted = home.clock.monotonic() - question.began
        if lasted >= 2 * limits.OLD_PLACE_SECONDS:
            # Another time: whoever is told that it is a copy does not ask again.
            question = self._new(home, topology, origin, member, request)
        elif lasted >= limits.OLD_PLACE_SECONDS:
            return no(origin, JoinReason.DUPLICATE, alive(member))
        return [
            *no(origin, JoinReason.BUSY, f"asking whether it still is at {member.address}"),
            Send(member.node_id, Identify(question.id)),
        ]

    def _question(
        self, home: Home, topology: Topology, origin: Origin, holder: Member, request: JoinRequest
    ) -> Question:
        """The one that was asked already, or a new one."""
        question = self.questions.get(request.node_id)
        if question is None or question.epoch != home.epoch or question.holder != holder:
            question = self._new(home, topology, origin, holder, request)
        question.origin = origin
        return question

    def _new(
        self, home: Home, topology: Topology, origin: Origin, holder: Member, request: JoinRequest
    ) -> Question:
        waiting = [holder.node_id]
        if holder is topology.members[0]:
            waiting += [m.node_id for m in topology.members[1:] if m.node_id != home.node_id]
        id = int.from_bytes(home.rng.randbytes(6))
        began = home.clock.monotonic()
        question = Question(request, origin, holder, home.epoch, began, id, waiting)
        self.questions.pop(request.node_id, None)
        if len(self.questions) >= limits.PLACE_QUESTIONS_MAX:
            del self.questions[next(iter(self.questions))]
        self.questions[request.node_id] = question
        return question

    def on_identified(self, home: Home, peer: bytes, message: Identified) -> list[Effect]:
        """Somebody says who it is; a decision, when it was the last to be waited for."""
        question = next((q for q in self.questions.values() if q.id == message.id), None)
        if question is None or question.epoch != home.epoch or peer not in question.waiting:
            return []
        holder, request = question.holder, question.request
        if peer == holder.node_id:
            if message.node_id == holder.node_id:
                del self.questions[request.node_id]
                itself = request.node_id == holder.node_id
                why = alive(holder) if itself else taken(holder)
                return no(question.origin, JoinReason.DUPLICATE, why)
            if message.node_id != request.node_id:
                return []
        elif message.node_id != peer or message.epoch < home.epoch:
            return []
        elif message.epoch > home.epoch:
            return [Send(peer, TopologyRequest(0, home.settings.cluster))]
        question.waiting.remove(NodeId(peer))
        return [] if question.waiting else self._decide(home, question)

    def _decide(self, home: Home, question: Question) -> list[Effect]:
        topology, holder, new = home.topology, question.holder, NodeId(question.request.node_id)
        assert topology is not None
        self.questions.clear()
        home.counters["members_replaced"] += 1
        text = (
            f"member {holder.node_id.hex()[:8]} is replaced by {new.hex()[:8]}, which is at its "
            f"address {holder.address} without its data, and is filled from the others"
        )
        decided = topology.replaced(holder.node_id, new, holder.address)
        return [Report("ring", "WARNING", text), store(decided, question.origin)]
