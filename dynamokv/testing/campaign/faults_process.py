"""What becomes of processes, and of the directories that they keep their data in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynamokv.testing.campaign.family import Family
from dynamokv.testing.campaign.faults_disk import AGAIN_SHARE
from dynamokv.testing.campaign.looking import NEW_PLACE
from dynamokv.testing.disk_loss import Kill as NothingLost
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND

if TYPE_CHECKING:
    from dynamokv.testing.campaign.world import World
    from dynamokv.testing.disk import SimulatedDisk
    from dynamokv.testing.simulation.memory import MemoryDisk

    Disk = SimulatedDisk | MemoryDisk


FOUND_AGAIN_SHARE: Final = 0.5
"""Of the directories that were wiped."""

HARRIED_SHARE: Final = 0.4
"""Of the members that replace another."""

CUT_OFF_SECONDS: Final = 1.0

LOOK_SECONDS: Final = 0.001
LOOKS_MAX: Final = 5_000

SLOW_NS: Final = 300 * MILLISECOND
"""A commit of a slow disk, at most, while a member dies young."""

LIFE_SECONDS: Final = 0.2
"""The longest of its lives."""

ASKED: Final = 4
"""Times that its users ask it in each of them."""

LOST_MAX: Final = 2
"""Newcomers that are lost in one run: it takes some seconds until another can have the place."""


class Kill(Family):
    """A process ends, and is started again; sometimes it ends in the middle of that, too."""

    name = "kill"

    def strike(self) -> bool:
        """One of them."""
        process = self.world.pick(self.random)
        if process is None:
            return False
        self.world.kill(process)
        if self.random.random() < AGAIN_SHARE:
            self.world.arm(process.machine, self.random, NothingLost())
        return True


class KillEverything(Family):
    """All members end at once."""

    name = "kill everything"
    period_seconds = 5.0

    def strike(self) -> bool:
        """All of them."""
        members = self.world.members()
        for process in members:
            self.world.kill(process)
        return bool(members)


class CleanRestart(Family):
    """A member is stopped as it should be, and started again."""

    name = "clean restart"

    def strike(self) -> bool:
        """One of them."""
        process = self.world.pick(self.random)
        if process is None:
            return False
        self.world.stop(process)
        return True


class Pause(Family):
    """A process does nothing for a while: SIGSTOP, a held GIL, a machine that swaps."""

    name = "pause"
    period_seconds = 1.0

    def strike(self) -> bool:
        """One of them."""
        process = self.world.pick(self.random)
        if process is None or process.paused:
            return False
        self.world.pause(process)
        self.world.during_chaos(self._some_seconds(), lambda: self.world.resume(process))
        return True


class RestartElsewhere(Family):
    """A member comes back at another address."""

    name = "restart elsewhere"
    period_seconds = 4.0

    def __init__(self, world: World, strength: float) -> None:
        super().__init__(world, strength)
        self.moves = 0

    def strike(self) -> bool:
        """Move one, when everybody knows where everybody is, and somebody else stays. Otherwise all
        might have moved, and nobody would be left at any address that somebody remembers. A
        newcomer is not somebody who stays: it may be lost."""
        process, world = self.world.pick(self.random), self.world
        if process is None or not world.everybody_knows() or not world.is_settled():
            return False
        if len(world.members()) == 1:
            return False
        self.moves += 1
        self.world.kill(process)
        process.machine.address = f"{NEW_PLACE}{self.moves}:1"
        return True


class YoungDeaths(Family):
    """A member ends several times, each time a moment after it was started, and its users ask it as
    soon as they can. Some disk is slow meanwhile: its own, or those of its peers, whose answers
    come to the next life then."""

    name = "young deaths"
    period_seconds = 3.0

    def strike(self) -> bool:
        """End one, cleanly or not, and then again and again."""
        world = self.world
        process = world.pick(self.random)
        if process is None or process.machine in world.lent:
            return False
        machine = process.machine
        self.random.choice((world.stop, world.stop, world.kill))(process)
        own = self.random.random() < 0.5
        usual_ns = world.plan.disk_us * 1_000
        for other in world.machines:
            if (other is machine) is own:
                other.commit_latency.set(SLOW_NS // 4, SLOW_NS)
        lives = self.random.randint(2, 5)

        def usual() -> None:
            for other in world.machines:
                other.commit_latency.set(usual_ns, usual_ns)

        world.during_chaos(LIFE_SECONDS * lives, usual)
        self._live(machine, lives)
        return True

    def _live(self, machine: Machine, lives: int) -> None:
        """One of them, and all that come after it."""
        world = self.world
        if not lives or machine in world.lent or machine not in world.machines:
            return
        process = world.process_on(machine) or world.start(machine)
        seconds = LIFE_SECONDS * self.random.random()
        for _ in range(ASKED):
            at = seconds * self.random.random()
            world.during_chaos(at, lambda: self._ask(process))

        def end() -> None:
            if process is not None and process.alive:
                world.kill(process)
            self._live(machine, lives - 1)

        world.during_chaos(seconds, end)

    def _ask(self, process: Process | None) -> None:
        if process is not None and process.alive:
            self.world.workload.burst(self.random.choice((1, 1, 3)), process)


class WipedDisk(Family):
    """A machine comes up with an empty directory at its old address, and takes its member's place.
    Sometimes the old directory is found, and started by mistake.

    One at a time, and the next only when the last one is whole: what a quorum has acknowledged
    stays. Sometimes somebody was cut off just before, and misses what the lost one coordinated; and
    somebody else ends as soon as the new one reads from there.
    """

    name = "wiped disk"
    spares_quorums = True
    period_seconds = 1.5

    def strike(self) -> bool:
        """Wipe one."""
        world = self.world
        process, members = world.pick(self.random), world.members()
        if process is None or not world.all_whole():
            return False
        # Alone, it would be the ring. And the founder of a ring that began with one member
        # begins another one, if it finds nobody for a while.
        first_seed = world.plan.grows and process.machine is world.machines[0]
        if len(members) == 1 or first_seed:
            return False
        if len(members) > 2 and self.random.random() < HARRIED_SHARE:
            others = [one for one in members if one is not process]
            self._harry(process, self.random.choice(others))
        else:
            self._wipe(process)
        return True

    def _wipe(self, process: Process) -> None:
        world, machine = self.world, process.machine
        world.kill(process)
        old = machine.snapshot()
        machine.wipe()
        world.forget(machine)
        if self.random.random() < FOUND_AGAIN_SHARE:
            world.during_chaos(self._some_seconds(), lambda: self._find(machine, old))

    def _harry(self, process: Process, behind: Process) -> None:
        """Wipe one as soon as somebody who was cut off is back."""
        world = self.world
        sides = [behind.address], [one for one in world.addresses() if one != behind.address]
        world.network.partition(*sides)

        def wipe() -> None:
            world.network.reunite(*sides)
            if process.alive and world.all_whole():
                self._wipe(process)
                self._take_a_source(process.machine, behind.machine, LOOKS_MAX)

        world.during_chaos(CUT_OFF_SECONDS * self.random.uniform(0.2, 1.0), wipe)

    def _take_a_source(self, machine: Machine, behind: Machine, looks: int) -> None:
        """As soon as its new member is being filled, somebody that it reads from ends."""
        process = self.world.process_on(machine)
        if process is not None and process.home.replacement == process.home.node_id:
            spared = (machine, behind)
            others = [one for one in self.world.members() if one.machine not in spared]
            if others:
                self.world.kill(self.random.choice(others))
        elif looks:

            def again() -> None:
                self._take_a_source(machine, behind, looks - 1)

            self.world.during_chaos(LOOK_SECONDS, again)

    def _find(self, machine: Machine, old: Disk) -> None:
        """Start what was there before, and then again what has taken its place."""
        process = self.world.process_on(machine)
        if process is None or not process.ready or not self.world.all_whole():
            return
        self.world.kill(process)
        new = machine.snapshot()
        machine.restore(old)
        self.world.lend(machine, lambda: machine.restore(new), self._some_seconds())


class RolledBackDisk(Family):
    """A machine comes back with its directory of some time ago: what it was told since, and told
    others, is forgotten.

    The copy is one of a running member. One that was made after a clean stop looks like that stop,
    and nothing in it tells that it is old.
    """

    name = "rolled-back disk"
    lossy = True
    period_seconds = 4.0

    def strike(self) -> bool:
        """Copy one now, and go back to the copy later."""
        process = self.world.pick(self.random)
        if process is None or not process.ready:
            return False
        machine, copy = process.machine, process.machine.snapshot()

        def back() -> None:
            later = self.world.process_on(machine)
            if later is not None:
                self.world.kill(later)
                machine.restore(copy)

        self.world.during_chaos(self._some_seconds(), back)
        return True


class ClonedDisk(Family):
    """Somebody starts a second member on a copy of a directory. The ring does not take it while the
    first one can be reached. Lossy: a copy that is started while the first one is away looks like a
    member that has moved, and has forgotten what came after it."""

    name = "cloned disk"
    lossy = True
    period_seconds = 4.0

    def strike(self) -> bool:
        """Clone one."""
        process = self.world.pick(self.random)
        if process is None or not process.ready:
            return False
        return self.world.clone(process)


class WrongAddress(Family):
    """Somebody starts a new process and says that it can be reached at the address of a member. It
    must not have that one's place, also while the member is away."""

    name = "wrong address"
    period_seconds = 4.0

    def strike(self) -> bool:
        """Have one come."""
        process = self.world.pick(self.random)
        if process is None or not process.ready:
            return False
        return self.world.stray(process)


class Join(Family):
    """Members that join while everything else goes wrong."""

    name = "join"
    while_growing = True
    period_seconds = 1.5

    def strike(self) -> bool:
        """Have one come."""
        return self.world.join()


class LostNewcomer(Family):
    """A newcomer ends while it is being filled and does not come back; another takes its place."""

    name = "lost newcomer"
    while_growing = True
    period_seconds = 0.02

    def strike(self) -> bool:
        """Take it away."""
        newcomer = self.world.newcomer()
        if newcomer is None or self.struck == LOST_MAX:
            return False
        self.world.replace(newcomer)
        return True
