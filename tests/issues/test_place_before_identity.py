"""A process asked for a place in the ring before its identity was durable.

When it crashed in between, it came back under another id, and the ring had a member that could
never return.
"""

from __future__ import annotations

from tests.protocol.cluster import disk_of, plain_cluster


def test_nobody_is_taken_in_whose_disk_refuses_its_identity() -> None:
    cluster = plain_cluster()
    first = cluster.member("n1")
    cluster.run(1.0)
    second = cluster.member("n2", seeds=("n1:1",))
    disk_of(second).failing = "DiskFull"
    cluster.run(2.0)
    assert first.home.topology is not None
    assert len(first.home.topology.members) == 1
    disk_of(second).failing = ""
    cluster.run(2.0)
    assert second.ready
