"""The requests under way, and their timers: one table, used by members and by clients.

A request is a small object with the same verbs (``Operation``). The table finds it by id, passes it
what concerns it, and drops it once it is done. Replies to ids that are not in the table are
dropped, so that no caller gets another's reply.

It is also where requests are let in (``load/admission.py``), and where what they ask of peers takes
credit (``load/credit.py``): a question without credit fails at once, as if its peer were
unreachable.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import Any, Protocol

from dynamokv.protocol.effects import Effect, Origin, Send, answer
from dynamokv.protocol.load.admission import BEHIND
from dynamokv.protocol.state.home import Home, NotAsked
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message
from dynamokv.wire.weight import weight_of

_QUESTIONS = frozenset({m.Replicate, m.Hint, m.Fetch, m.PutRequest, m.GetRequest})
"""Messages that take credit until they are answered."""

_HEAVY = frozenset({m.Fetched, m.GetDone, m.StatusReply})
"""Answers that weigh something."""


class Operation(Protocol):
    """One request under way.

    Attributes:
        turn: when ``on_timer`` is called next, if that is before the deadline.
        replied: it is answered; what it still does is background.
        done: nothing is left to do.
    """

    id: int
    origin: Origin
    deadline: float
    turn: float
    epoch: int
    replied: bool
    done: bool

    @property
    def request(self) -> Message:
        """What was asked."""
        ...

    def start(self, home: Home) -> list[Effect]:
        """Begin, or begin again under a new topology."""
        ...

    def on_reply(self, home: Home, peer: bytes, message: Message) -> list[Effect]:
        """A peer answered."""
        ...

    def on_failure(self, home: Home, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        """A peer will not answer; ``untouched`` when it certainly did nothing."""
        ...

    def on_timer(self, home: Home, now: float) -> list[Effect]:
        """Some time has passed; expire if ``now`` reached the deadline."""
        ...

    def waits_for(self, peer: bytes) -> bool:
        """Whether an answer of this peer is awaited."""
        ...


class RequestTable:
    """All requests of one node."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.operations: dict[int, Operation] = {}
        self.by_ticket: dict[int, int] = {}
        self._timers: list[tuple[float, int]] = []
        # Ids start anywhere, so that late replies to an earlier life of this node meet no request.
        self._next_id = home.load.transit.life = int.from_bytes(home.rng.randbytes(6)) + 1

    def new_id(self) -> int:
        """A request id that this node has not used."""
        self._next_id += 1
        return self._next_id

    def start(self, operation: Operation, now: float) -> list[Effect]:
        """Take a request in, or refuse it before any work."""
        home = self.home
        request = operation.request
        weight, reads = weight_of(request), type(request) is m.GetRequest
        admission = home.load.admission
        refusal = admission.refusal(weight, reads=reads)
        while refusal and admission.can_give_way:
            # What is done already gives way to what is not.
            self._shed(now)
            refusal = admission.refusal(weight, reads=reads)
        if operation.origin.peer and home.load.transit.is_behind(now):
            refusal = BEHIND
        if refusal:
            origin = operation.origin
            code, text = home.overloaded(refusal)
            return [answer(origin, m.Failed(origin.id, code, 0, 0, [], text))]
        effects = operation.start(home)
        if operation.done:
            return effects
        id = operation.id
        self.operations[id] = operation
        admission.enter(id, now, weight, reads=reads)
        if not operation.origin.peer:
            self.by_ticket[operation.origin.id] = id
        heapq.heappush(self._timers, (min(operation.turn, operation.deadline), id))
        return self._went_on(operation, effects, now)

    def reply(self, id: int, peer: bytes, message: Message) -> list[Effect]:
        """An answer came in."""
        load, now = self.home.load, self.home.clock.monotonic()
        asked = load.credit.give_back(peer, id, now)
        if asked is not None:
            load.hedging.answered(now - asked)
        operation = self.operations.get(id)
        if operation is None:
            self.home.counters["late_replies"] += 1
            return []
        if type(message) in _HEAVY:
            load.admission.grow(id, weight_of(message))
        return self._went_on(operation, operation.on_reply(self.home, peer, message), now)

    def fail(self, id: int, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        """An answer will not come."""
        now = self.home.clock.monotonic()
        self.home.load.credit.give_back(peer, id, now)
        operation = self.operations.get(id)
        if operation is None:
            return []
        effects = operation.on_failure(self.home, peer, reason, untouched=untouched)
        return self._went_on(operation, effects, now)

    def restart(self, id: int, peer: bytes) -> list[Effect]:
        """A peer refused a request for its old topology: begin again, under the one that is here by
        now. A request that did so already is not sent again, which could apply it twice."""
        now = self.home.clock.monotonic()
        self.home.load.credit.give_back(peer, id, now)
        operation = self.operations.get(id)
        if operation is None or operation.epoch == self.home.epoch:
            return []
        return self._went_on(operation, operation.start(self.home), now)

    def peer_down(self, peer: bytes) -> list[Effect]:
        """Nothing that was asked of this peer will be answered."""
        self.home.load.credit.forget(peer)
        effects: list[Effect] = []
        for id in [op.id for op in self.operations.values() if op.waits_for(peer)]:
            effects += self.fail(id, peer, "connection lost", untouched=False)
        return effects

    def give_up_reads(self) -> list[Effect]:
        """This node is no member any more, and has not got the ring's secrets, which contexts are
        sealed with: its reads end as they do at their deadlines."""
        effects: list[Effect] = []
        for operation in list(self.operations.values()):
            if type(operation.request) is m.GetRequest:
                effects += operation.on_timer(self.home, operation.deadline)
                self._drop(operation, self.home.clock.monotonic())
        return effects

    def forget(self, ticket: int) -> list[Effect]:
        """The application stopped waiting."""
        id = self.by_ticket.get(ticket)
        if id is not None:
            self._drop(self.operations[id], self.home.clock.monotonic())
        return []

    def expire(self, now: float) -> list[Effect]:
        """Give every request whose time has come its turn."""
        effects: list[Effect] = []
        timers = self._timers
        while timers and timers[0][0] <= now:
            operation = self.operations.get(heapq.heappop(timers)[1])
            if operation is None:
                continue
            effects += self._went_on(operation, operation.on_timer(self.home, now), now)
            if not operation.done:
                again = min(operation.turn, operation.deadline)
                heapq.heappush(timers, (again if again > now else operation.deadline, operation.id))
        return effects

    def next_deadline(self) -> float:
        """When ``expire`` has something to do, in the clock's monotonic seconds."""
        timers = self._timers
        while timers and timers[0][1] not in self.operations:
            heapq.heappop(timers)
        return timers[0][0] if timers else inf

    def _went_on(self, operation: Operation, effects: list[Effect], now: float) -> list[Effect]:
        """A request did something: what it asks takes credit, and its place is given up once it is
        answered."""
        if effects:
            effects = self._charge(operation, effects, now)
        if operation.done:
            self._drop(operation, now)
        elif operation.replied and operation.id not in self.home.load.admission.trailing:
            admission, pressure = self.home.load.admission, self.home.load.pressure
            pressure.answered(now - admission.trail(operation.id))
            if admission.too_many_trail:
                self._shed(now)
        return effects

    def _charge(self, operation: Operation, effects: list[Effect], now: float) -> list[Effect]:
        """Take the credit for what is asked of peers."""
        take, id, weight, last = self.home.load.credit.take, operation.id, 0, None
        refused: list[Effect] = []
        for effect in effects:
            if type(effect) is not Send:
                continue
            message: Any = effect.message
            if type(message) not in _QUESTIONS or message.id != id:
                continue
            if message is not last:
                # All owners of a write are sent the very same message.
                weight, last = weight_of(message), message
            question = (weight, now, operation.deadline)
            if not take(effect.peer, id, question, fetches=type(message) is m.Fetch):
                refused.append(effect)
        if not refused:
            return effects
        charged = [effect for effect in effects if not any(effect is one for one in refused)]
        for effect in refused:
            if not operation.done:
                assert type(effect) is Send
                peer = effect.peer
                why_not = NotAsked.NO_CREDIT.value
                instead = operation.on_failure(self.home, peer, why_not, untouched=True)
                charged += self._charge(operation, instead, now)
        return charged

    def _shed(self, now: float) -> None:
        """Give up the oldest of the reads that are answered."""
        self.home.counters["repairs_shed"] += 1
        self._drop(self.operations[next(iter(self.home.load.admission.trailing))], now)

    def _drop(self, operation: Operation, now: float) -> None:
        load = self.home.load
        del self.operations[operation.id]
        began = load.admission.leave(operation.id)
        if began is not None:
            load.pressure.answered(now - began)
        if not operation.origin.peer:
            self.by_ticket.pop(operation.origin.id, None)
