"""A whole ring in one process: real cores over a virtual network, virtual disks and virtual time.

Deterministic: one seed, one queue of what happens when. Every message travels as a frame, and an
exception in a core ends the test.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from dynamokv.causality.hlc import HybridClock
from dynamokv.limits import CLOCK_DRIFT_MAX_MS
from dynamokv.ports import Reader
from dynamokv.protocol import effects as e
from dynamokv.protocol.client import ClientNode
from dynamokv.protocol.effects import Effect, Event
from dynamokv.protocol.home import Home, Settings
from dynamokv.protocol.identity import Identity, next_life
from dynamokv.protocol.node import Node
from dynamokv.ring.topology import Topology
from dynamokv.types import Actor, NodeId
from dynamokv.wire import codec, keys
from dynamokv.wire.messages import Message
from tests.protocol.fakes import Clock, Store, Time
from tests.protocol.network import Network
from tests.protocol.process import Process

Watcher = Callable[[Process, Event | None, list[Effect]], None]

NOBODY = Identity(NodeId(b""), Actor(b""), False, 0)


class Cluster:
    """Processes by name, and everything between them.

    Attributes:
        disk_us: until a batch of writes is durable.
        watchers: see each step before its effects are carried out.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.time = Time()
        self.network = Network(self, self.random)
        self.running: dict[str, Process] = {}
        self.watchers: list[Watcher] = []
        self.disk_us = 200
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0

    # --- processes --------------------------------------------------------------------------------

    def ring(self, count: int, **settings: Any) -> list[Process]:
        """Members n1, n2, ... that found a ring together, all of them ready and linked."""
        names = [f"n{number + 1}" for number in range(count)]
        common = {"seeds": tuple(f"{name}:1" for name in names), "expect_members": count}
        members = [self.member(name, **{**common, **settings}) for name in names]
        self.run(2.0)
        assert all(member.ready for member in members)
        return members

    def member(
        self, name: str, store: Store | None = None, *, skew_ms: int = 0, **settings: Any
    ) -> Process:
        """Start a member on what its store holds; it listens at the address ``<name>:1``."""
        store = store or Store()
        identity = next_life(store.rows.get(keys.IDENTITY_ROW), forgot=False, rng=self.random)
        stored = store.rows.get(keys.TOPOLOGY_ROW)
        given = Settings(**{"partitions": 8, "address": f"{name}:1", **settings})
        home = self._home(identity, given, store, Clock(self.time, skew_ms), CLOCK_DRIFT_MAX_MS)
        topology = Topology.decode(codec.decode(stored)) if stored else None
        return self._started(Process(self, name, Node(home, topology), store))

    def client(self, name: str, *seeds: str, **settings: Any) -> Process:
        """Start a client of these addresses."""
        given = Settings(**{"address": f"{name}:1", "seeds": seeds, "hedge_after": 5.0, **settings})
        home = self._home(NOBODY, given, Store(), Clock(self.time), 0)
        return self._started(Process(self, name, ClientNode(home), Store()))

    def stop(self, process: Process) -> Store:
        """A clean stop. Returns what it left on its disk."""
        process.holds_writes = False
        process.feed(e.Stop())
        process.finish_writes()
        process.release()
        return self.crash(process, kept=1.0)

    def crash(self, process: Process, *, kept: float = 0.0) -> Store:
        """The machine dies. Returns what is left on its disk; ``kept``: the part of what was
        applied without a sync that is there all the same."""
        del self.running[process.name]
        self.network.remove(process)
        return process.store.after_crash(kept)

    def _home(
        self, identity: Identity, settings: Settings, store: Reader, clock: Clock, drift_max_ms: int
    ) -> Home:
        return Home(
            node_id=identity.node_id,
            actor=identity.actor,
            settings=settings,
            reader=store,
            clock=clock,
            rng=self.random,
            hybrid=HybridClock(last=identity.ceiling, drift_max_ms=drift_max_ms),
        )

    def _started(self, process: Process) -> Process:
        assert process.name not in self.running
        self.running[process.name] = process
        self.network.add(process)
        process.start()
        return process

    # --- requests ---------------------------------------------------------------------------------

    def ask(self, process: Process, request: Message, seconds: float = 10.0) -> Message:
        """The answer to a request, after as much time as it takes."""
        ticket = process.request(request)
        end_us = self.now_us + round(seconds * 1_000_000)
        while ticket not in process.replies:
            assert self._next_due() <= end_us, "no answer"
            self._once()
        return process.replies[ticket]

    # --- time -------------------------------------------------------------------------------------

    @property
    def now_us(self) -> int:
        return self.time.now_us

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        end_us = self.now_us + round(seconds * 1_000_000)
        while self._next_due() <= end_us:
            self._once()
        self.time.now_us = end_us

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do this later."""
        self._sequence += 1
        heappush(self._queue, (self.now_us + delay_us, self._sequence, action))

    def _once(self) -> None:
        """What is due next, one thing."""
        due_us = self._next_due()
        self.time.now_us = max(self.now_us, due_us)
        if self._queue and self._queue[0][0] <= due_us:
            heappop(self._queue)[2]()
            return
        late = next(one for one in self.running.values() if _tick_us(one) <= due_us)
        late.feed(e.Tick())

    def _next_due(self) -> int:
        ticks = [_tick_us(process) for process in self.running.values()]
        return min([*ticks, *(entry[0] for entry in self._queue[:1])])

    # --- what a process asks of the world ---------------------------------------------------------

    def saw(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        for watcher in self.watchers:
            watcher(process, event, effects)

    def connect(self, process: Process, peer: bytes, address: str) -> None:
        self.network.connect(process, peer, address)

    def disconnect(self, process: Process, peer: bytes) -> None:
        self.network.disconnect(process, peer)

    def send(self, process: Process, peer: bytes, data: bytes) -> bool:
        return self.network.send(process, peer, data)

    def gave_up(self, process: Process) -> None:
        """Its application hears that there is no place for it, and ends."""

        def end() -> None:
            if self.running.get(process.name) is process:
                self.crash(process)

        self.after(0, end)

    def commit(self, process: Process) -> None:
        def finish() -> None:
            if self.running.get(process.name) is process:
                process.finish_writes()

        self.after(self.disk_us, finish)


def _tick_us(process: Process) -> int:
    """When its next tick is due; a microsecond late, so that rounding never makes it early."""
    return int(process.core.next_deadline() * 1_000_000) + 1
