"""All puts of all clients were passed on to one member: the first one by its id, of the owners that
all partitions share. It had the work of the whole ring, and the others next to none."""

from __future__ import annotations

from collections import Counter

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.wire import record as records
from tests.testing.simulation.clusters import put, put_of

KEYS = 300


def test_clients_spread_their_puts_over_the_members() -> None:
    cluster = Cluster()
    members = cluster.ring(3, partitions=64)
    client = cluster.client("c1", *(member.machine.address for member in members))
    cluster.run(1.0)
    actors = {member.home.actor: member.machine.name for member in members}
    coordinated = Counter[str]()
    for number in range(KEYS):
        put(cluster, client, f"k{number}", "v")
        key, _ = members[0].home.locate(put_of(f"k{number}", "v").names[0])
        record = next(filter(None, (member.engine.get(key) for member in members)))
        coordinated[actors[records.dots_of(record)[0].actor]] += 1
    assert min(coordinated.values()) > KEYS / len(members) / 2, coordinated
    assert len(coordinated) == len(members)
