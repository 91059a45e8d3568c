"""What the micro-benchmarks work on: one ring of three, its records and messages, values of 1 KB.

Knows how a core is made ready; measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from benchmarks.workload import VALUE
from dynamokv.causality.hlc import HybridClock, time_at
from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.limits import CLOCK_DRIFT_MAX_MS
from dynamokv.protocol import effects as e
from dynamokv.protocol.node import Node
from dynamokv.protocol.state.home import Home, Settings
from dynamokv.ring.topology import Member, Topology
from dynamokv.runtime.clocks import SystemClock, SystemRng
from dynamokv.types import Actor, ClusterId, NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records

P = ParamSpec("P")
T = TypeVar("T")


class Benchmark(Protocol):
    """pytest-benchmark's fixture, which has no types of its own."""

    def __call__(
        self, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs
    ) -> T: ...

    def pedantic(
        self,
        target: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        rounds: int,
        iterations: int,
        warmup_rounds: int,
    ) -> T: ...


NODES: Final = tuple(NodeId(bytes([number]) * 16) for number in range(1, 4))
ACTORS: Final = tuple(Actor(bytes([number]) * 8) for number in range(1, 4))
NAME: Final = row_keys.name_of(b"", b"key-1")

EARLIER: Final = time_at(SystemClock().wall_ms())
"""A time that every clock here accepts."""

BUDGET_MS: Final = 5000
HOUR_MS: Final = 3_600_000


def topology(ids: Sequence[NodeId]) -> Topology:
    """A settled ring of these members."""
    return Topology(
        cluster_id=ClusterId(b"c" * 16),
        cluster="benchmark",
        epoch=1,
        partitions=Settings().partitions,
        n=3,
        seed=7,
        context_key=b"k" * 16,
        members=tuple(Member(id, f"10.0.0.{at}:7401", "", 1) for at, id in enumerate(ids)),
        change=None,
    )


def record(*dots: Dot, context: dict[Actor, int] | None = None) -> bytes:
    """The record of these siblings, 1 KB each."""
    known = {dot.actor: dot.time for dot in dots} | (context or {})
    return records.encode(KeyState(tuple(Version(dot, VALUE) for dot in sorted(dots)), known))


PLAIN: Final = record(Dot(ACTORS[0], EARLIER))
"""What one coordinator has written."""

NEWER: Final = record(Dot(ACTORS[0], EARLIER + 1))
"""What it wrote next."""

WRITTEN_BY_ALL: Final = record(
    Dot(ACTORS[2], EARLIER + 2), context={ACTORS[0]: EARLIER, ACTORS[1]: EARLIER + 1}
)
"""The same after each of three has coordinated a write."""

OTHER: Final = record(Dot(ACTORS[1], EARLIER + 1))
"""Concurrent with ``PLAIN``."""

SIBLINGS: Final = record(*(Dot(actor, EARLIER) for actor in ACTORS))
"""Three concurrent writes."""


class Rows:
    """``ports.Reader`` over a dict, which nothing changes: a write of the core goes nowhere."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.visible = self.newest = self.rows.get

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(row for row in self.rows.items() if start <= row[0] < end))

    scan_visible = scan_readable = scan

    def quarantined(self) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def at_rest(self, action: Callable[[], None]) -> None:
        action()


def node(number: int) -> tuple[Node, bytes]:
    """A member of a ring of three that is ready, linked, and holds ``PLAIN``; and the row key."""
    ring, clock, rows = topology(NODES), SystemClock(), Rows()
    home = Home(
        node_id=NODES[number],
        actor=ACTORS[number],
        settings=Settings(address=ring.members[number].address),
        reader=rows,
        clock=clock,
        rng=SystemRng(),
        hybrid=HybridClock(last=EARLIER, drift_max_ms=CLOCK_DRIFT_MAX_MS),
    )
    core = Node(home, ring)
    core.start()
    core.step(e.IdentityStored(time_at(clock.wall_ms() + HOUR_MS)))
    for peer in NODES:
        if peer != NODES[number]:
            core.step(e.PeerUp(peer))
    assert core.ready
    key, owners = home.locate(NAME)
    assert set(owners) == set(NODES) == home.up
    rows.rows[key] = PLAIN
    return core, key


def replicate(key: bytes, record: bytes = NEWER, id: int = 1) -> m.Replicate:
    """A write on its way to another owner."""
    return m.Replicate(id, 1, BUDGET_MS, [key], [record])


def fetch(key: bytes, held: bytes = PLAIN, id: int = 1) -> m.Fetch:
    """A read on its way to another owner."""
    return m.Fetch(id, 1, BUDGET_MS, [key], [records.digest(held)])


def put_request(id: int = 1) -> m.PutRequest:
    """A write as a client asks for it."""
    return m.PutRequest(id, 1, BUDGET_MS, 0, True, False, 0, [NAME], [VALUE], [])


def get_request(level: int = 0, id: int = 1) -> m.GetRequest:
    """A read as a client asks for it."""
    return m.GetRequest(id, 1, BUDGET_MS, level, False, [NAME])
