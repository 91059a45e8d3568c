"""A member that had hints to deliver gave a newcomer no page before all of them were delivered,
since they asked first whenever the background might go on. And the newcomer took that for silence:
after ten seconds it was whole without what that member, which was up all the time, alone had.
"""

from __future__ import annotations

from typing import Any

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.types import Consistency
from dynamokv.wire.keys import name_of
from tests.protocol.lone import put_request

COUNT = 600


def rows(process: Process) -> int:
    """Of data."""
    return len(list(process.home.reader.scan(b"\0\0", b"\x80")))


def test_pages_and_hints_take_turns() -> None:
    cluster = Cluster(0, memory=True, shuffled=False)
    settings: dict[str, Any] = {
        "seeds": ("n1:1", "n2:1", "n3:1"),
        "expect_members": 2,
        "background_bytes_per_second": 64 * 1024,
    }
    n1 = cluster.start(cluster.machine("n1"), **settings)
    n2 = cluster.start(cluster.machine("n2"), **settings)
    cluster.run(4.0)
    machine = cluster.kill(n2)
    cluster.run(3.0)
    for first in range(0, COUNT, 50):
        for number in range(first, first + 50):
            name = name_of(b"", b"%d" % number)
            n1.request(put_request(level=Consistency.ONE, names=[name], values=[b"value"]))
        cluster.run(0.05)
    cluster.run(10.0)
    assert rows(n1) == COUNT
    cluster.start(machine, **settings)
    cluster.run(1.0)
    n3 = cluster.start(cluster.machine("n3"), **settings)
    cluster.run(8.0)
    status = n1.home.hints.status()
    assert sum(each["keys"] for each in status.values()) > COUNT / 2, "there are more of them"
    assert rows(n3) > 20
    cluster.run(52.0)
    assert n3.ready
    assert rows(n3) == COUNT
