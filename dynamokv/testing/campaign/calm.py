"""When all is healed, everybody is served: through whomever a user asks, with one member away, and
with one whose application holds the GIL.

Knows: users and their requests. Rule: one request at a time, so that no limit is a reason to fail.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, TypeAlias

from dynamokv.testing.campaign.believing import doubts, verdicts_of
from dynamokv.testing.campaign.looking import hints_of
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import Message

if TYPE_CHECKING:
    from dynamokv.testing.campaign.world import World

PACE_SECONDS: Final = 0.05
AWAY_SECONDS: Final = 1.0
"""After this, everybody has noticed who is away, or back."""

BELIEF_SECONDS: Final = 5.0
"""Ten periods of probing. After this, everybody believes of everybody that it answers."""

NOTICE_SECONDS: Final = 5.0
"""The same, until everybody has noticed that one does not: two turns in a ring of six, and helpers.
"""

RETURN_SECONDS: Final = 2.0
"""After this, one that holds its GIL no more is as good as any other for everybody."""

PROMPT_SECONDS: Final = 0.25
"""For a request that asks nobody who is slow: four ways of 20 ms each, and a disk."""

HANDOFF_SECONDS: Final = 60.0

FRAMES_MAX: Final = 3
"""Of each user for each other one, in a second in which nobody asks anything. A member probes two
others in it and answers as many, wherever they are, and may ask all of them for a round of
collecting; clients have most of this to spare."""

Failed: TypeAlias = Callable[[bytes, str], None]


class Calm:
    """Requests that have to succeed; ``failed`` hears of the name and the text of one that did
    not."""

    def __init__(self, world: World, failed: Failed) -> None:
        self.world = world
        self.random = Random(f"{world.plan.seed} calm")
        self._failed = failed
        self._names = 0
        self._unanswered = 0

    def everybody_is_served(self) -> None:
        """One write and one read at QUORUM through each user."""
        names = [(user, self._name()) for user in self.world.users()]
        for user, name in names:
            self._demand(user, name, write=True)
        self._wait()
        for user, name in names:
            self._demand(user, name, write=False)
        self._wait()

    def without_one(self) -> bool:
        """The same while a member is away that comes back then; False when a quorum needs it."""
        world = self.world
        topology = world.members()[0].home.topology
        if topology is None or topology.n < 3 or not world.is_settled():
            return False
        away = self.random.choice(world.members())
        world.stop(away)
        world.cluster.run(AWAY_SECONDS)
        self.everybody_is_served()
        world.start(away.machine)
        return True

    def everybody_is_believed(self) -> None:
        """Each member sends requests to each other one, and says so."""
        members = self.world.members()
        try:
            self.world.cluster.run_until(lambda: not doubts(members), BELIEF_SECONDS)
        except TimeoutError:
            self._failed(
                b"", f"not believed after {BELIEF_SECONDS} s: {'; '.join(doubts(members))}"
            )

    def with_one_held(self) -> None:
        """The application of a member holds the GIL: its links stand, and nobody answers. The
        others notice, and do not wait for it; they forget it when it is back; and it blames nobody.
        """
        world, members = self.world, self.world.members()
        held = self.random.choice(members)
        others = [member for member in members if member is not held]
        before = self._ring(members)
        world.cluster.pause(held, frozen=False)
        world.cluster.run(NOTICE_SECONDS)
        for member in others:
            if held.home.node_id not in member.home.slow | (member.home.linked - member.home.up):
                self._failed(b"", f"{member.name} has not noticed that {held.name} does not answer")
        for member in others:
            self._promptly(member)
        blamed = verdicts_of(held)
        world.cluster.resume(held)
        world.cluster.run(RETURN_SECONDS)
        found = doubts(members)
        if found:
            self._failed(b"", f"{RETURN_SECONDS} s after {held.name} returned: {'; '.join(found)}")
        if verdicts_of(held) != blamed:
            self._failed(b"", f"{held.name} was late itself, and blames others for it")
        if self._ring(members) != before:
            self._failed(b"", "a verdict changed the ring, or moved data")

    def _ring(self, members: list[Process]) -> list[tuple[int, int]]:
        return [(one.home.epoch, one.home.counters["filled_rows"]) for one in members]

    def _promptly(self, user: Process) -> None:
        """A write, and reads that ask each owner in turn if they ask everybody alike."""
        name = self._name()
        for write in (True, False, False, False):
            answered = self._demand(user, name, write=write, seconds=PROMPT_SECONDS)
            if not answered:
                what = "write" if write else "read"
                self._failed(name, f"a {what} by {user.name} waited for a member that is slow")

    def everything_is_handed_over(self) -> str:
        """Wait until nobody keeps anything for anybody; whoever still does then."""
        try:
            self.world.cluster.run_until(lambda: not self._holders(), HANDOFF_SECONDS)
        except TimeoutError:
            return f"{HANDOFF_SECONDS} s after healing {', '.join(self._holders())}"
        return ""

    def _holders(self) -> list[str]:
        """Members that keep something, or think so. What cannot be read is nobody's any more."""
        found = []
        for member in self.world.members():
            rows, accounts = hints_of(member), member.home.hints.accounts
            if rows or (rows is not None and accounts):
                found.append(f"{member.name} keeps {len(rows)} hints, and counts {len(accounts)}")
        return found

    def frames_of_a_second(self) -> tuple[int, int]:
        """How many there are when nobody asks, and how many there may be."""
        network, users = self.world.network, len(self.world.users())
        before = network.sent
        self.world.cluster.run(1.0)
        return network.sent - before, FRAMES_MAX * users * (users - 1)

    def _name(self) -> bytes:
        """Of a key that nobody has used."""
        self._names += 1
        return name_of(b"", b"calm%d" % self._names)

    def _demand(
        self, user: Process, name: bytes, *, write: bool, seconds: float = PACE_SECONDS
    ) -> bool:
        """Whether it was answered within that time."""
        what = "write" if write else "read"
        replies: list[Message] = []
        self._unanswered += 1

        def done(reply: Message) -> None:
            self._unanswered -= 1
            replies.append(reply)
            refused = type(reply) is m.PutDone and any(reply.errors)
            if refused or type(reply) not in (m.PutDone, m.GetDone):
                self._failed(name, f"a calm {what} at QUORUM by {user.name} failed: {reply}")

        workload = self.world.workload
        if write:
            values = [workload.value()]
            workload.write(user, [name], values, [b""], Consistency.QUORUM, done)
        else:
            workload.read(user, [name], Consistency.QUORUM, done)
        self.world.cluster.run(seconds)
        return bool(replies)

    def _wait(self) -> None:
        """For whoever was not answered at once."""
        self.world.cluster.wait(lambda: not self._unanswered, self.world.plan.budget_ms / 1_000)
