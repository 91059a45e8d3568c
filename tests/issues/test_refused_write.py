"""A write that the coordinator's own disk refused was erased at the others by its next one.

They had taken it, and readers had seen it. The coordinator did not hold it, but went on under the
same actor: the next dot covered it, so that every join dropped it, although nobody who wrote had
seen it.
"""

from __future__ import annotations

from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import token_of
from tests.protocol.cluster import disk_of, plain_cluster
from tests.protocol.lone import get_request, put_request


def test_a_write_that_had_not_seen_it_keeps_it() -> None:
    cluster = plain_cluster()
    first, second, third = cluster.ring(3)
    nothing = cluster.ask(first, get_request())
    assert type(nothing) is m.GetDone
    context = token_of(nothing.records[0], nothing.seals[0])

    disk_of(first).failing = "DiskFull"
    assert type(cluster.ask(first, put_request(values=[b"refused here"]))) is m.Failed
    disk_of(first).failing = ""
    cluster.run(2.0)
    done = cluster.ask(first, put_request(values=[b"later"], contexts=[context]))
    assert type(done) is m.PutDone
    cluster.run(0.1)
    for other in (second, third):
        row = other.home.locate(put_request().names[0])[0]
        values = {version.value for version in records.decode(disk_of(other).rows[row]).versions}
        assert values == {b"refused here", b"later"}


def test_until_the_disk_is_well_another_owner_coordinates() -> None:
    cluster = plain_cluster()
    first, *_ = cluster.ring(3)
    disk_of(first).failing = "DiskFull"
    assert type(cluster.ask(first, put_request())) is m.Failed
    assert type(cluster.ask(first, put_request())) is m.PutDone
