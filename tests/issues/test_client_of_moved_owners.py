"""A client could not reach a key whose owners had all moved, as long as one other member stayed.

It asked for the topology only while no member at all could be reached.
"""

from __future__ import annotations

from dynamokv.wire import messages as m
from tests.protocol.cluster import plain_cluster
from tests.protocol.lone import NAME, get_request


def test_it_asks_somebody_who_stayed() -> None:
    cluster = plain_cluster()
    members = cluster.ring(4)
    client = cluster.client("c", *(f"{member.name}:1" for member in members))
    cluster.run(1.0)
    owners = members[0].home.locate(NAME)[1]
    for number, member in enumerate(members):
        if member.home.node_id in owners:
            machine = cluster.power_cut(member)
            moved = cluster.start(machine, address=f"moved{number}:1", seeds=())
            cluster.run(3.0)
            assert moved.ready
    assert type(cluster.ask(client, get_request())) is m.GetDone
