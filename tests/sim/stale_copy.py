"""A copy that is behind and does not know it: only a read can find it soon.

Its row is put back on the disk, below the store's books, so that its tree says what the others'
trees say, and nobody has a hint. For mutants of read repair, which hints and comparisons would hide
in a campaign.
"""

from __future__ import annotations

from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of

NAME = name_of(b"", b"key")


def a_read_repairs(seed: int) -> tuple[str, list[str]]:
    """What was done, and what was wrong: another's copy, and a reader's own, are brought up to
    date by a read at ALL."""
    cluster = Cluster(seed, memory=True)
    members = cluster.ring(3)
    row = members[0].home.locate(NAME)[0]
    wrong = []
    for reader, stale in ((members[0], members[2]), (members[1], members[1])):
        old = stale.engine.get(row)
        value = b"value %d" % stale.number
        put = m.PutRequest(0, 0, 1_000, Consistency.ALL, False, False, 0, [NAME], [value], [])
        assert isinstance(cluster.ask(members[0], put), m.PutDone)
        stale.engine.apply([(row, old)], sync=True)
        get = m.GetRequest(0, 0, 1_000, Consistency.ALL, False, [NAME])
        assert isinstance(cluster.ask(reader, get), m.GetDone)
        cluster.run(0.5)
        if stale.engine.get(row) != members[0].engine.get(row):
            wrong.append(f"{stale.name} is still behind after a read by {reader.name}")
    return "two copies put back, one read each", wrong
