"""Rings that have more to do than they can, and what is demanded of them all the same.

Each scenario plays itself, and returns its figures and what is wrong with them. They are tests, and
mutants of the rules of overload are hunted with them: what only costs work breaks nothing that a
history would show.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, Final, NamedTuple

from dynamokv.limits import BACKGROUND_FLOOR, KiB, MiB
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.simulation.chance import Delay
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND, SECOND
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of

KEYS: Final = 500
SERVICE_NS: Final = 2 * MILLISECOND
EVENTS_OF_AN_OPERATION: Final = 5.5
"""Things that members do for it, together: eight for a put, three for a get."""

SUSTAINED: Final = 3 * SECOND / SERVICE_NS / EVENTS_OF_AN_OPERATION
"""Operations a second that three members can do."""


class Outcome(NamedTuple):
    """Of a scenario: its figures, and what is wrong, which is nothing in a ring that keeps its
    rules."""

    figures: str
    wrong: list[str]


class Users:
    """An open loop: requests come as they come, whatever becomes of those before.

    Attributes:
        done: when each answer came, in seconds, by what it was.
        asked: when each request began.
    """

    def __init__(self, cluster: Cluster, users: list[Process], *, budget_ms: int = 1000) -> None:
        self.cluster = cluster
        self.users = users
        self.budget_ms = budget_ms
        self.writes = 0.5
        self.value = bytes(100)
        self.level: int = Consistency.QUORUM
        self.random = Random(f"{cluster.seed} users")
        self.done: dict[str, list[float]] = {}
        self.asked: list[float] = []
        self._phase = 0
        self._every_ns = 0.0
        for user in users:
            user.on_reply = self._on_reply

    def ask(self, rate: float, seconds: float) -> None:
        """So many requests a second, for so long."""
        self._phase += 1
        self._every_ns = SECOND / rate
        self._ask(self._phase)
        self.cluster.run(seconds)
        self._phase += 1

    @property
    def began(self) -> int:
        """Requests so far."""
        return len(self.asked)

    def rate(self, since: float, until: float) -> float:
        """Requests that succeeded, a second."""
        moments = self.done.get("PutDone", []) + self.done.get("GetDone", [])
        return sum(since <= moment < until for moment in moments) / (until - since)

    def served(self, since: float, until: float) -> float:
        """The share of them that succeeds. Chance decides how many come, by some percent."""
        asked = sum(since <= moment < until for moment in self.asked)
        return self.rate(since, until) * (until - since) / asked

    def counts(self) -> dict[str, int]:
        """Answers, by what they were."""
        return {name: len(moments) for name, moments in sorted(self.done.items())}

    def _ask(self, phase: int) -> None:
        if phase != self._phase:
            return
        name = name_of(b"", b"%d" % self.random.randrange(KEYS))
        request: Any = m.GetRequest(0, 0, self.budget_ms, self.level, False, [name])
        if self.random.random() < self.writes:
            request = m.PutRequest(
                0, 0, self.budget_ms, self.level, True, False, 0, [name], [self.value], []
            )
        self.asked.append(self.cluster.now_ns / SECOND)
        self.random.choice(self.users).request(request)
        wait_ns = round(2 * self._every_ns * self.random.random())
        self.cluster.schedule.after(wait_ns, lambda: self._ask(phase))

    def _on_reply(self, ticket: int, message: Any) -> None:
        kind = type(message).__name__
        if type(message) is m.Failed:
            kind = m.FailedCode(message.code).name
        self.done.setdefault(kind, []).append(self.cluster.now_ns / SECOND)
        for user in self.users:
            user.replies.pop(ticket, None)


class Messages:
    """A watcher that counts what members and clients send, by kind."""

    def __init__(self, cluster: Cluster) -> None:
        self.sent: Counter[type[Any]] = Counter()
        self.fetched_of: Counter[bytes] = Counter()
        cluster.watchers.append(self._saw)

    def _saw(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if type(effect) is e.Send:
                self.sent[type(effect.message)] += 1
                if type(effect.message) is m.Fetch:
                    self.fetched_of[effect.peer] += 1


def ring_of_three(seed: int, **settings: Any) -> tuple[Cluster, list[Process]]:
    cluster = Cluster(seed, memory=True)
    return cluster, cluster.ring(3, **settings)


def clients_of(cluster: Cluster, count: int) -> list[Process]:
    clients = [cluster.client(f"c{at}", "n1:1", "n2:1", "n3:1") for at in range(count)]
    cluster.run(1.0)
    return clients


def check(wrong: list[str], what: str, found: float, at_least: float, at_most: float) -> None:
    if not at_least <= found <= at_most:
        wrong.append(f"{what} is {found:.2f}, not within {at_least:.2f} and {at_most:.2f}")


# --- scenarios ------------------------------------------------------------------------------------


def three_times_too_much(seed: int) -> Outcome:
    """Three times what the ring can do, and then what it did before (#40)."""
    cluster, members = ring_of_three(seed)
    users = Users(cluster, clients_of(cluster, 2))
    for member in members:
        member.service_ns = SERVICE_NS
    usual, began = 0.6 * SUSTAINED, cluster.now_ns / SECOND
    users.ask(usual, 3.0)
    before = users.rate(began + 1, began + 3)
    backlog = held = 0
    for _ in range(20):
        users.ask(3 * SUSTAINED, 0.2)
        backlog = max(backlog, *(len(member.waiting) for member in members))
        held = max(held, *(member.home.load.admission.bytes for member in members))
    over = cluster.now_ns / SECOND
    during = users.rate(over - 3, over)
    users.ask(usual, 5.0)
    after = users.rate(over + 2, over + 5)
    expired = sum(member.home.load.transit.expired for member in members)
    wrong: list[str] = []
    recovered = users.served(over + 2, over + 5) / users.served(began + 1, began + 3)
    check(wrong, "the share that is served afterwards, of that before", recovered, 0.95, 1.05)
    check(wrong, "goodput meanwhile, of what the ring can do", during / SUSTAINED, 0.15, 1.1)
    check(wrong, "things that wait at a member", backlog, 10, 400)
    check(wrong, "bytes of requests at a member", held, 1, 1 * MiB)
    figures = (
        f"goodput {before:.0f}/s before, {during:.0f}/s under {3 * SUSTAINED:.0f}/s, {after:.0f}/s "
        f"from 2 s after; backlog {backlog}, {held:,} bytes, {expired} expired; {users.counts()}"
    )
    return Outcome(figures, wrong)


def everybody_is_slow(seed: int) -> Outcome:
    """Answers take a hundred times what they did: hedges stay within their budget (#34)."""
    cluster, members = ring_of_three(seed)
    users = Users(cluster, members)
    users.writes = 0.0
    users.ask(300, 3.0)
    cluster.network.latency.set(40 * MILLISECOND, 60 * MILLISECOND)
    sent, began = Messages(cluster), users.began
    users.ask(300, 4.0)
    cluster.run(1.0)
    ratio = sent.sent[m.Fetch] / (users.began - began)
    wrong: list[str] = []
    check(wrong, "replica reads for each read of a user", ratio, 1.0, 1.2)
    check(wrong, "reads that failed", users.began - users.counts()["GetDone"], 0, 0)
    return Outcome(f"{ratio:.3f} replica reads for each that is needed", wrong)


def one_is_slow(seed: int) -> Outcome:
    """One member's answers take 200 ms: others are asked, and few of them twice (#34)."""
    cluster, members = ring_of_three(seed)
    users = Users(cluster, members[:2])
    users.writes = 0.0
    users.ask(300, 2.0)
    delay = Delay(Random(seed), 100 * MILLISECOND, 100 * MILLISECOND)
    for other in ("n1:1", "n2:1"):
        cluster.network.latencies["n3:1", other] = delay
        cluster.network.latencies[other, "n3:1"] = delay
    sent, began = Messages(cluster), users.began
    users.ask(300, 5.0)
    cluster.run(1.0)
    ratio = sent.sent[m.Fetch] / (users.began - began)
    wrong: list[str] = []
    check(wrong, "replica reads for each read of a user", ratio, 1.0, 1.2)
    share = sent.fetched_of[members[2].home.node_id] / sent.sent[m.Fetch]
    check(wrong, "share of them that ask the slow member", share, 0.0, 0.2)
    figures = f"{ratio:.3f} replica reads for each that is needed, {share:.3f} of the slow member"
    return Outcome(figures, wrong)


def one_is_silent(seed: int) -> Outcome:
    """A member is held, and still linked: what it is sent is bounded, and ends when it goes on."""
    cluster, members = ring_of_three(seed, credit_messages=20)
    users = Users(cluster, members[:2])
    users.writes = 1.0
    users.ask(200, 1.0)
    cluster.pause(members[2], frozen=False)
    most = backlog = 0
    for _ in range(10):
        users.ask(200, 0.3)
        most = max(most, *(outstanding(member, members[2]) for member in members[:2]))
        backlog = max(backlog, len(members[2].waiting))
    failed = users.began - users.counts()["PutDone"]
    cluster.resume(members[2])
    users.level = Consistency.ALL
    cluster.run(1.0)
    before = users.counts()["PutDone"]
    users.ask(200, 2.0)
    cluster.run(1.0)
    share = (users.counts()["PutDone"] - before) / (users.began - before - failed)
    wrong: list[str] = []
    check(wrong, "questions outstanding at a silent member", most, 20, 20 + 5)
    check(wrong, "things that wait at it", backlog, 10, 100)
    check(wrong, "writes at QUORUM that failed meanwhile", failed, 0, 3)
    check(wrong, "share of writes at ALL that succeed afterwards", share, 0.99, 1.01)
    return Outcome(
        f"{most} outstanding, {backlog} things waiting; {share:.3f} of writes at ALL afterwards",
        wrong,
    )


def outstanding(member: Process, peer: Process) -> int:
    return member.home.load.credit.outstanding(peer.home.node_id)[0]


def one_was_held_for_long(seed: int) -> Outcome:
    """A member goes on after two seconds: of what was over by then, it does nothing (#41)."""
    cluster, members = ring_of_three(seed)
    users = Users(cluster, members[:2], budget_ms=300)
    users.ask(200, 1.0)
    asked: dict[int, int] = {}
    worked: list[float] = []

    def saw(process: Process, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            message: Any = getattr(effect, "message", None) or getattr(effect, "then", None)
            message = getattr(message, "message", message)
            if process is not members[2] and type(message) in (m.Replicate, m.Fetch):
                asked[message.id] = cluster.now_ns
            elif type(message) in (m.Replicated, m.Fetched, m.Same) and message.id in asked:
                worked.append((cluster.now_ns - asked[message.id]) / MILLISECOND)

    cluster.watchers.append(saw)
    cluster.pause(members[2], frozen=False)
    users.ask(200, 2.0)
    cluster.resume(members[2])
    cluster.run(1.0)
    late = sum(waited > 300 + 5 for waited in worked)
    expired = members[2].home.load.transit.expired
    wrong: list[str] = []
    check(wrong, "questions answered with work after their deadline", late, 0, 0)
    check(wrong, "questions refused because they were over", expired, 10, 10_000)
    return Outcome(f"{late} of {len(worked)} worked on late, {expired} refused", wrong)


def everybody_is_full(seed: int) -> Outcome:
    """Members that refuse are not asked for the same three times (#40)."""
    cluster, members = ring_of_three(seed, in_flight_max=1)
    for member in members:
        member.machine.commit_latency.set(300 * MILLISECOND, 300 * MILLISECOND)
    users = Users(cluster, clients_of(cluster, 1))
    users.writes = 1.0
    sent = Messages(cluster)
    users.ask(300, 3.0)
    cluster.run(1.0)
    ratio = sent.sent[m.PutRequest] / users.began
    wrong: list[str] = []
    check(wrong, "share that is refused", users.counts()["OVERLOADED"] / users.began, 0.5, 1.0)
    check(wrong, "messages for each request", ratio, 1.0, 1.2)
    return Outcome(f"{ratio:.3f} messages for each request; {users.counts()}", wrong)


def large_values(seed: int) -> Outcome:
    """Values that wait for a slow disk are bounded in bytes."""
    cluster, members = ring_of_three(seed, in_flight_bytes_max=1 * MiB)
    for member in members:
        member.machine.commit_latency.set(1 * SECOND, 1 * SECOND)
    users = Users(cluster, members[:1], budget_ms=3000)
    users.writes, users.value = 1.0, bytes(100 * KiB)
    users.ask(50, 0.9)
    held = members[0].home.load.admission.bytes
    wrong: list[str] = []
    check(wrong, "bytes of requests under way", held, 800 * KiB, 1 * MiB)
    check(wrong, "refused", len(users.done.get("OVERLOADED", [])), 20, 60)
    return Outcome(f"{held:,} bytes under way; {users.counts()}", wrong)


def repair_under_pressure(seed: int) -> Outcome:
    """A loop that is late lets hints and repair have little, and not nothing."""
    rate = 512 * KiB
    cluster, members = ring_of_three(seed, background_bytes_per_second=rate)
    busy = members[0]
    users = Users(cluster, [busy])
    users.writes, users.value, users.level = 1.0, bytes(4 * KiB), Consistency.ONE
    cluster.network.partition(["n1:1"], ["n2:1", "n3:1"])
    users.ask(400, 3.0)
    moved = Counter[str]()

    def saw(process: Process, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            message: Any = getattr(effect, "message", None)
            if process is busy and type(message) is m.Replicate:
                moved["bytes"] += sum(map(len, message.records))

    def bytes_within(seconds: float, reads_per_second: float) -> int:
        before = moved["bytes"]
        for _ in range(round(seconds / 0.1)):
            busy.feed(e.Tick(1.0))
            users.ask(reads_per_second, 0.1)
        return moved["bytes"] - before

    # Nobody writes any more, so that all that is replicated is made good.
    cluster.watchers.append(saw)
    cluster.network.heal()
    users.writes, users.level = 0.0, Consistency.ALL
    first, later = bytes_within(2.0, 400), bytes_within(30.0, 20)
    wrong: list[str] = []
    check(wrong, "bytes made good in the first two seconds", first, 1, 2.5 * rate)
    check(wrong, "and in half a minute more", later, 1, 30 * rate * BACKGROUND_FLOOR + 256 * KiB)
    return Outcome(f"{first:,} bytes in two seconds, {later:,} in half a minute more", wrong)


SCENARIOS: Final = (
    three_times_too_much,
    everybody_is_slow,
    one_is_slow,
    one_is_silent,
    one_was_held_for_long,
    everybody_is_full,
    large_values,
    repair_under_pressure,
)
