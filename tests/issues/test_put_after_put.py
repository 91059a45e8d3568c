"""A client put a key, and put it again when that was acknowledged; then the key had two values. Its
puts went round the owners, and the second one met an owner that did not have the first one yet."""

from __future__ import annotations

from dynamokv.testing.simulation.chance import Delay
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.schedule import MILLISECOND
from tests.testing.simulation.clusters import put, values


def test_a_put_replaces_what_the_same_client_put_before() -> None:
    cluster = Cluster()
    slow = Delay(cluster.random, 50 * MILLISECOND, 50 * MILLISECOND)
    members = cluster.ring(3)
    client = cluster.client("c1", *(member.machine.address for member in members))
    cluster.run(1.0)
    *near, far = (member.machine.address for member in members)
    for address in near:
        cluster.network.latencies[address, far] = slow
    for number in range(12):
        put(cluster, client, f"k{number}", "old")
        put(cluster, client, f"k{number}", "new")
        for _ in range(2):  # three requests a key would always go the same round
            assert values(cluster, client, f"k{number}") == ["new"]
