"""How a call on a simulated process waits: by letting virtual time pass until the answer is there.

Knows: ``Access``, which all faces of a store use, and the cluster. So the calls, their checks and
their errors are those of production, and only the waiting is another.

Rules:
    - A call ends by its budget. The core answers every request by then; what is longer on its way
      was asked of a process that stands still.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dynamokv.api.session import ANSWER_GRACE_SECONDS, Access
from dynamokv.errors import (
    ClosedError,
    DynamoKVError,
    Indeterminate,
    JoinRefused,
    JoinTimeout,
    ReadFailed,
    UsageError,
)
from dynamokv.runtime.arrival import LINKS_GRACE_SECONDS, all_linked
from dynamokv.runtime.latency import Window
from dynamokv.testing.ring_run import Run
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import SECOND
from dynamokv.wire import messages as m


class SimulatedSession(Access):
    """One machine's process, through all of its lives.

    Attributes:
        process: its last life.
        reads, writes: how long requests took.
    """

    def __init__(self, run: Run, process: Process) -> None:
        self.run = run
        self.name = process.name
        self.machine = process.machine
        self.process = process
        self.reads = Window()
        self.writes = Window()

    @property
    def opened(self) -> bool:
        """Always: a process that is down says so in ``running``."""
        return True

    def running(self) -> Process:
        """The process. Raises ``ClosedError`` when it is down, ``UsageError`` when it stands
        still."""
        self.run.check_open()
        if not self.process.alive:
            raise ClosedError(
                f"{self.name} is down: ring.restart({self.name!r}) or ring.heal() starts it"
            )
        if self.process.paused:
            raise UsageError(
                f"{self.name} is paused, and whoever calls would be as well: "
                f"ring.resume({self.name!r}) first"
            )
        return self.process

    @property
    def linked(self) -> bool:
        """Whether it serves, and reaches all of its peers."""
        process = self.process
        # Whether they linked back is their side of it.
        return process.ready and all_linked(process.home, member=False)

    @property
    def state(self) -> str:
        """``up``, ``paused`` or ``down``."""
        if not self.process.alive:
            return "down"
        return "paused" if self.process.paused else "up"

    def start(self) -> None:
        """Another life, of what is on the disk."""
        self.process = self.run.cluster.start(self.machine)
        self.run.note(self.name, "started")

    def serve(self, seconds: float) -> None:
        """Wait until the process can serve.

        Raises:
            JoinTimeout: it cannot, after so long.
            JoinRefused: the ring has no place for it.
        """
        process = self.process
        if not self.run.until(lambda: process.ready or not process.alive, seconds):
            self.stop()
            raise JoinTimeout(f"{self.name} found no ring within {seconds} s of virtual time")
        if not process.alive:
            raise JoinRefused(f"{self.name}: {'; '.join(process.refused)}")
        # As in production, a call right after the start shall find its peers.
        self.run.until(lambda: self.linked, LINKS_GRACE_SECONDS)
        self.run.note(self.name, "serves")

    def stop(self) -> None:
        """End the process as its application does. What is down already stays so."""
        with self.run.lock:
            if self.process.alive:
                self.run.note(self.name, "stopped")
                self.run.cluster.stop(self.process)

    async def requests(self, messages: list[Any]) -> list[Any]:
        """Run requests together. Other tasks go on meanwhile; time passes while one waits."""
        asked = self._ask(messages)
        try:
            while not asked.over:
                await asyncio.sleep(0)
                with self.run.lock:
                    if not asked.over:
                        self.run.step(asked.end_ns)
        except BaseException:
            asked.forget()
            raise
        return asked.answers()

    def call_all(self, messages: list[Any]) -> list[Any]:
        """Run requests together and wait for all."""
        with self.run.lock:
            asked = self._ask(messages)
            try:
                while not asked.over:
                    self.run.step(asked.end_ns)
            except BaseException:
                asked.forget()
                raise
            return asked.answers()

    def _ask(self, messages: list[Any]) -> Asked:
        with self.run.lock:
            return Asked(self, self.running(), messages)


class Asked:
    """Requests under way in one life of a process.

    Attributes:
        end_ns: when nobody waits for them any longer.
    """

    def __init__(self, session: SimulatedSession, process: Process, messages: list[Any]) -> None:
        budget = max((message.budget_ms for message in messages), default=0) / 1000
        run = session.run
        self._session = session
        self._process = process
        self._messages = messages
        self._began = run.seconds
        self.end_ns = run.cluster.now_ns + round((budget + ANSWER_GRACE_SECONDS) * SECOND)
        self._tickets = [process.request(message) for message in messages]

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        replies = self._process.replies
        answered = all(ticket in replies for ticket in self._tickets)
        return answered or self._gone or self._session.run.cluster.now_ns >= self.end_ns

    @property
    def _gone(self) -> bool:
        return not self._process.alive

    def answers(self) -> list[Any]:
        """The replies. Raises what a request that has none ended with."""
        replies = self._process.replies
        found = [replies.get(ticket) for ticket in self._tickets]
        missing = None in found
        self.forget()
        run, name = self._session.run, self._session.name
        for message, reply in zip(self._messages, found, strict=True):
            run.note(name, f"{_shown(message)}: {_outcome(reply)}")
            window = self._session.writes if type(message) is m.PutRequest else self._session.reads
            window.add(run.seconds - self._began)
        if missing:
            raise self._error()
        return found

    def forget(self) -> None:
        """Nobody waits for these any more."""
        for ticket in self._tickets:
            if self._process.replies.pop(ticket, None) is None and not self._gone:
                self._process.forget(ticket)

    def _error(self) -> DynamoKVError:
        name = self._session.name
        if self._gone:
            return ClosedError(f"{name} went down while the request was under way")
        kind = Indeterminate if isinstance(self._messages[0], m.PutRequest) else ReadFailed
        return kind(1, 0, (), f"{name} did not answer: it was paused meanwhile")


def _shown(message: Any) -> str:
    kind = type(message).__name__.removesuffix("Request").lower()
    if kind == "put" and message.delete:
        kind = "delete"
    names = [_key(name) for name in getattr(message, "names", [])]
    return f"{kind} {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _key(name: bytes) -> str:
    bucket, key = name[1 : 1 + name[0]], name[1 + name[0] :]
    text = (bucket + b"/" + key if bucket else key).decode(errors="replace")
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _outcome(reply: Any) -> str:
    if type(reply) is m.Failed:
        return f"{m.FailedCode(reply.code).name} (needed {reply.needed}, got {reply.got})"
    return "no answer" if reply is None else "done"
