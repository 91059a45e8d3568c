"""A ring for the tests of an application: real members in virtual time, and what can happen to
them.

    with Ring(3) as ring:
        ring.partition(["n1"], ["n2", "n3"])
        ring["n1"].put("cart", ["tea"], consistency="ONE")
        ring["n2"].put("cart", ["milk"], consistency="ONE")
        ring.heal()

Knows: the faces, the cluster below, and what people mistake. Must not know: how a call is made, or
how a fault comes about.

Rules:
    - One seed is one run. Nothing depends on the clock or the load of this machine.
    - Time passes while somebody waits: for a call, or in ``advance``, ``heal`` and ``restart``.
    - What a test says wrongly is a ``UsageError`` that says what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from dynamokv.api import calls
from dynamokv.api.closing import Closing
from dynamokv.config import ClientConfig
from dynamokv.errors import JoinTimeout, UsageError
from dynamokv.runtime.arrival import LINKS_GRACE_SECONDS
from dynamokv.testing.ring_nodes import SimulatedClient, SimulatedNode
from dynamokv.testing.ring_places import Everybody, Which
from dynamokv.testing.ring_run import Run
from dynamokv.testing.ring_session import SimulatedSession
from dynamokv.testing.ring_settings import (
    LATENCY_NS,
    checked_count,
    checked_seconds,
    checked_seed,
    client_settings,
    config_of,
    core_settings,
    machine_of,
)
from dynamokv.testing.simulation.cluster import Cluster

HEAL_SECONDS: Final = 60.0
"""Of virtual time; what is not up again by then never will be."""


class Ring(Closing):
    """Members ``n1``, ``n2``, ... that have founded a ring, each on a machine of its own.

    Args:
        members: how many.
        seed: of everything that is left to chance.
        settings: of all members, as for ``dynamokv.join``: ``durability="interval"`` for one.
            Neither the environment nor a file changes them.

    Attributes:
        seed: as given.
        cluster: the simulation below, for faults that this class has no word for. It may change
            with any version.
    """

    def __init__(self, members: int = 3, *, seed: int = 0, **settings: Any) -> None:
        config = config_of(settings)
        names = [f"n{number + 1}" for number in range(checked_count(members))]
        self.seed = checked_seed(seed)
        self.cluster = cluster = Cluster(seed)
        cluster.network.latency.set(*LATENCY_NS)
        self._run = run = Run(cluster)
        self._sides: list[list[str]] = []
        machines = [machine_of(cluster, name, config) for name in names]
        given = core_settings(config, [machine.address for machine in machines])
        # All are on their way before the first is ready: they found the ring together.
        sessions = [SimulatedSession(run, cluster.start(machine, **given)) for machine in machines]
        self._places = Everybody(
            tuple(
                SimulatedNode(session, calls.scope_of(config, session.machine.clock), config)
                for session in sessions
            )
        )
        self._wait_until_whole()
        run.note("ring", f"founded by {', '.join(names)}")

    # --- who is there -----------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[SimulatedNode, ...]:
        """The members."""
        return self._places.nodes

    def __getitem__(self, which: int | str) -> SimulatedNode:
        """A member by its number, from 0, or by its name. Raises ``UsageError`` for any other."""
        return self._places.node(which)

    def __iter__(self) -> Iterator[SimulatedNode]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def client(
        self, nodes: Iterable[Which] | None = None, *, timeout: float = 10.0, **settings: Any
    ) -> SimulatedClient:
        """A client, connected: what ``dynamokv.connect`` and ``DistributedKVStore`` give. The first
        is called ``c1``.

        Args:
            nodes: the members that it knows at first; all, unless given.
            timeout: seconds of virtual time to find the ring.
            settings: any other field of ``ClientConfig``.

        Raises:
            JoinTimeout: none of these members answered.
        """
        seconds = calls.milliseconds("timeout", timeout) / 1000
        known = [self._places.place(which) for which in (self.nodes if nodes is None else nodes)]
        config = ClientConfig.load(
            ClientConfig(
                nodes=tuple(place.address for place in known),
                cluster=self.nodes[0].config.cluster,
            ),
            **settings,
        )
        with self._run.busy():
            name = f"c{len(self._places.clients) + 1}"
            process = self.cluster.client(name, *config.nodes, **client_settings(config))
            session = SimulatedSession(self._run, process)
            client = SimulatedClient(session, calls.scope_of(config, process.clock), config)
            self._places.clients.append(client)
            session.serve(seconds)
        return client

    # --- faults -----------------------------------------------------------------------------------

    def partition(self, *groups: Iterable[Which]) -> None:
        """Cut the network: nothing gets from one group to another, in place of the last partition.
        Whoever is in no group reaches everybody. One group alone is cut off from all other members.

        Members need about a second to notice (``advance(2)``); until then they wait for answers
        that do not come.
        """
        sides = self._places.sides(groups)
        with self._run.busy():
            network = self.cluster.network
            self._sides = sides
            with self._run.silently():
                network.cuts.clear()
                network.partition(*([self._places.place(n).address for n in s] for s in sides))
            self._run.note("ring", f"partition {_shown(sides)}")

    def crash(self, node: Which, *, power: bool = True) -> None:
        """A member's machine loses its power: what its ``durability`` had not made safe is gone.
        With ``power=False`` only the process is killed, which loses nothing that was acknowledged.
        """
        session = self._places.member(node)
        with self._run.busy():
            if session.state == "down":
                raise UsageError(f"{session.name} is down already: ring.restart() starts it")
            if power:
                with self._run.silently():
                    self.cluster.power_cut(session.process)
            else:
                self.cluster.kill(session.process)
            self._run.note(session.name, "lost its power" if power else "was killed")

    def restart(self, node: Which) -> None:
        """Start a member on what its disk holds, and wait until it serves. One that runs is stopped
        first, as its application would."""
        session = self._places.member(node)
        with self._run.busy():
            session.stop()
            session.start()
            session.serve(HEAL_SECONDS)
            self._run.until(self._places.whole, LINKS_GRACE_SECONDS)

    def pause(self, node: Which) -> None:
        """A process stands still, as by SIGSTOP, or on a machine that swaps. What is sent to it
        waits; after about a second the others count it as down."""
        session = self._places.member(node)
        with self._run.busy():
            session.running()
            self.cluster.pause(session.process)
            self._run.note(session.name, "paused")

    def resume(self, node: Which) -> None:
        """It goes on, with all that came meanwhile."""
        session = self._places.member(node)
        with self._run.busy():
            if session.state != "paused":
                raise UsageError(f"{session.name} is not paused, it is {session.state}")
            self.cluster.resume(session.process)
            self._run.note(session.name, "resumed")

    def heal(self) -> None:
        """Mend everything: no partition, no pause, every member started; then wait until all reach
        each other. From then on reads see what their level promises. Copies that missed writes are
        brought up to date by what does so in production, and not by this.

        Raises:
            JoinTimeout: not all were up within ``HEAL_SECONDS``.
        """
        with self._run.busy():
            self._run.note("ring", "heal")
            self._sides = []
            self.cluster.network.heal()
            for session in self._places.sessions:
                if session.state == "paused":
                    self.cluster.resume(session.process)
            for node in self.nodes:
                if node.session.state == "down":
                    node.session.start()
            self._wait_until_whole()

    # --- time -------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Virtual time since the members were started."""
        return self._run.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass, with all that happens in it: links break, values lapse, disks sync."""
        with self._run.busy():
            self.cluster.run(checked_seconds(seconds))

    # --- what it looks like -----------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Plain data: the seed, the time, and the state of everything."""
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "partition": [list(side) for side in self._sides],
            "nodes": {node.name: self._places.state_of(node) for node in self.nodes},
            "clients": {
                client.name: self._places.state_of(client) for client in self._places.clients
            },
        }

    def story(self) -> list[str]:
        """For people: the state of everything, and what happened last, a line each, beginning with
        its time in seconds."""
        states = [f"{session.name} {session.state}" for session in self._places.sessions]
        if self._sides:
            states.append(f"partition {_shown(self._sides)}")
        head = f"seed {self.seed}, {self.seconds:.4f} s of virtual time: {', '.join(states)}"
        return [head, *self._run.log]

    def close(self) -> None:
        """End all of it. What was made of this ring cannot be used any more."""
        with self._run.lock:
            for session in self._places.sessions:
                session.stop()
            self._run.closed = True

    # --- inside -----------------------------------------------------------------------------------

    def _wait_until_whole(self) -> None:
        if not self._run.until(self._places.whole, HEAL_SECONDS):
            raise JoinTimeout(f"not all are up after {HEAL_SECONDS} s: {self.status()['nodes']}")


RingFactory: TypeAlias = Callable[..., Ring]
"""The fixture ``dynamokv_ring``: it takes the arguments of ``Ring``, and gives the test's seed."""


def _shown(sides: list[list[str]]) -> str:
    return " | ".join(", ".join(side) for side in sides)
