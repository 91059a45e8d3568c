"""A member that serves before the disk has heard who it is gives two writes the same name.

Campaigns would have to kill it twice, each time in the milliseconds between its start and its first
word on the disk.
"""

from __future__ import annotations

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.schedule import nanoseconds
from tests.testing.simulation.clusters import put, put_of, values

DISK_SECONDS = 0.1


def test_two_lives_give_no_two_writes_the_same_name() -> None:
    """Both find the identity of the life before them, which stopped cleanly."""
    cluster = Cluster()
    one, other, _ = cluster.ring(3)
    machine = cluster.stop(one)
    machine.commit_latency.set(nanoseconds(DISK_SECONDS), nanoseconds(DISK_SECONDS))
    one = cluster.start(machine)
    cluster.run(DISK_SECONDS / 2)
    if one.ready:
        one.request(put_of("k", "not heard of by its disk"))
        cluster.run(DISK_SECONDS / 4)
    cluster.power_cut(one)
    one = cluster.start(machine)
    cluster.run(DISK_SECONDS / 2)
    cluster.run_until(lambda: one.ready)
    put(cluster, one, "k", "kept")
    assert values(cluster, other, "k") == ["kept"]
