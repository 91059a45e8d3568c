"""A member came back from a backup, with a slow clock, and wrote before others had spoken to it.

It did not know that it had lost its promise to write nothing below their horizon. Owners took what
it wrote for something that was deleted long ago, dropped it, and acknowledged it all the same; and
so did members that stood in for one. When the member was rebuilt, its own copy went as well.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamokv.protocol.node import Node
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from tests.protocol.lone import get_request, put_request

BEHIND_MS = 100_000
NAMES = [name_of(b"", b"k%d" % number) for number in range(20)]


class Restored:
    """Member ``n3`` of a ring that has collected since its backup was made, on a slow clock."""

    def __init__(self, count: int) -> None:
        self.cluster = Cluster(seed=1, memory=True)
        self.members = self.cluster.ring(count, tombstone_grace=1.0)
        kept = self.members[2].machine.snapshot()
        self.cluster.run(60)
        for name in NAMES:
            assert self.put(self.members[0], name, delete=True)
        self.cluster.run(60)
        machine = self.cluster.stop(self.members[2])
        machine.restore(kept)
        machine.clock.jump(-BEHIND_MS)
        self.started = self.cluster.start(machine)

    def put(self, process: Process, name: bytes, *, delete: bool = False) -> bool:
        """Whether it is acknowledged."""
        level = Consistency.QUORUM
        request = put_request(names=[name], values=[b"new"], level=level, delete=delete)
        return type(self.cluster.ask(process, request)) is m.PutDone

    def acknowledged(self, ready: Callable[[], bool]) -> list[bytes]:
        """Write as soon as that may be; those names of which it was acknowledged."""
        node = self.started.core
        assert isinstance(node, Node)
        self.cluster.run_until(lambda: self.started.ready and ready())
        assert not node.home.horizons.heard, "nobody has told it anything"
        return [name for name in NAMES if self.put(self.started, name)]

    def shown(self, name: bytes) -> list[bytes]:
        """The values that the first member finds."""
        found = self.cluster.ask(self.members[0], get_request(name))
        assert type(found) is m.GetDone
        (record,) = found.records
        return [version.value for version in records.decode(record).versions] if record else []


def test_owners_do_not_acknowledge_what_they_drop() -> None:
    ring = Restored(3)
    linked = ring.started.home.up
    acknowledged = ring.acknowledged(lambda: len(linked) > 1)
    assert 0 < len(acknowledged) < len(NAMES), "some came too early"
    ring.cluster.run(60)
    assert [ring.shown(name) for name in acknowledged] == [[b"new"]] * len(acknowledged)


def test_once_it_was_told_it_writes_as_ever() -> None:
    ring = Restored(3)
    ring.cluster.run(3)
    assert all(ring.put(ring.started, name) for name in NAMES)
