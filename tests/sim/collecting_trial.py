"""Short seeded rings in which keys are deleted and collected while members lag, fall back, and
forget: nothing that was deleted may return, and nothing else may go.

Knows: the ring of ``collecting_ring``. Must not know: how horizons come about.

A campaign rarely has what the rules of collecting are for: rounds want a ring that is whole, and
faults want it not to be. So time here goes from one to the other, with few keys and a short grace.

Rule: a disk that lost something is put in only while all owners hold the same, and nobody keeps a
hint. So whatever was acknowledged is still somewhere, and all of it is demanded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dynamokv.limits import SCAN_PAGE_BYTES
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.testing.simulation.network import Endpoint
from dynamokv.testing.simulation.schedule import SECOND
from dynamokv.types import Consistency
from dynamokv.wire.frame import FrameReader
from dynamokv.wire.keys import is_data_row
from dynamokv.wire.rounds import Horizons
from tests.sim.collecting_ring import (
    BALLAST,
    FAR_BEHIND_MS,
    GRACE,
    NAMES,
    SLOW_MS,
    WHOLE_SECONDS,
    Ring,
)

STEPS: Final = 40


class Trial(Ring):
    """One ring, and what is done to it.

    Attributes:
        copies: of disks, to come back to.
        done: how often each thing was.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.copies: dict[Machine, MemoryDisk] = {}
        self.done: Counter[str] = Counter()

    def play(self) -> list[str]:
        """All of it; what is wrong in the end."""
        actions: dict[Callable[[], bool], int] = {
            self.write: 8,
            self.wait: 6,
            self.lose_frames: 2,
            self.delay_frames: 1,
            self.cut: 1,
            self.end_one: 2,
            self.return_all: 3,
            self.fall_back_behind_stand_ins: 2,
            self.copy_a_disk: 2,
            self.fall_back: 2,
            self.forget_a_row: 1,
            self.replace: 2,
        }
        for _ in range(STEPS):
            action = self.random.choices(list(actions), list(actions.values()))[0]
            self.done[action.__name__] += action()
        return self.wrong()

    # --- users ------------------------------------------------------------------------------------

    def write(self) -> bool:
        """A value, or a delete, through some member."""
        members = self.members()
        if not members:
            return False
        level = self.random.choice((Consistency.ONE, Consistency.QUORUM, Consistency.ALL))
        return self.put(self.random.choice(members), self.random.choice(NAMES), level)

    def wait(self) -> bool:
        """Time for a round, or for many, or for none."""
        self.cluster.run(self.random.choice((0.02, 0.2, 1.0, 3.0)))
        return True

    # --- what goes wrong and is made good ---------------------------------------------------------

    def lose_frames(self) -> bool:
        """For a while most frames are lost, and nobody hears of it; then one write more."""
        drop = self.cluster.network.drop
        drop.share = self.random.choice((0.3, 0.9))
        written = self.write()
        drop.share = 0.0
        return written

    def delay_frames(self) -> bool:
        """Of a write some frames come twice, and some of those seconds after all others. Meanwhile
        its key is deleted, and time passes."""
        network, name = self.cluster.network, self.random.choice(NAMES)
        owners = self.owners(name)
        if not owners:
            return False
        network.lateness.set(1 * SECOND, 9 * SECOND)
        network.duplicate.share, network.late.share = 1.0, 0.5
        written = self.put(self.random.choice(owners), name, Consistency.QUORUM)
        network.duplicate.share = network.late.share = 0.0
        self.put(self.random.choice(owners), name, Consistency.ALL, b"")
        self.cluster.run(2.0)
        return written

    def cut(self) -> bool:
        """Two do not reach each other, until all return."""
        one, other = self.random.sample(self.machines, 2)
        self.cluster.network.cut(one.address, other.address)
        return True

    def end_one(self) -> bool:
        """One ends, cleanly or not."""
        members = self.members()
        if len(members) < 2:
            return False
        end = self.random.choice((self.cluster.stop, self.cluster.kill))
        end(self.random.choice(members))
        return True

    def fall_back_behind_stand_ins(self) -> bool:
        """Of a write whose other owners are away, stand-ins have a copy, and its coordinator falls
        back to before it. Then all return, and for a while the stand-ins do not reach those for
        whom they have it; or what they send first is lost, or refused."""
        if len(self.machines) < 5 or not self.becomes_whole():
            return False
        name = self.random.choice(NAMES)
        first, *others = self.owners(name)
        stand_ins = [one for one in self.members() if one is not first and one not in others]
        self.put(first, name, Consistency.ALL, b"")
        copy = first.machine.snapshot()
        for other in others:
            self.cluster.stop(other)
        self.cluster.run(0.02)
        # It will drive rounds above what it writes now.
        first.clock.jump(-first.clock.offset_ms)
        done = self.put(first, name, Consistency.QUORUM, b"kept %d" % self.writes)
        self.cluster.kill(first)
        if done:
            first.machine.restore(copy)
        self.cluster.run(2 * GRACE)
        sides = [one.address for one in stand_ins], [one.address for one in others]
        self.return_all()
        self.cluster.network.partition(*sides)
        self.cluster.run(self.random.choice((0.0, 2.0, 4.0)))
        drop, full = self.random.choice(((0.0, ""), (1.0, ""), (0.0, "full")))
        self.cluster.network.drop.share = drop
        for other in others:
            self._disk_of(other.machine).failing = full
        self.cluster.network.reunite(*sides)
        self.cluster.run(0.3)
        self.cluster.network.drop.share = 0.0
        for other in others:
            self._disk_of(other.machine).failing = ""
        return done

    def _disk_of(self, machine: Machine) -> MemoryDisk:
        assert isinstance(machine.disk, MemoryDisk)
        return machine.disk

    def copy_a_disk(self) -> bool:
        """Of a member that runs, to come back to."""
        machine = self.random.choice(self.machines)
        process = self.cluster.running.get(machine.name)
        if process is None or not process.ready:
            return False
        copy = machine.snapshot()
        assert isinstance(copy, MemoryDisk)
        self.copies.setdefault(machine, copy)
        return True

    def fall_back(self) -> bool:
        """A member comes back with its disk of some time ago, sometimes with a clock that is as far
        behind."""
        if not self.copies or not self.becomes_whole():
            return False
        machine = self.random.choice(list(self.copies))
        far_behind = self.random.random() < 0.3
        if far_behind:
            # Until the others have promised more than it has ever said of its own clock.
            self.cluster.run(FAR_BEHIND_MS / 1_000)
            through = self.random.choice(self.members())
            self.put(through, self.random.choice(NAMES), Consistency.ALL, b"")
            self.cluster.run(1.0)
        self.cluster.kill(self.cluster.running[machine.name])
        machine.restore(self.copies.pop(machine))
        if far_behind:
            machine.clock.jump(-machine.clock.offset_ms - FAR_BEHIND_MS)
        self.start_later(machine)
        self.comes(lambda: self.cluster.running[machine.name].ready, 1.0)
        self.put(self.cluster.running[machine.name], self.random.choice(NAMES), Consistency.ONE)
        return True

    def forget_a_row(self) -> bool:
        """A store says at its opening that it lost something: a row. At the next it does not."""
        if not self.becomes_whole():
            return False
        machine = self.random.choice(self.machines)
        rows = self.cluster.running[machine.name].engine.scan(b"", b"\xff" * 64)
        keys = [key for key, _ in rows if is_data_row(key)]
        self.cluster.kill(self.cluster.running[machine.name])
        assert isinstance(machine.disk, MemoryDisk)
        if keys:
            machine.disk.apply([(self.random.choice(keys), None)], sync=True)
        machine.disk.forgot = True
        self.start_later(machine)
        self.cluster.run(0.1)
        machine.disk.forgot = False
        if self.random.random() < 0.5:
            self.cluster.kill(self.cluster.running[machine.name])
            self.cluster.start(machine)
        return bool(keys)

    def replace(self) -> bool:
        """A member loses its disk, and its clock is slow, while others collect. It is filled anew,
        while what they tell of horizons is lost; and written through at once."""
        if not self.becomes_whole():
            return False
        name, machine = self.random.choice(NAMES), self.random.choice(self.machines)
        through = self.cluster.running[machine.name]
        if self.random.random() < 0.3:
            ballast = (b"ballast %d " % self.writes).ljust(SCAN_PAGE_BYTES)
            self.put(through, BALLAST, Consistency.ALL, ballast)
        self.put(through, name, Consistency.ALL, b"")
        self.cluster.run(self.random.choice((0.0, 1.0, 2.0)))
        self.cluster.kill(self.cluster.running[machine.name])
        machine.wipe()
        self.copies.pop(machine, None)
        machine.clock.jump(-machine.clock.offset_ms - self.random.choice(SLOW_MS))
        with self.statements_lost(self.random.choice((0.0, 2.0))):
            process = self.cluster.start(machine)
            if not self.comes(lambda: process.ready, WHOLE_SECONDS):
                return False
        return self.put(process, name, Consistency.QUORUM, b"after %d" % self.writes)

    @contextmanager
    def statements_lost(self, seconds: float) -> Iterator[None]:
        """Frames with what members say of their horizons are lost, for so long at most."""
        network, ends_ns = self.cluster.network, self.cluster.now_ns + round(seconds * SECOND)
        before = network.on_send

        def on_send(source: Endpoint, frame: bytes) -> None:
            before(source, frame)
            early = self.cluster.now_ns < ends_ns
            told = early and any(type(x) is Horizons for x in FrameReader().messages(frame))
            network.drop.share = float(told)

        network.on_send = on_send
        yield
        network.on_send, network.drop.share = before, 0.0

    def start_later(self, machine: Machine) -> None:
        self.cluster.run(self.random.choice((0.0, 0.0, 1.0)))
        self.cluster.start(machine)


def nothing_deleted_returns(seed: int) -> tuple[str, list[str]]:
    """What was done, and what was wrong."""
    trial = Trial(seed)
    wrong = trial.play()
    return ", ".join(f"{name} {times}" for name, times in trial.done.items()), wrong
