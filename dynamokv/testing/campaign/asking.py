"""Requests of users, and their answers.

Rule: each request has one answer, within its budget. That is held here, because only here it is
known who asked for what, and when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import History
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND, SECOND
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message

if TYPE_CHECKING:
    from dynamokv.testing.campaign.lives import Lives

SLACK_NS: Final = 20 * MILLISECOND
"""How late an answer may be beyond its budget, on a machine that was not held up."""


class Open(NamedTuple):
    """A request that is not answered yet: who asked, until when, and what its answer means."""

    process: Process
    until_ns: int
    done: Callable[[Message], None]


class Asking:
    """Who asked for what.

    Attributes:
        habits: bad ones of users, and how often.
        happened: what users did, and what they were told.
        open: requests by process and ticket.
    """

    def __init__(self, world: Lives, history: History) -> None:
        self.world = world
        self.history = history
        self.random = Random(f"{world.plan.seed} workload")
        self.habits: dict[str, float] = {}
        self.happened: Counter[str] = Counter()
        self.open: dict[tuple[Process, int], Open] = {}
        self._asking: Process | None = None
        self._early: list[tuple[int, Message]] = []

    def meet(self, process: Process) -> None:
        """A process started: its answers come here."""
        process.on_reply = lambda ticket, message: self._on_reply(process, ticket, message)

    def ask(self, user: Process, request: Message, done: Callable[[Message], None]) -> None:
        """Have a user ask; ``done`` hears the answer."""
        self.happened["requests"] += 1
        until_ns = self.world.now_ns + self.world.plan.budget_ms * MILLISECOND
        # An answer may come before the ticket is known: within the very step that takes it.
        self._asking = user
        ticket = user.request(request)
        self._asking = None
        self.open[user, ticket] = Open(user, until_ns, done)
        early, self._early = self._early, []
        for answered, message in early:
            self._on_reply(user, answered, message)
        impatient = self.habits.get("abandoned requests", 0.0)
        if (user, ticket) in self.open and self.random.random() < impatient:
            # Many at once, so that something is under way; some late.
            wait = self.random.random() ** 6 * self.world.plan.budget_ms / 1_000
            self.world.after(wait, lambda: self._forget(user, ticket))

    def _forget(self, user: Process, ticket: int) -> None:
        """Its caller stops waiting; one that lives in a paused process does nothing."""
        if user.alive and not user.paused and self.open.pop((user, ticket), None) is not None:
            self.happened["abandoned requests"] += 1
            user.forget(ticket)

    def _on_reply(self, process: Process, ticket: int, message: Message) -> None:
        process.replies.pop(ticket, None)
        if self._asking is process:
            self._early.append((ticket, message))
            return
        asked = self.open.pop((process, ticket), None)
        if asked is None:
            text = f"{process.name} answered twice, or one who no longer waits: {message}"
            self._report(text)
            return
        budget_ns = self.world.plan.budget_ms * MILLISECOND
        resumed_ns = self.world.resumed_ns(process)
        until_ns = max(asked.until_ns, resumed_ns + budget_ns) if resumed_ns else asked.until_ns
        late_ns = self.world.now_ns - until_ns
        if late_ns > SLACK_NS + budget_ns // 8:
            self._report(f"{process.name} answered {late_ns / SECOND:.3f} s too late: {message}")
        self.happened[type(message).__name__] += 1
        if type(message) is m.Failed:
            self.happened[m.FailedCode(message.code).name] += 1
        asked.done(message)

    def _report(self, text: str) -> None:
        self.history.report(Rule.LIVENESS, b"", text)

    def has_open(self, process: Process) -> bool:
        """Whether this process owes an answer whose time is over."""
        now_ns = self.world.now_ns
        return any(
            asked.process is process and asked.until_ns < now_ns for asked in self.open.values()
        )

    def still_open(self) -> list[str]:
        """Requests whose time is over, of processes that live, and that nobody has answered."""
        now_ns = self.world.now_ns
        return [
            f"{asked.process.name} owes an answer since {asked.until_ns / SECOND:.3f} s"
            for asked in self.open.values()
            if asked.process.alive and now_ns > asked.until_ns + SECOND
        ]
