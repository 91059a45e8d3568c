"""A whole ring in one process: machines, what runs on them, and everything between them.

    cluster = Cluster(seed=7)
    first, second, third = cluster.ring(3)
    reply = cluster.ask(first, request)
    cluster.power_cut(second)
    cluster.run(seconds=5)
    cluster.start(second.machine)

Rules:

- Deterministic: one seed is one run, to the last byte (``fingerprint``).
- Nothing happens but in ``run`` and ``ask``, and at once where a method says so.
- Every frame travels encoded, and an exception of a core comes out here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, Final

from dynamokv.protocol.state.home import Settings
from dynamokv.runtime import boot
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.clocks import NodeClock
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.processes import Processes
from dynamokv.testing.simulation.schedule import nanoseconds
from dynamokv.types import Durability
from dynamokv.wire.messages import Message

PARTITIONS: Final = 8
"""Of a ring that nobody gave another number: enough for its owners to differ."""

CLIENT_HEDGE_SECONDS: Final = 5.0

RING_SECONDS: Final = 30.0
"""A ring that is not whole after so long never will be."""


class Cluster(Processes):
    """Machines and processes by name, and everything between them.

    Args:
        seed, shuffled: as in ``Processes``.
        memory: machines have disks of rows instead of files.

    Attributes:
        machines: by name, whether or not anything runs on them.
        random: for whoever uses the cluster; nothing in here does.
    """

    def __init__(self, seed: object = 0, *, memory: bool = False, shuffled: bool = True) -> None:
        super().__init__(seed, shuffled=shuffled)
        self.seed = seed
        self.memory = memory
        self.random = Random(f"{seed} cluster")
        self.machines: dict[str, Machine] = {}

    # --- machines and processes -------------------------------------------------------------------

    def machine(
        self,
        name: str,
        *,
        address: str = "",
        disk: SimulatedDisk | MemoryDisk | None = None,
        options: LSMOptions | None = None,
        durability: Durability = Durability.FSYNC,
        offset_ms: int = 0,
        drift_ppm: int = 0,
    ) -> Machine:
        """A new machine, with an empty disk unless one is given."""
        assert name not in self.machines, f"there is a machine {name}"
        if disk is None:
            disk = MemoryDisk() if self.memory else SimulatedDisk(tracing=False)
        clock = NodeClock(self.schedule, offset_ms=offset_ms, drift_ppm=drift_ppm)
        self.machines[name] = machine = Machine(
            name,
            disk,
            clock,
            address=address,
            seed=self.seed,
            options=options,
            durability=durability,
        )
        return machine

    def clone(self, machine: Machine, name: str, *, address: str = "") -> Machine:
        """A new machine whose disk is a copy of this one's, as it is now."""
        copy = self.machine(
            name,
            address=address,
            disk=machine.snapshot(),
            options=machine.options,
            durability=machine.durability,
        )
        copy.settings = dict(machine.settings)
        return copy

    def start(self, machine: Machine, **settings: Any) -> Process:
        """Boot a member from what is on the machine's disk. Settings
        (``protocol.state.home.Settings``) are kept for its next start; a new ``address`` moves the
        machine.

        Raises:
            StorageError: as ``Machine.open``.
        """
        assert machine.name not in self.running, f"{machine.name} runs"
        machine.address = settings.pop("address", machine.address)
        machine.settings.update(settings)
        given = {"partitions": PARTITIONS, **machine.settings, "address": machine.address}
        engine, identity, topology = machine.open()
        process = Process(self, machine, self.next_number(), engine)
        assert process.committer is not None
        core = boot.member(
            identity,
            topology,
            Settings(**given),
            reader=process.committer,
            clock=machine.clock,
            rng=machine.random,
            clock_drift_max_ms=machine.clock_drift_max_ms,
            forgot=engine.forgot,
        )
        self.live(process, core)
        return process

    def member(self, name: str, **settings: Any) -> Process:
        """Start a member on a new machine."""
        return self.start(self.machine(name), **settings)

    def ring(self, count: int, **settings: Any) -> list[Process]:
        """Members n1, n2, ... that found a ring together, all of them ready and linked."""
        names = [f"n{number + 1}" for number in range(count)]
        common = {"seeds": tuple(f"{name}:1" for name in names), "expect_members": count}
        members = [self.member(name, **{**common, **settings}) for name in names]
        self.run(2.0)
        assert all(member.ready for member in members), "a ring takes less than two seconds"
        return members

    def client(self, name: str, *seeds: str, **settings: Any) -> Process:
        """Start a client of these addresses."""
        machine = self.machines.get(name) or self.machine(name, disk=MemoryDisk())
        given = {"address": machine.address, "hedge_after": CLIENT_HEDGE_SECONDS, **settings}
        process = Process(self, machine, self.next_number(), None)
        core = boot.client(Settings(**given, seeds=seeds), clock=machine.clock, rng=machine.random)
        self.live(process, core)
        return process

    # --- time -------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Virtual time since the beginning."""
        return self.schedule.now_ns

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        self.schedule.run_until(self.now_ns + nanoseconds(seconds))

    def run_until(
        self, done: Callable[[], bool], seconds: float = RING_SECONDS, *, every: float = 0.0
    ) -> None:
        """Let time pass until something is so, looked at after whatever happens, or, where a look
        takes long, no more often than once in so many seconds.

        Raises:
            TimeoutError: it is not, after so many seconds.
        """
        end_ns = self.now_ns + nanoseconds(seconds)
        while not done():
            due_ns = self.schedule.next_due()
            if due_ns is None or due_ns > end_ns:
                raise TimeoutError(f"not within {seconds} simulated seconds")
            if every:
                self.schedule.run_until(min(end_ns, due_ns + nanoseconds(every)))
            else:
                self.schedule.once()

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        """Let time pass until something is so, but no more than this."""
        with suppress(TimeoutError):
            self.run_until(done, seconds)

    def ask(self, process: Process, request: Message, seconds: float = 10.0) -> Message:
        """The answer to a request, after as much time as it takes. Raises as ``run_until`` does."""
        ticket = process.request(request)
        self.run_until(lambda: ticket in process.replies, seconds)
        return process.replies[ticket]
