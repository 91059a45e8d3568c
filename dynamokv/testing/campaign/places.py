"""The machines and users of one run, who of them is there, and when something is to happen.

Knows: machines and what runs on them. Must not know: what ends lives, and what begins them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from dynamokv.testing.campaign.history import History
from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import nanoseconds


class Places:
    """Who is where.

    Attributes:
        machines: those of members that have come.
        coming: names of members that are still to come.
        clients: processes that own nothing.
        happened: what came up, for the summary and the rare states.
        chaos: whether things go wrong now.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = Random(f"{plan.seed} world")
        self.cluster = Cluster(plan.seed)
        self.network = self.cluster.network
        self.history = History(lambda: self.cluster.now_ns)
        self.happened: Counter[str] = Counter()
        self.chaos = False
        self.machines: list[Machine] = []
        self.coming: list[str] = [f"n{number + 1}" for number in range(plan.members)]
        self.clients: list[Process] = []

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self.cluster.now_ns

    def members(self) -> list[Process]:
        """The running ones, in the order of their machines."""
        running = self.cluster.running
        return [running[machine.name] for machine in self.machines if machine.name in running]

    def users(self) -> list[Process]:
        """Who asks: clients, and the applications in which members live."""
        return [*self.clients, *self.members()]

    def process_on(self, machine: Machine) -> Process | None:
        """What runs there."""
        return self.cluster.running.get(machine.name)

    def all_ready(self) -> bool:
        """Whether everybody is there."""
        running = self.cluster.running
        return all(
            machine.name in running and running[machine.name].ready for machine in self.machines
        ) and all(client.ready for client in self.clients)

    def pick(self, random: Random) -> Process | None:
        """Some member."""
        members = self.members()
        return random.choice(members) if members else None

    def addresses(self) -> list[str]:
        """Of everybody, clients too."""
        return [*(m.address for m in self.machines), *(c.address for c in self.clients)]

    def seeds(self) -> tuple[str, ...]:
        """What people say of today: where the members are, and where those will be that come."""
        here = [machine.address for machine in self.machines]
        return (*here, *(f"{name}:1" for name in self.coming))

    def two_addresses(self, random: Random) -> tuple[str, str] | None:
        """Some pair of them."""
        addresses = self.addresses()
        if len(addresses) < 2:
            return None
        one, other = random.sample(addresses, 2)
        return one, other

    def is_settled(self) -> bool:
        """Whether every member that runs has a place, and none is being filled."""
        return all(
            member.home.topology is not None and member.home.topology.change is None
            for member in self.members()
        )

    def all_whole(self) -> bool:
        """Whether all members run, in one ring in which nobody is being filled."""
        members = self.members()
        return (
            len(members) == len(self.machines)
            and all(member.ready for member in members)
            and len({member.home.epoch for member in members}) == 1
            and self.is_settled()
        )

    def everybody_knows(self) -> bool:
        """Whether all members run, and all users know the same ring."""
        users, members = self.users(), self.members()
        if len(members) < len(self.machines):
            return False
        known = members[0].home.topology
        return (
            known is not None
            and all(user.home.epoch == known.epoch for user in users)
            and {mb.node_id: mb.address for mb in known.members}
            == {member.home.node_id: member.address for member in members}
        )

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do this later."""
        self.cluster.schedule.after(nanoseconds(seconds), action)

    def during_chaos(self, seconds: float, action: Callable[[], None]) -> None:
        """Do this later, if things still go wrong then."""
        self.after(seconds, lambda: action() if self.chaos else None)
