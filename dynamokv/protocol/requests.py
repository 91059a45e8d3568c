"""The requests under way, and their timers: one table, used by members and by clients.

A request is a small object with the same verbs (``Operation``). The table finds it by id, passes it
what concerns it, and drops it once it is done. Replies to ids that are not in the table are
dropped, so that no caller gets another's reply.
"""

from __future__ import annotations

import heapq
from typing import Protocol

from dynamokv.protocol.effects import Effect, Origin
from dynamokv.protocol.home import Home
from dynamokv.wire.messages import Message


class Operation(Protocol):
    """One request under way."""

    id: int
    origin: Origin
    deadline: float
    epoch: int
    done: bool

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
        self._next_id = int.from_bytes(home.rng.randbytes(6)) + 1

    def new_id(self) -> int:
        """A request id that this node has not used."""
        self._next_id += 1
        return self._next_id

    def start(self, operation: Operation, now: float) -> list[Effect]:
        """Take a request in."""
        effects = operation.start(self.home)
        if operation.done:
            return effects
        id = operation.id
        self.operations[id] = operation
        if not operation.origin.peer:
            self.by_ticket[operation.origin.id] = id
        patience = now + self.home.settings.hedge_after
        heapq.heappush(self._timers, (min(patience, operation.deadline), id))
        return effects

    def reply(self, id: int, peer: bytes, message: Message) -> list[Effect]:
        """An answer came in."""
        operation = self.operations.get(id)
        if operation is None:
            self.home.counters["late_replies"] += 1
            return []
        effects = operation.on_reply(self.home, peer, message)
        if operation.done:
            self._drop(operation)
        return effects

    def fail(self, id: int, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        """An answer will not come."""
        operation = self.operations.get(id)
        if operation is None:
            return []
        effects = operation.on_failure(self.home, peer, reason, untouched=untouched)
        if operation.done:
            self._drop(operation)
        return effects

    def restart(self, id: int) -> list[Effect]:
        """A peer refused a request for its old topology: begin again, under the one that is here by
        now. A request that did so already is not sent again, which could apply it twice."""
        operation = self.operations.get(id)
        if operation is None or operation.epoch == self.home.epoch:
            return []
        effects = operation.start(self.home)
        if operation.done:
            self._drop(operation)
        return effects

    def peer_down(self, peer: bytes) -> list[Effect]:
        """Nothing that was asked of this peer will be answered."""
        effects: list[Effect] = []
        for id in [op.id for op in self.operations.values() if op.waits_for(peer)]:
            effects += self.fail(id, peer, "connection lost", untouched=False)
        return effects

    def forget(self, ticket: int) -> list[Effect]:
        """The application stopped waiting."""
        id = self.by_ticket.get(ticket)
        if id is not None:
            self._drop(self.operations[id])
        return []

    def expire(self, now: float) -> list[Effect]:
        """Give every request whose time has come its turn."""
        effects: list[Effect] = []
        timers = self._timers
        while timers and timers[0][0] <= now:
            operation = self.operations.get(heapq.heappop(timers)[1])
            if operation is None:
                continue
            effects += operation.on_timer(self.home, now)
            if operation.done:
                self._drop(operation)
            else:
                heapq.heappush(timers, (operation.deadline, operation.id))
        return effects

    def next_deadline(self) -> float | None:
        """When ``expire`` has something to do, in the clock's monotonic seconds."""
        timers = self._timers
        while timers and timers[0][1] not in self.operations:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def _drop(self, operation: Operation) -> None:
        self.operations.pop(operation.id, None)
        if not operation.origin.peer:
            self.by_ticket.pop(operation.origin.id, None)
