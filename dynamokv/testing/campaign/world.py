"""The ring of one run: how it forms, grows and heals, and what goes wrong meanwhile.

Knows: what a plan says of a ring. What families asked for later is not done once the chaos is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dynamokv.testing.campaign.family import Family
from dynamokv.testing.campaign.faults import FAMILIES
from dynamokv.testing.campaign.lives import CLONE_SECONDS, Lives
from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND
from dynamokv.types import NodeId

FORM_SECONDS: Final = 20.0

STARTS_MAX: Final = 3
"""A store that was put back from a copy is opened once more."""


class World(Lives):
    """Everything of one run.

    Attributes:
        gone: newcomers that do not come back, and their ids.
        families: what goes wrong.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.gone: dict[Machine, NodeId] = {}
        self.families: list[Family] = [
            FAMILIES[name](self, strength) for name, strength in plan.families
        ]

    def form(self) -> None:
        """A ring, its clients, and nothing wrong yet. Of a ring that is to grow during the chaos,
        the first member or two."""
        plan = self.plan
        joins = plan.grows and any(name == "join" for name, _ in plan.families)
        first = self.random.choice((1, 1, 2))
        while self.coming and not (joins and len(self.machines) == first):
            self.join()
            if plan.grows:
                self.cluster.run_until(self.all_ready, FORM_SECONDS)
        for number in range(plan.clients):
            client = self.cluster.client(f"c{number + 1}", *self.seeds())
            self.clients.append(client)
            self.workload.meet(client)
        self.cluster.run_until(self.all_ready, FORM_SECONDS)
        self.cluster.run(0.2)
        self.remember_ids()
        network = self.network
        low_us, high_us = plan.latency_us
        network.latency.set(low_us * 1_000, high_us * 1_000)
        network.notice_ns = plan.notice_us * 1_000

    def join(self) -> bool:
        """The next newcomer comes, if there is one left."""
        if not self.coming:
            return False
        plan = self.plan
        machine = self.cluster.machine(
            self.coming.pop(0), options=plan.store, durability=plan.durability
        )
        machine.commit_latency.set(plan.disk_us * 1_000, plan.disk_us * 1_000)
        machine.settings = {
            "partitions": plan.partitions,
            "n": plan.members if plan.grows else min(plan.n, plan.members),
            "expect_members": 1 if plan.grows else plan.members,
            "hedge_after": plan.hedge_after,
            "sibling_cap": plan.sibling_cap,
            "in_flight_max": plan.in_flight_max,
            "tombstone_grace": plan.tombstone_grace,
            "tree_check_interval": plan.tree_check_interval,
            "hint_bytes_per_target": plan.hint_bytes,
            "scan_page_items": plan.scan_page_items,
        }
        self.machines.append(machine)
        self.start(machine)
        return True

    def newcomer(self) -> Process | None:
        """A member that is being filled, or has no place yet, while the first one, which decides,
        knows no better and has nothing under way."""
        first = self.process_on(self.machines[0])
        if first is None or not first.ready or first.home.topology is None or first.paused:
            return None
        assert first.committer is not None
        record = first.home.topology
        for process in self.members()[1:]:
            id = process.home.node_id
            if process.machine in self.lent or process.machine in self.wiped:
                continue
            if record.change == id or (record.member(id) is None and first.committer.idle):
                return process
        return None

    def replace(self, newcomer: Process) -> None:
        """It ends for ever, and another one comes."""
        machine = newcomer.machine
        self.kill(newcomer)
        self.machines.remove(machine)
        self.gone[machine] = newcomer.home.node_id
        # Whose address is the least one founds rings: it is not a newcomer.
        self.coming.append(f"newcomer{len(self.gone)}")
        self.join()

    def stray(self, process: Process) -> bool:
        """Start a process that claims to be where this one is."""
        self.happened["strays"] += 1
        machine = self.cluster.machine(f"stray{self.happened['strays']}")
        machine.settings = dict(process.machine.settings)
        stray = self.cluster.start(machine)
        stray.home.settings = replace(stray.home.settings, address=process.address)
        self.lives.append(stray)
        self.twins.append(stray)

        def end() -> None:
            if stray.alive:
                self.kill(stray)

        self.after(CLONE_SECONDS, end)
        return True

    def forget(self, machine: Machine) -> None:
        """What its member held is gone for ever, and whoever comes back from it is another one."""
        self.wiped.add(machine)
        self.ids.pop(machine, None)
        self.copies.pop(machine, None)
        self.history.lost_a_copy()

    def heal(self) -> None:
        """Nothing goes wrong any more, and everybody is there."""
        self.chaos = False
        for machine in list(self.lent):
            self.give_back(machine)
        for family in self.families:
            family.end()
        self.disarm()
        self.network.heal()
        for process in list(self.cluster.running.values()):
            self.resume(process)
            if process in self.twins:
                self.kill(process)
        # A store that met an error of its disk takes writes again once it is opened anew.
        reopen = any(family.needs_reopening for family in self.families)
        # A twin that found nobody at its place took it: the member asks for it when it starts.
        reopen = reopen or any(twin.ready for twin in self.twins)
        reopen = self.random.random() < 0.5 or reopen
        for machine in self.machines:
            machine.clock.jump(-machine.clock.offset_ms)
            machine.commit_latency.set(MILLISECOND // 5, MILLISECOND // 5)
            here = self.process_on(machine)
            if here is not None and reopen:
                self.kill(here)
            for _ in range(STARTS_MAX):
                if self.process_on(machine) is None:
                    self.start(machine)
        self._take_back()
        while self.coming:
            self.join()

    def _take_back(self) -> None:
        """A newcomer that was given up for lost, and had just become a member: only it has its
        place, so it comes back, and whoever came instead of it goes."""
        first = self.process_on(self.machines[0])
        topology = first.home.topology if first is not None else None
        for machine, node_id in self.gone.items():
            if topology is None or topology.member(node_id) is None or topology.change == node_id:
                continue
            self.machines.append(machine)
            self.start(machine)
            if self.coming:
                self.coming.pop()
                continue
            for other in reversed(self.machines[1:]):
                here = self.process_on(other)
                if here is None or topology.member(here.home.node_id) is None:
                    self.machines.remove(other)
                    if here is not None:
                        self.kill(here)
                    break

    def owners_of(self, name: bytes) -> tuple[bytes, list[Process]]:
        """The row of a name, and those of its owners that run."""
        home = next(process.home for process in self.members() if process.home.topology)
        row, owners = home.locate(name)
        by_id: dict[NodeId, Process] = {one.home.node_id: one for one in self.members()}
        return row, [by_id[owner] for owner in owners if owner in by_id]
