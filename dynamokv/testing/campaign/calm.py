"""When all is healed, everybody is served: through whomever a user asks, and with one member away.

Knows: users and their requests. Rule: one request at a time, so that no limit is a reason to fail.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, TypeAlias

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

FRAMES_MAX: Final = 2
"""Of each user for each other one, in a second in which nobody asks anything."""

Failed: TypeAlias = Callable[[bytes, str], None]


class Calm:
    """Requests that have to succeed; ``failed`` hears of the name and the text of one that did
    not."""

    def __init__(self, world: World, failed: Failed) -> None:
        self.world = world
        self.random = Random(f"{world.plan.seed} calm")
        self._failed = failed
        self._names = 0

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

    def _demand(self, user: Process, name: bytes, *, write: bool) -> None:
        what = "write" if write else "read"

        def done(reply: Message) -> None:
            refused = type(reply) is m.PutDone and any(reply.errors)
            if refused or type(reply) not in (m.PutDone, m.GetDone):
                self._failed(name, f"a calm {what} at QUORUM by {user.name} failed: {reply}")

        workload = self.world.workload
        if write:
            values = [workload.value()]
            workload.write(user, [name], values, [b""], Consistency.QUORUM, done)
        else:
            workload.read(user, [name], Consistency.QUORUM, done)
        self.world.cluster.run(PACE_SECONDS)

    def _wait(self) -> None:
        self.world.cluster.run(self.world.plan.budget_ms / 1_000)
