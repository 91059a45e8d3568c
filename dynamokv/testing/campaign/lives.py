"""How the lives of one run begin and end.

Knows: processes, directories, who takes care of them. Must not know: which faults there are.

Rules:
    - Whoever is down is started again after a while, unless its machine is *lent* to a fault.
    - A store that nobody damaged opens, and its member comes back as who it was.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, cast

from dynamokv.errors import CorruptionError, StorageError
from dynamokv.ports import Reader
from dynamokv.protocol.node import Node
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.looking import Noted, disk_of
from dynamokv.testing.campaign.places import Places
from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.workload import Workload
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_loss import Kill, Loss
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.testing.simulation.process import Process
from dynamokv.types import NodeId

DOWN_SECONDS: Final = (0.01, 0.1, 0.5, 2.0)
"""How long whoever ended stays down."""

CLONE_SECONDS: Final = 4.0

OPENING_CALLS: Final = 40
"""To a disk, until a store is open: about so many."""


class Lives(Places):
    """Beginnings and ends.

    Attributes:
        lent: machines whose process is no member now, and what puts them right.
        lives: all members there ever were.
        copies: of directories, for those whose own is lost.
        ids: of members, by their machines.
        twins: processes on copies of directories.
        armed: disks one of whose next calls is the last.
        wiped: machines whose member has lost its disk once.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.lent: dict[Machine, Callable[[], None]] = {}
        self.lives: list[Process] = []
        self.copies: dict[Machine, SimulatedDisk | MemoryDisk] = {}
        self.ids: dict[Machine, NodeId] = {}
        self.twins: list[Process] = []
        self.armed: list[SimulatedDisk] = []
        self.wiped: set[Machine] = set()
        self._resumed: dict[Process, int] = {}
        self.workload = Workload(self, self.history)

    def start(self, machine: Machine) -> Process | None:
        """Boot what is on a machine; ``None`` when its store cannot be opened."""
        self.happened["starts"] += 1
        machine.settings["seeds"] = self.seeds()
        try:
            process = self.cluster.start(machine)
        except StorageError as error:
            self.happened[f"start: {type(error).__name__}"] += 1
            if isinstance(error, CorruptionError):
                self._damaged(machine, error)
            return None
        self.lives.append(process)
        process.home.reader = cast(Reader, Noted(process.home.reader))
        self.workload.meet(process)
        if machine not in self.lent and self._is_somebody_else(machine, process):
            return None
        engine = process.engine
        if self.plan.durable and isinstance(engine, LSMEngine) and engine.files_damaged:
            text = f"{machine.name} finds damage in its store, which nobody did"
            self.history.report(Rule.LIVENESS, b"", text)
        if engine.forgot:
            self.happened["opened with less than there was"] += 1
        return process

    def _is_somebody_else(self, machine: Machine, process: Process) -> bool:
        """A store of which nothing is left makes its member a stranger."""
        if self.ids.get(machine, process.home.node_id) == process.home.node_id:
            return False
        self.happened["came back as somebody else"] += 1
        self.kill(process)
        self._damaged(machine, "it came back under another id")
        return True

    def _damaged(self, machine: Machine, error: object) -> None:
        """A store that nobody can open: whoever runs it has an older copy, if a fault did this."""
        if self.plan.durable:
            text = f"{machine.name} cannot open its store, which nobody damaged: {error}"
            self.history.report(Rule.LIVENESS, b"", text)
        elif machine in self.copies:
            self.happened["copy put back"] += 1
            machine.restore(self.copies[machine])

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        self.cluster.kill(process)

    def power_cut(self, process: Process, loss: Loss) -> None:
        """Its machine has no power for a moment."""
        self.cluster.power_cut(process, loss)

    def arm(self, machine: Machine, random: Random, loss: Loss) -> None:
        """Whoever starts here next mostly ends while it opens its store, or soon after."""
        disk = disk_of(machine)
        machine.crash_at_call(random.randint(1, OPENING_CALLS), loss, random.choice((0.0, 0.5)))
        self.armed.append(disk)

    def disarm(self) -> None:
        """Nobody ends so any more."""
        for disk in self.armed:
            if not disk.crashed:
                disk.crash_at = None
        self.armed.clear()

    def stop(self, process: Process) -> None:
        """As it should be."""
        self.resume(process)
        if process.alive:
            self.cluster.stop(process)

    def pause(self, process: Process) -> None:
        """It does nothing."""
        self.cluster.pause(process, frozen=self.random.random() < 0.5)

    def resume(self, process: Process) -> None:
        """It goes on."""
        if process.alive and process.paused:
            self._resumed[process] = self.now_ns
            self.happened["request at a frozen member"] += self.workload.has_open(process)
            self.cluster.resume(process)

    def resumed_ns(self, process: Process) -> int:
        """When this process last went on after a pause."""
        return self._resumed.get(process, 0)

    def lend(self, machine: Machine, back: Callable[[], None], seconds: float) -> None:
        """What is on this machine now may run, and is no member of the ring; after so long it ends,
        ``back`` puts the machine right, and its member comes back."""
        self.lent[machine] = back
        self.start(machine)
        self.after(seconds, lambda: self.give_back(machine))

    def give_back(self, machine: Machine) -> None:
        """A machine that was lent is a member's again."""
        back = self.lent.pop(machine, None)
        if back is None:
            return
        stranger = self.process_on(machine)
        if stranger is not None:
            topology, core = stranger.home.topology, stranger.core
            assert isinstance(core, Node)
            if core.ready and topology and topology.member(stranger.home.node_id) is None:
                text = f"{machine.name} serves, and knows that it is no member any more"
                self.history.report(Rule.LIVENESS, b"", text)
            self.kill(stranger)
        # It may have taken writes before it heard that it is nobody.
        self.history.lost_a_copy()
        back()

    def clone(self, process: Process) -> bool:
        """Start a second process on a copy of this one's disk."""
        self.happened["clones"] += 1
        name = f"copy{self.happened['clones']}"
        copy = self.cluster.clone(process.machine, name)
        copy.commit_latency.set(self.plan.disk_us * 1_000, self.plan.disk_us * 1_000)
        try:
            twin = self.cluster.start(copy)
        except StorageError:
            return False
        self.lives.append(twin)
        self.twins.append(twin)
        self.after(CLONE_SECONDS, lambda: self._end_clone(twin))
        return True

    def _end_clone(self, twin: Process) -> None:
        self.happened["clones refused"] += bool(twin.refused)
        if twin.alive:
            self.kill(twin)

    def keep_running(self) -> None:
        """From now on whoever is down is started again."""
        self.during_chaos(self.random.choice(DOWN_SECONDS), self._look)

    def _look(self) -> None:
        running = self.cluster.running
        self.remember_ids()
        for machine in self.machines:
            if machine.name not in running and machine not in self.lent:
                self.start(machine)
        if not self.plan.durable and self.random.random() < 0.3:
            # Somebody copies a directory now and then, of a member that runs.
            process = self.pick(self.random)
            if process is not None and process.ready:
                self.back_up(process.machine)
        self.keep_running()

    def remember_ids(self) -> None:
        """Who is a member now has its id for ever."""
        for process in self.members():
            if process.ready and process.machine not in self.lent:
                self.ids.setdefault(process.machine, process.home.node_id)

    def back_up(self, machine: Machine) -> None:
        """Copy the directory of a member, and keep the copy if it can be opened: a store that runs
        may have lost already what only its start would look for."""
        if machine in self.lent:
            return
        copy = machine.snapshot()
        trial = Machine(machine.name, copy.survivor(Kill()), machine.clock, options=machine.options)
        try:
            trial.close(trial.open()[0])
        except StorageError:
            self.happened["copies that cannot be opened"] += 1
        else:
            self.copies[machine] = copy
