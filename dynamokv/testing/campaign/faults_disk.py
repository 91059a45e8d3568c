"""What goes wrong with disks, while a process runs on them or at its end."""

from __future__ import annotations

import errno
from random import Random
from typing import TYPE_CHECKING, Final

from dynamokv.testing.campaign.family import Family
from dynamokv.testing.campaign.looking import disk_of
from dynamokv.testing.disk import SimulatedDisk, flip_any
from dynamokv.testing.disk_faults import Fault, Operation
from dynamokv.testing.disk_loss import USUAL_LOSSES, Kill, Loss, Scatter
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.schedule import MILLISECOND

if TYPE_CHECKING:
    from dynamokv.testing.campaign.world import World


AGAIN_SHARE: Final = 0.25
"""Of the power cuts, so many are followed by another one, while the store is opened again."""


def any_loss(random: Random) -> Loss:
    """What a power cut leaves."""
    cuts = [loss for loss in USUAL_LOSSES if not isinstance(loss, Kill)]
    return random.choice([*cuts, Scatter(random.randrange(1 << 30))])


class SlowDisk(Family):
    """The commits of a machine take long."""

    name = "slow disk"
    most_ms = 30

    def strike(self) -> bool:
        """Slow one down for a while."""
        machine = self.random.choice(self.world.machines)
        usual_ns = self.world.plan.disk_us * 1_000
        machine.commit_latency.set(usual_ns, usual_ns + self.most_ms * MILLISECOND)
        self.world.during_chaos(
            self._some_seconds(), lambda: machine.commit_latency.set(usual_ns, usual_ns)
        )
        return True


class StalledDisk(SlowDisk):
    """The commits of a machine take longer than anybody waits."""

    name = "stalled disk"
    period_seconds = 4.0
    most_ms = 4_000


class FullDisk(Family):
    """There is no room left, for a while."""

    name = "full disk"
    period_seconds = 3.0

    def strike(self) -> bool:
        """Fill one."""
        machine = self.random.choice(self.world.machines)
        disk = disk_of(machine)
        disk.capacity_bytes = disk.used_bytes() + self.random.choice((0, 100, 3_000))
        disk.full_error = self.random.choice((errno.ENOSPC, errno.EDQUOT))
        self.world.during_chaos(self._some_seconds(), lambda: _empty(machine))
        return True

    def end(self) -> None:
        """Room for all."""
        for machine in self.world.machines:
            _empty(machine)


def _empty(machine: Machine) -> None:
    disk_of(machine).capacity_bytes = None


class _Failing(Family):
    """Calls that fail with EIO."""

    needs_reopening = True
    operations: frozenset[Operation] = frozenset()
    counts: tuple[int, ...] = (1, 1, 3)
    skip_max = 20
    period_seconds = 4.0

    def __init__(self, world: World, strength: float) -> None:
        super().__init__(world, strength)
        self.faults: list[tuple[Machine, Fault]] = []

    def strike(self) -> bool:
        """Have some calls of one disk fail."""
        machine = self.random.choice(self.world.machines)
        fault = Fault(
            operations=self.operations,
            skip=self.random.randint(0, self.skip_max),
            count=self.random.choice(self.counts),
            done=self.random.choice((0.0, 0.5)),
            reverts=self.random.random() < 0.5,
        )
        if self.lossy:
            self.world.back_up(machine)
        disk_of(machine).faults.append(fault)
        self.faults.append((machine, fault))
        return True

    def end(self) -> None:
        """No more."""
        self.struck = sum(fault.struck for _, fault in self.faults)
        for machine, fault in self.faults:
            faults = disk_of(machine).faults
            if any(fault is other for other in faults):
                faults.remove(fault)


class FailingWrites(_Failing):
    """Appends fail, some of them half done."""

    name = "failing writes"
    operations = frozenset({Operation.APPEND})


class FailingSyncs(_Failing):
    """An fsync fails, and the pages are gone."""

    name = "failing syncs"
    operations = frozenset({Operation.SYNC, Operation.SYNC_DIR})


class FailingReads(_Failing):
    """What was written cannot be read, for a while. Lossy: a write that cannot read what it builds
    on replaces this replica's copy."""

    name = "failing reads"
    operations = frozenset({Operation.READ, Operation.READ_AT})
    counts = (1, 3, 30)
    skip_max = 3
    period_seconds = 2.0
    lossy = True
    damages = True


class PowerCut(Family):
    """A machine loses its power, and what it had not synced, or a part of that."""

    name = "power cut"
    loses_unsynced = True

    def strike(self) -> bool:
        """One machine."""
        process = self.world.pick(self.random)
        if process is None:
            return False
        self.world.power_cut(process, any_loss(self.random))
        if self.random.random() < AGAIN_SHARE:
            self.world.arm(process.machine, self.random, any_loss(self.random))
        return True


class PowerCutEverywhere(Family):
    """All machines lose their power at once."""

    name = "power cut everywhere"
    loses_unsynced = True
    period_seconds = 5.0

    def strike(self) -> bool:
        """All."""
        members = self.world.members()
        for process in members:
            self.world.power_cut(process, any_loss(self.random))
            if self.random.random() < AGAIN_SHARE:
                self.world.arm(process.machine, self.random, any_loss(self.random))
        return bool(members)


class CrashInApply(Family):
    """A process ends between two calls to its disk, or in the middle of one; of what it had not
    synced all, some or nothing is left."""

    name = "crash in apply"
    loses_unsynced = True

    def __init__(self, world: World, strength: float) -> None:
        super().__init__(world, strength)
        self.armed: list[SimulatedDisk] = []

    def strike(self) -> bool:
        """Arm one: a call soon will be its last."""
        process = self.world.pick(self.random)
        if process is None:
            return False
        loss = Kill() if self.random.random() < 0.3 else any_loss(self.random)
        share = self.random.choice((0.0, 0.0, 0.5))
        process.machine.crash_at_call(self.random.randint(1, 60), loss, share)
        self.armed.append(disk_of(process.machine))
        return True

    def end(self) -> None:
        """Disarm."""
        for disk in self.armed:
            self.world.happened["crash in a call"] += disk.crashed
            if not disk.crashed:
                disk.crash_at = None


class BitRot(Family):
    """Bits turn round in files at rest, while their machine is down: after a kill, or after a clean
    stop, where its member has no other reason to expect that something is gone."""

    name = "bit rot"
    lossy = True
    damages = True
    period_seconds = 3.0

    def strike(self) -> bool:
        """Damage one."""
        process = self.world.pick(self.random)
        if process is None or process.machine in self.world.lent:
            return False
        end = self.random.choice((self.world.kill, self.world.stop))
        end(process)
        disk = disk_of(process.machine)
        if not any(disk.contents().values()):
            return False
        self.world.back_up(process.machine)
        for _ in range(self.random.choice((1, 1, 5))):
            flip_any(disk, self.random)
        return True
