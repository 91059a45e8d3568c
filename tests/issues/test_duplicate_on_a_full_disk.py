"""A record came twice while the disk was full. The first copy was refused; the second brought
nothing new beside the first, which was still on its way, so it wrote nothing, which a full disk
does not refuse, and was acknowledged. Where the refusal got lost, a write counted at an owner that
did not have it, and later reads at QUORUM missed it.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of


def test_nothing_new_is_refused_with_what_it_waits_for() -> None:
    cluster = Cluster()
    asked, full, _ = cluster.ring(3)
    disk = full.machine.disk
    assert isinstance(disk, SimulatedDisk)
    disk.capacity_bytes = 0
    cluster.network.duplicate.share = 1.0
    answers: list[type] = []

    def watch(process: Process, event: Event | None, _: list[Effect]) -> None:
        if type(event) is e.Received and event.peer == full.home.node_id:
            answers.append(type(event.message))

    cluster.watchers.append(watch)
    name = name_of(b"", b"k")
    request = m.PutRequest(0, 0, 1_000, Consistency.ALL, True, False, 0, [name], [b"v"], [])
    assert type(cluster.ask(asked, request)) is m.Failed
    cluster.run(1.0)
    assert full.engine.get(asked.home.locate(name)[0]) is None
    assert m.Refused in answers
    assert m.Replicated not in answers
