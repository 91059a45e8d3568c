"""What survives a process: a name, an address, a disk, a clock, and how its store is tuned.

Knows: how a store is opened on this disk, and what becomes of the disk when a process ends. Must
not know: the network, the core, what is in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

from dynamokv.errors import StorageError
from dynamokv.limits import CLOCK_DRIFT_MAX_MS
from dynamokv.ports import StorageEngine
from dynamokv.protocol.state.identity import Identity
from dynamokv.ring.topology import Topology
from dynamokv.runtime import boot
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import SALT_BYTES
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash
from dynamokv.testing.disk_loss import Kill, Loss
from dynamokv.testing.simulation.chance import Delay
from dynamokv.testing.simulation.clocks import NodeClock
from dynamokv.testing.simulation.memory import MemoryDisk
from dynamokv.types import Durability

DIRECTORY: Final = Path("/data")
"""Where the store is, on each disk."""

COMMIT_NS: Final = 200_000
"""What an fsync takes, unless somebody says otherwise."""

INTERRUPTED_CALLS: Final = 3
"""A batch is an append and a sync. So the crash is at the first, at the second, or after both."""

FSYNC_INTERVAL_SECONDS: Final = 1.0
"""Between two of them, at ``Durability.INTERVAL``."""


class Machine:
    """A place for one process at a time.

    Attributes:
        address: where its next process listens.
        disk: of files, or a ``MemoryDisk``. Set its attributes to make it fail; it is another
            object after each process that ended without a clean stop.
        commit_latency: what a job of the committer takes.
        settings: of its processes (``protocol.state.home.Settings``), as they were last given.
        describe: what its process says of itself to a client that asks; its name, unless set.
        fsync_interval_seconds: between two fsyncs, at ``Durability.INTERVAL``.
        loss: how its process ends when the disk says that it ends (``SimulatedDisk.crash_at``).
        random: identities, salts.
    """

    def __init__(
        self,
        name: str,
        disk: SimulatedDisk | MemoryDisk,
        clock: NodeClock,
        *,
        address: str = "",
        seed: object = 0,
        options: LSMOptions | None = None,
        durability: Durability = Durability.FSYNC,
    ) -> None:
        self.name = name
        self.disk = disk
        self.clock = clock
        self.address = address or f"{name}:1"
        self.options = options or LSMOptions()
        self.durability = durability
        self.clock_drift_max_ms = CLOCK_DRIFT_MAX_MS
        self.random = Random(f"{seed} machine {name}")
        self.commit_latency = Delay(Random(f"{seed} commit {name}"), COMMIT_NS, COMMIT_NS)
        self.settings: dict[str, Any] = {}
        self.loss: Loss = Kill()
        self._when = Random(f"{seed} interrupted {name}")
        self.describe: Callable[[], bytes] | None = None
        self.fsync_interval_seconds = FSYNC_INTERVAL_SECONDS

    def open(self) -> tuple[StorageEngine, Identity, Topology | None]:
        """The store on this disk, and what it remembers.

        Raises:
            StorageError: it cannot be opened, it does not tell who this was, or the disk ended the
                process at it.
        """
        try:
            engine = self._open_engine()
            try:
                return (engine, *boot.remembered(engine, self.random))
            except StorageError:
                self.close(engine)
                raise
        except Crash:
            self.lose(self.loss)
            raise StorageError(f"{self.name} ended while it opened its store") from None

    def close(self, engine: StorageEngine) -> None:
        """The store closes. Raises ``StorageError`` as engines do."""
        # A disk of rows is there for ever.
        if engine is not self.disk:
            engine.close()

    def _open_engine(self) -> StorageEngine:
        if isinstance(self.disk, MemoryDisk):
            return self.disk
        return LSMEngine(
            DIRECTORY,
            self.options,
            files=self.disk,
            salt=lambda: self.random.randbytes(SALT_BYTES),
            lock=lambda _: _Unlocked(),
            background=False,
            clock=self.clock.monotonic,
        )

    def crash_at_call(self, calls: int, loss: Loss | None = None, share: float = 0.0) -> None:
        """The process ends at its disk call that is this many from now; ``share`` of it is done if
        it is an append. The disk is left as a kill leaves it, or with this loss."""
        assert isinstance(self.disk, SimulatedDisk), "a disk of rows has no calls"
        self.loss = loss or Kill()
        self.disk.crash_at = self.disk.calls + calls
        self.disk.crash_share = share

    def lose(self, loss: Loss) -> None:
        """The process, or the power, is gone. What breaks the disk still does."""
        old, self.loss = self.disk, Kill()
        if isinstance(old, MemoryDisk):
            self.disk = old.survivor(loss)
            self.disk.failing = old.failing
            return
        self.disk = old.survivor(loss)
        self.disk.faults, self.disk.on_call = old.faults, old.on_call

    def interrupt(self, write: Callable[[], str]) -> None:
        """The process is gone while it wrote this: some first part of the disk's calls is done."""
        if isinstance(self.disk, MemoryDisk) or self.disk.crashed:
            return
        self.disk.crash_at = self.disk.calls + 1 + int(INTERRUPTED_CALLS * self._when.random())
        self.disk.crash_share = 1.0 - self._when.random()
        with suppress(Crash):
            write()

    def snapshot(self) -> SimulatedDisk | MemoryDisk:
        """A copy of the disk as it is now, to come back to with ``restore``, or for another
        machine."""
        return self.disk.survivor(Kill())

    def restore(self, copy: SimulatedDisk | MemoryDisk) -> None:
        """What is on the disk is as it was when the copy was made; the copy can be used again. The
        disk is as large as it is."""
        old, self.disk = self.disk, copy.survivor(Kill())
        if isinstance(old, SimulatedDisk) and isinstance(self.disk, SimulatedDisk):
            self.disk.capacity_bytes, self.disk.full_error = old.capacity_bytes, old.full_error

    def wipe(self) -> None:
        """Somebody puts in an empty disk of the same kind."""
        if isinstance(self.disk, MemoryDisk):
            self.disk = MemoryDisk()
            return
        old = self.disk
        self.disk = SimulatedDisk(sector_bytes=old.sector_bytes, tracing=old.tracing)
        self.disk.capacity_bytes = old.capacity_bytes


class _Unlocked:
    """One process at a time has the disk: the simulation sees to it."""

    def release(self) -> None:
        pass
