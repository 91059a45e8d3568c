"""One life of a member or a client: its core, and the executor that production has, over simulated
sockets and a simulated disk.

Rules:

- What arrives while a process is paused waits, in order, and so do its timers.
- Nothing takes time, unless the process has a service time: then what arrives while it is busy
  waits in order, behind its own timers and commits, as frames wait in a socket.
- Each event ends as a round of the real loop does: writes are on their way, frames leave, the timer
  is set.
- An exception of the core ends the simulation: there is nothing to be gained from a second event.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from dynamokv.errors import StorageError
from dynamokv.ports import StorageEngine
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import After, Effect, Event
from dynamokv.runtime.commit_queue import text_of
from dynamokv.runtime.executor import Core, Executor
from dynamokv.testing.disk_faults import Crash
from dynamokv.testing.simulation.committer import SimulatedCommitter
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.network import Endpoint
from dynamokv.testing.simulation.schedule import Action, Schedule
from dynamokv.types import Durability
from dynamokv.wire import codec
from dynamokv.wire.messages import Message

CHORES_SECONDS: Final = 1.0
"""Between two times that a store of files looks for something to do."""


class Surroundings(Protocol):
    """What surrounds a process."""

    schedule: Schedule

    def saw(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """It has decided, and nothing of that is carried out yet."""
        ...

    def gave_up(self, process: Process) -> None:
        """Its ring refused it."""
        ...

    def crashed(self, process: Process) -> None:
        """Its disk ended it."""
        ...


class Process:
    """One life, from ``start`` to the cluster's ``stop``, ``kill`` or ``power_cut``.

    Attributes:
        number: of all lives in this simulation.
        core: ``Node`` or ``ClientNode``.
        committer: None for a client.
        alive: until its life ends.
        paused: it does nothing for now.
        service_ns: what each thing that it does takes.
        waiting: what it has to do once it has time, or goes on.
        ready: its core said so.
        replies: answers by ticket. Whoever asks much takes them out.
        on_reply: called with each of them, after it was put there.
        refused: why its ring did not take it.
        reports: what it wants people to know.
        core, home, endpoint, executor: from ``live`` on.
    """

    def __init__(
        self, world: Surroundings, machine: Machine, number: int, durable: StorageEngine | None
    ) -> None:
        self.world = world
        self.machine = machine
        self.name = machine.name
        self.address = machine.address
        self.number = number
        self.clock = machine.clock
        self.committer: SimulatedCommitter | None = None
        if durable is not None:
            self.committer = SimulatedCommitter(
                durable, machine.durability, machine.commit_latency, self.later
            )
            self.committer.release = self._release
            self.committer.chores_every(CHORES_SECONDS)
            if machine.durability is Durability.INTERVAL:
                self.committer.sync_every(machine.fsync_interval_seconds)
        self.alive = True
        self.paused = False
        self.pauses = 0
        self.ready = False
        self.replies: dict[int, Message] = {}
        self.on_reply: Callable[[int, Message], None] | None = None
        self.refused: list[str] = []
        self.reports: list[str] = []
        self._tickets = 0
        self._rings_at = 0
        self._rings_for = math.inf
        self.service_ns = 0
        self._busy = False
        self.waiting: deque[Action] = deque()

    def live(self, core: Core, endpoint: Endpoint) -> None:
        """Begin."""
        self.core = core
        self.home = core.home
        if self.committer is not None:
            self.committer.account = core.home.forest
        self.endpoint = endpoint
        self.executor = Executor(
            _Seen(self, core), endpoint, self.committer, _Ears(self), on_bug=raised
        )
        self.do(lambda: self.executor.perform(self.executor.core.start()))

    @property
    def engine(self) -> StorageEngine:
        """The store of a member."""
        assert self.committer is not None, "a client has no store"
        return self.committer.engine

    # --- what its application does ----------------------------------------------------------------

    def request(self, message: Message) -> int:
        """Ask as the application does; the answer comes to ``replies`` under this ticket."""
        self._tickets += 1
        self.feed(e.Request(self._tickets, message))
        return self._tickets

    def forget(self, ticket: int) -> None:
        """The application stopped waiting."""
        self.feed(e.Forget(ticket))

    # --- what happens to it -----------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """One event, and everything that it makes this process do at once."""
        self.do(partial(self.executor.step, event))

    def do(self, action: Action) -> None:
        """Have this process do something, and end its round; later, if it is paused, and never, if
        it has ended."""
        if self.paused or self._busy:
            self.waiting.append(action)
            return
        if self.alive:
            try:
                action()
                self._end_round()
            except Crash:
                self.world.crashed(self)
        if self.service_ns and not self._busy:
            self._busy = True
            self.world.schedule.after(self.service_ns, self._free)

    def later(self, delay_ns: int, action: Action) -> None:
        """Have it do something in a while."""
        self.world.schedule.after(delay_ns, lambda: self._do_soon(action))

    def say_goodbye(self) -> None:
        """Write down that this is a clean end, and let go of the store."""
        committer = self.committer
        if committer is None:
            return
        self.executor.step(e.Stop())
        committer.let_go()
        # What that released may have written more.
        self.executor.flush()
        committer.finish()
        try:
            self.machine.close(committer.engine)
        except StorageError as error:  # it had its last chance
            self.reports.append(text_of(error))

    def pause(self) -> int:
        """From now on it does nothing. Returns which pause this is."""
        self.paused = True
        self.pauses += 1
        return self.pauses

    def resume(self) -> None:
        """It does all that it missed."""
        self.paused = False
        waiting, self.waiting = self.waiting, deque()
        for action in waiting:
            self.do(action)

    def end(self) -> None:
        """It does nothing any more."""
        self.alive = False
        self.waiting.clear()

    # --- from the network -------------------------------------------------------------------------

    def on_frame(self, source: bytes, frame: bytes) -> None:
        """A frame came in."""
        self.do(partial(self.executor.on_frame, source, frame))

    def on_link(self, peer: bytes, up: bool) -> None:
        """A link works, or broke."""
        self.feed(e.PeerUp(peer) if up else e.PeerDown(peer))

    # --- inside -----------------------------------------------------------------------------------

    def _release(self, released: list[After]) -> None:
        self.executor.release(released)

    def _end_round(self) -> None:
        self.executor.flush()
        deadline = self.core.next_deadline()
        if deadline < self._rings_for:
            self._rings_for = deadline
            self._rings_at = due_ns = self.clock.due_ns(deadline)
            schedule = self.world.schedule
            schedule.after(due_ns - schedule.now_ns, partial(self._ring, due_ns))

    def _do_soon(self, action: Action) -> None:
        """Before the frames that wait while it is busy."""
        if self._busy and not self.paused:
            self.waiting.appendleft(action)
        else:
            self.do(action)

    def _free(self) -> None:
        self._busy = False
        if self.waiting and not self.paused:
            self.do(self.waiting.popleft())

    def _ring(self, due_ns: int) -> None:
        # An earlier ring has taken the place of a later one.
        if due_ns == self._rings_at and self.alive:
            self._rings_for = math.inf
            self._do_soon(self._tick)

    def _tick(self) -> None:
        # What the timer was set for may have been settled since.
        if self.core.next_deadline() <= self.clock.monotonic():
            self.executor.step(e.Tick())


def raised(error: Exception) -> None:
    """An error of the core ends the run."""
    raise error


class _Seen:
    """A core that is looked at."""

    def __init__(self, process: Process, core: Core) -> None:
        self.home = core.home
        self.next_deadline = core.next_deadline
        self._process = process
        self._saw = process.world.saw
        self._core = core
        self._step = core.step

    def start(self) -> list[Effect]:
        effects = self._core.start()
        self._saw(self._process, None, effects)
        return effects

    def step(self, event: Event) -> list[Effect]:
        effects = self._step(event)
        self._saw(self._process, event, effects)
        return effects


class _Ears:
    """``executor.Listener`` of a process."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def on_reply(self, ticket: int, message: Message) -> None:
        process = self.process
        assert ticket not in process.replies, "a request has one answer"
        process.replies[ticket] = message
        if process.on_reply is not None:
            process.on_reply(ticket, message)

    def on_ready(self) -> None:
        assert not self.process.ready, "a process is ready once"
        self.process.ready = True

    def on_join_failed(self, reason: int, text: str) -> None:
        process = self.process
        process.refused.append(text)
        if not process.ready:
            process.world.gave_up(process)

    def describe(self) -> bytes:
        describe = self.process.machine.describe
        return describe() if describe else codec.encode({"name": self.process.name})
