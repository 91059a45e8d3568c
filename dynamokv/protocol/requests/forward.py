"""A request passed on to an owner: by a client, which owns nothing, or by a member that holds no
copy of the key, or whose disk refuses writes.

Rules:
    - Writes of a key go to the same owner, its first one, as long as that serves; reads go round.
    - Owners that are slow, or owe this process an answer for long, are tried last. A client knows
      no verdicts, so this is how it finds its way round a member that is held up.
    - A read that is late is asked of the next owner as well: the first one would have hedged it by
      now, so it is that one which does not answer.
    - One hop: the owner coordinates, and its answer goes back as it is.
    - A read that got no answer is asked again, of the next owner. A write is passed on again only
      when it certainly was not applied: it never left, or it was refused before any work. Otherwise
      it is ``INDETERMINATE``: applied twice, it could undo a write that came in between.
    - Every owner gets one try for each topology, and all of it happens within one deadline.
    - An owner that is overloaded sends one request on to the next only as far as a budget goes: a
      tenth of the requests. Retries that grow with the load keep a ring down. Nobody waits before a
      retry, so there is nothing to spread by chance.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from dynamokv import limits
from dynamokv.protocol.effects import Effect, Origin, Send, answer
from dynamokv.protocol.requests.batch import first_owner
from dynamokv.protocol.state.home import Home
from dynamokv.types import NodeId
from dynamokv.wire.messages import (
    Failed,
    FailedCode,
    GetDone,
    GetRequest,
    Message,
    PutDone,
    PutRequest,
    StatusReply,
    StatusRequest,
)

Forwarded: TypeAlias = PutRequest | GetRequest | StatusRequest

MILLISECOND: Final = 0.001
"""What budgets are told in: an owner may take one for over that is not, by less than this."""

_NOT_DONE = (FailedCode.OVERLOADED, FailedCode.UNAVAILABLE, FailedCode.READ_FAILED)


class ForwardOp:
    """One request on its way to an owner."""

    def __init__(self, id: int, origin: Origin, request: Forwarded, deadline: float) -> None:
        self.id = id
        self.origin = origin
        self.request = request
        self.deadline = self.turn = deadline
        self.replied = self.done = False
        self.epoch = 0
        self.starts = 0
        self.asked: list[NodeId] = []
        self.untried: list[NodeId] = []
        self.failures: list[str] = []
        self.refusal: Failed | None = None
        self.short: list[NodeId] = []

    def start(self, home: Home) -> list[Effect]:
        """Send it to an owner that is up."""
        self.epoch = home.epoch
        self.starts += 1
        home.load.retries.earn()
        owners = self._candidates(home)
        if not owners:
            return self._end(FailedCode.USAGE, "the names of one request must have the same owners")
        if self.starts > limits.RESTARTS_MAX:
            return self._end(FailedCode.UNAVAILABLE, "the topology kept changing")
        now, credit = home.clock.monotonic(), home.load.credit
        if type(self.request) is PutRequest:
            # A write without a context replaces what its coordinator holds. Were the writes of a
            # key to go round, one that follows another might meet an owner that lacks that yet.
            turn = owners.index(first_owner(home, self.request.names[0]))
        else:
            turn = self.id % len(owners)
        self.untried = sorted(
            [*owners[turn:], *owners[:turn]],
            key=lambda owner: (credit.is_silent(owner, now), owner in home.slow),
        )
        self.asked = []
        if type(self.request) is not PutRequest:
            self.turn = now + limits.FORWARD_LATE_SECONDS
            home.load.hedging.budget.earn()
        self.failures = [f"{owner.hex()[:8]} (down)" for owner in owners if not home.is_up(owner)]
        if home.node_id in owners:
            self.failures.append(f"{home.node_id.hex()[:8]} (its disk refuses writes)")
        return self._next(home)

    def on_reply(self, home: Home, peer: bytes, message: Message) -> list[Effect]:
        """The owner's answer. One that is overloaded, or cannot reach the others (it may have been
        frozen until now), did nothing, so another may do it. A read that it could not end either
        was never done."""
        if peer not in self.asked:
            return []
        if type(message) is Failed and message.code in _NOT_DONE:
            self.refusal = message
            if message.code == FailedCode.OVERLOADED and not home.load.retries.spend(1):
                self.untried.clear()
            return self._try_another(home, peer, message.detail)
        if not isinstance(message, (PutDone, GetDone, Failed, StatusReply)):
            return self.on_failure(home, peer, "answered another question", untouched=False)
        self.done = True
        return [answer(self.origin, message._replace(id=self.origin.id))]

    def on_failure(self, home: Home, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        """The owner will not answer."""
        if peer not in self.asked:
            return []
        if not untouched and type(self.request) is PutRequest:
            self.failures.append(f"{peer.hex()[:8]} ({reason})")
            return self._end(FailedCode.INDETERMINATE, "the coordinator was lost while it worked")
        return self._try_another(home, peer, reason)

    def on_timer(self, home: Home, now: float) -> list[Effect]:
        """Early: a read that is late is asked of the next owner as well, as far as the budget for
        hedges goes. At the deadline: give up."""
        if now < self.deadline:
            self.turn = now + limits.FORWARD_LATE_SECONDS
            if not self.untried or not home.load.hedging.budget.spend(1):
                return []
            home.counters["hedged_forwards"] += 1
            return self._next(home)
        self.failures += [f"{owner.hex()[:8]} (no answer in time)" for owner in self.asked]
        write = type(self.request) is PutRequest
        return self._end(FailedCode.INDETERMINATE if write else FailedCode.READ_FAILED, "")

    def waits_for(self, peer: bytes) -> bool:
        """Whether this owner has the request."""
        return peer in self.asked

    def _candidates(self, home: Home) -> tuple[NodeId, ...]:
        """Who may serve it: the owners of its names, or, to be asked for its status, any member."""
        if isinstance(self.request, StatusRequest):
            assert home.topology is not None
            return tuple(member.node_id for member in home.topology.members)
        return home.locate_all(self.request.names)[1] or ()

    def _try_another(self, home: Home, peer: bytes, reason: str) -> list[Effect]:
        self.asked.remove(NodeId(peer))
        self.failures.append(f"{peer.hex()[:8]} ({reason})")
        return self._next(home)

    def _next(self, home: Home) -> list[Effect]:
        left = self.deadline - home.clock.monotonic()
        while self.untried and left > 0:
            owner = self.untried.pop(0)
            if owner == home.node_id or not home.is_up(owner):
                continue
            if why_not := home.why_not(owner):
                self.failures.append(f"{owner.hex()[:8]} ({why_not.value})")
                self.short.append(owner)
            else:
                self.asked.append(owner)
                budget_ms = max(1, round(left * 1000))
                request = self.request._replace(id=self.id, epoch=home.epoch, budget_ms=budget_ms)
                return [Send(owner, request)]
        if self.asked:
            return []
        if self.refusal is not None:
            self.done = True
            return [answer(self.origin, self.refusal._replace(id=self.origin.id))]
        if left < MILLISECOND and type(self.request) is not PutRequest:
            # Whoever refused it did so because it was late. Of a write that says more.
            return self._end(FailedCode.READ_FAILED, "")
        if self.short:
            return self._end(*home.overloaded(home.load.credit.refusal(self.short)))
        return self._end(FailedCode.UNAVAILABLE, "no owner of this key took the request")

    def _end(self, code: FailedCode, detail: str) -> list[Effect]:
        self.done = True
        return [answer(self.origin, Failed(self.origin.id, code, 1, 0, self.failures, detail))]
