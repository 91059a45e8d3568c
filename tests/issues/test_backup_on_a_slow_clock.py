"""Writes that were acknowledged vanished: a member came back from a backup, with a slow clock.

It had lost its promise to make no write below the horizon of the others, and its clock was too far
behind to take their floor over. So it went on below it: the others acknowledged its writes and
dropped them as long deleted, and its own copies went when it was rebuilt.
"""

from __future__ import annotations

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import name_of
from tests.protocol.lone import get_request, put_request

BEHIND_MS = 100_000


def test_what_it_acknowledges_stays() -> None:
    cluster = Cluster(seed=1, memory=True)
    members = cluster.ring(3, tombstone_grace=1.0)
    kept = members[2].machine.snapshot()
    cluster.run(60)
    names = [name_of(b"", b"k%d" % number) for number in range(40)]
    for name in names:
        gone = cluster.ask(members[0], put_request(names=[name], delete=True))
        assert type(gone) is m.PutDone
    cluster.run(60)
    assert members[0].home.counters["collected"] == len(names)

    machine = cluster.stop(members[2])
    machine.restore(kept)
    machine.clock.jump(-BEHIND_MS)
    restored = cluster.start(machine)
    cluster.run(3)
    for name in names:
        request = put_request(names=[name], values=[b"new"], level=Consistency.QUORUM)
        assert type(cluster.ask(restored, request)) is m.PutDone
    cluster.run(60)
    for name in names:
        found = cluster.ask(members[0], get_request(name))
        assert type(found) is m.GetDone
        (record,) = found.records
        assert [version.value for version in records.decode(record).versions] == [b"new"]
