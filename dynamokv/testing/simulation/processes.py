"""How processes of a simulation begin and end, and who sees what they decide.

Knows: what a kill, a power cut, a clean stop leave. Must not know: which machines there are, what
anybody asks of a process.

Rule: a batch that is on its way to the disk when its process dies may be there, as a whole or its
first part, or not; nobody was told of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.runtime.executor import Core
from dynamokv.testing.disk_loss import Kill, Loss, PowerCut
from dynamokv.testing.simulation.fingerprint import Fingerprint
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.network import Network
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import SECOND, Schedule

Watcher = Callable[[Process, Event | None, list[Effect]], None]

HEARTBEAT_NS: Final = 1 * SECOND
"""So long after a process froze, its peers notice."""


class Processes:
    """Processes by name, between machines and a network.

    Args:
        seed: of all random choices.
        shuffled: what is due at the same moment happens in an order that the seed chooses;
            otherwise in the order in which it came up, for people to read.

    Attributes:
        running: the processes that live, by name.
        watchers: see each step before its effects are carried out.
    """

    def __init__(self, seed: object, *, shuffled: bool) -> None:
        self.schedule = Schedule(Random(f"{seed} ties") if shuffled else None)
        self.network = Network(self.schedule, seed)
        self.running: dict[str, Process] = {}
        self.watchers: list[Watcher] = []
        self._fingerprint = Fingerprint()
        self._count = 0
        self.network.on_send = lambda source, frame: self._fingerprint.frame(source.address, frame)

    def next_number(self) -> int:
        """For another life."""
        self._count += 1
        return self._count

    def live(self, process: Process, core: Core) -> None:
        """A process begins."""
        self.running[process.name] = process
        process.live(core, self.network.add(process.address, process))

    def stop(self, process: Process) -> Machine:
        """A clean stop, at once: its last words are on the disk, and its last frames under way.
        Returns where it ran, as the other ends do."""
        if process.paused:
            self.resume(process)
        process.do(process.say_goodbye)
        if process.alive:
            self._remove(process)
        return process.machine

    def kill(self, process: Process) -> Machine:
        """SIGKILL. What the process wrote is still in the kernel's memory."""
        return self._lose(process, Kill())

    def power_cut(self, process: Process, loss: Loss | None = None) -> Machine:
        """The machine has no power any more: what was not synced is lost, all of it unless ``loss``
        says otherwise."""
        return self._lose(process, loss or PowerCut(contents=0.0, names=0.0))

    def pause(self, process: Process, *, frozen: bool = True) -> None:
        """It does nothing until it is resumed. ``frozen``: by SIGSTOP, so that its heartbeats end,
        too, and its peers notice after a while; otherwise something holds its GIL."""
        pauses = process.pause()

        def notice() -> None:
            if process.paused and process.alive and process.pauses == pauses:
                self.network.silence(process.address, silent=True)

        if frozen:
            self.schedule.after(HEARTBEAT_NS, notice)

    def resume(self, process: Process) -> None:
        """It goes on: with what came in first, then with the timers that it missed."""
        self.network.silence(process.address, silent=False)
        process.resume()

    def fingerprint(self) -> str:
        """Of everything that happened so far."""
        return self._fingerprint.text()

    # --- for processes ----------------------------------------------------------------------------

    def saw(self, process: Process, event: Event | None, effects: list[Effect]) -> None:
        """A process decided something."""
        self._fingerprint.step(self.schedule.now_ns, process.number, event, effects)
        for effect in effects:
            if type(effect) is e.Report:
                process.reports.append(effect.text)
        for watcher in self.watchers:
            watcher(process, event, effects)

    def gave_up(self, process: Process) -> None:
        """Its application hears that there is no place for it, and closes it."""

        def end() -> None:
            if process.alive:
                self.stop(process)

        self.schedule.after(0, end)

    def crashed(self, process: Process) -> None:
        """Its disk said that it ends here."""
        self._lose(process, process.machine.loss)

    # --- inside -----------------------------------------------------------------------------------

    def _lose(self, process: Process, loss: Loss) -> Machine:
        self._remove(process)
        machine, committer = process.machine, process.committer
        if committer is not None:
            machine.interrupt(committer.abandon())
            machine.lose(loss)
        return machine

    def _remove(self, process: Process) -> None:
        assert process.alive, f"{process.name} has ended already"
        process.end()
        del self.running[process.name]
        # It may have been frozen, and then nobody hears of its address.
        self.network.silence(process.address, silent=False)
        self.network.remove(process.endpoint)
