"""Stories in text: commands for a cluster, and below them what everybody did.

A file in ``tests/scenarios`` is a list of blocks, with an empty line between them::

    command            # one or more lines
    ----
    what came of it

Commands: ``ring COUNT``, ``member NAME``, ``client NAME SEED...``, ``restart NAME``, ``copy NAME``,
``stop``, ``crash``, ``hold``, ``release``, ``fail``, ``mend NAME``, ``busy NAME...``,
``cut NAME NAME``, ``heal``,
``put NAME KEY=VALUE``, ``get NAME KEY``, ``context NAME CALLED``, ``inject NAME KEY=VALUE``,
``run MILLISECONDS``, ``quietly MILLISECONDS``, ``show KEY``, ``members``. Words like ``level=1`` at
the end are options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.testing.campaign.trace import Trace
from dynamokv.testing.simulation.committer import SimulatedCommitter
from dynamokv.testing.simulation.machine import Machine
from dynamokv.testing.simulation.process import Process
from dynamokv.testing.simulation.schedule import MILLISECOND
from dynamokv.types import Actor
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import token_of
from dynamokv.wire.keys import name_of
from tests.protocol.cluster import disk_of, plain_cluster

SEPARATOR = "----"


def play(text: str) -> str:
    """The same file, with what really came of each block."""
    scenario = Scenario()
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        commands = block.partition(f"\n{SEPARATOR}")[0]
        if all(line.startswith("#") for line in commands.splitlines()):
            blocks.append(commands)
            continue
        for line in commands.splitlines():
            if not line.startswith("#"):
                scenario.do(line)
        blocks.append("\n".join([commands, SEPARATOR, *scenario.trace.take()]))
    return "\n\n".join(blocks) + "\n"


class _Processes:
    """The processes of a story, and what they hold."""

    def __init__(self) -> None:
        self.cluster = plain_cluster()
        self.trace = Trace(lambda: self.cluster.now_ns)
        self.cluster.watchers.append(self.trace.watch)
        self.processes: dict[str, Process] = {}
        self.contexts: dict[str, bytes] = {}

    def do(self, line: str) -> None:
        """One command."""
        verb, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        command: Callable[..., None] = getattr(self, f"do_{verb}")
        command(*plain, **options)

    # --- processes --------------------------------------------------------------------------------

    def do_ring(self, count: str, n: str = "3") -> None:
        members = self.cluster.ring(int(count), n=int(n))
        self.processes.update({member.name: member for member in members})
        for member in members:
            # Should it come back, it finds its way by what is on its disk.
            member.machine.settings["seeds"] = ()
        self.trace.take()
        self.do_members()

    def do_member(self, name: str, seeds: str = "", expect: str = "1", **settings: str) -> None:
        given = {key: int(value) if value.isdecimal() else value for key, value in settings.items()}
        listed = tuple(seeds.split(",")) if seeds else ()
        machine = self.cluster.machine(name)
        self._start(machine, **given, seeds=listed, expect_members=int(expect))

    def do_client(self, name: str, *seeds: str) -> None:
        self.processes[name] = self.cluster.client(name, *seeds)

    def do_restart(self, name: str, at: str = "") -> None:
        self._start(self.cluster.machines[name], address=at or f"{name}:1")

    def do_copy(self, name: str, to: str) -> None:
        self._start(self.cluster.clone(self.cluster.machines[name], to))

    def do_stop(self, name: str) -> None:
        self.cluster.stop(self.processes[name])

    def do_crash(self, name: str) -> None:
        self.cluster.power_cut(self.processes[name])

    def do_busy(self, *names: str) -> None:
        """Requests keep these members from doing any background work."""
        for name in names:
            home = self.processes[name].home
            home.load.pressure.spend(home.clock.monotonic(), 1 << 40)

    def _start(self, machine: Machine, **settings: Any) -> None:
        self.processes[machine.name] = self.cluster.start(machine, **settings)

    def do_members(self) -> None:
        for name, process in sorted(self.cluster.running.items()):
            topology = process.home.topology
            ring = self.trace.topology(topology) if topology is not None else "no ring"
            ready = "ready" if process.ready else "not ready"
            self.trace.lines.append(f"{name}: {ring}, {ready}")


class Scenario(_Processes):
    """One story."""

    # --- faults -----------------------------------------------------------------------------------

    def do_hold(self, name: str) -> None:
        self._writes(name).held = True

    def do_release(self, name: str) -> None:
        self.processes[name].do(self._writes(name).let_go)

    def do_fail(self, name: str) -> None:
        disk_of(self.processes[name]).failing = "no space"

    def do_mend(self, name: str) -> None:
        disk_of(self.processes[name]).failing = ""

    def _writes(self, name: str) -> SimulatedCommitter:
        committer = self.processes[name].committer
        assert committer is not None
        return committer

    def do_cut(self, one: str, other: str, notice: str = "1") -> None:
        self.cluster.network.notice_ns = round(float(notice) * MILLISECOND)
        self.cluster.network.cut(self.processes[one].address, self.processes[other].address)

    def do_heal(self) -> None:
        self.cluster.network.heal()

    def do_run(self, milliseconds: str) -> None:
        self.cluster.run(float(milliseconds) / 1000)

    def do_quietly(self, milliseconds: str) -> None:
        self.do_run(milliseconds)
        self.trace.take()

    # --- requests ---------------------------------------------------------------------------------

    def do_put(
        self, name: str, level: str = "0", budget: str = "5000", context: str = "", **pair: str
    ) -> None:
        ((key, value),) = pair.items()
        contexts = [self.contexts[context]] if context else []
        named = [name_of(b"", key.encode())]
        request = m.PutRequest(
            0, 0, int(budget), int(level), True, False, 0, named, [value.encode()], contexts
        )
        self.processes[name].request(request)

    def do_get(self, name: str, key: str, level: str = "0", budget: str = "5000") -> None:
        names = [name_of(b"", key.encode())]
        request = m.GetRequest(0, 0, int(budget), int(level), True, names)
        self.processes[name].request(request)

    def do_context(self, name: str, called: str) -> None:
        """Keep the context of the last answer that this process got."""
        *_, last = self.processes[name].replies.values()
        if isinstance(last, m.GetDone):
            self.contexts[called] = token_of(last.records[0], last.seals[0])
        else:
            assert isinstance(last, m.PutDone)
            self.contexts[called] = last.contexts[0]

    def do_inject(self, name: str, **pair: str) -> None:
        """A record that only this member holds, of an actor of its own."""
        ((key, value),) = pair.items()
        member = self.processes[name]
        dot = Dot(Actor(value.encode().ljust(8)[:8]), member.home.mint())
        self.trace.actor(dot.actor, f"<{value}>")
        state = KeyState((Version(dot, value.encode()),), {dot.actor: dot.time})
        row = member.home.locate(name_of(b"", key.encode()))[0]
        disk_of(member).rows[row] = records.encode(state)

    # --- looking ----------------------------------------------------------------------------------

    def do_show(self, key: str) -> None:
        for name, process in sorted(self.cluster.running.items()):
            if process.home.node_id and process.home.topology is not None:
                row = process.home.locate(name_of(b"", key.encode()))[0]
                held = self.trace.record(process.home.reader.newest(row))
                self.trace.lines.append(f"{name} holds {held}")
