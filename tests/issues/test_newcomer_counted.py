"""A write that was acknowledged by a newcomer was not read any more after that had lost its place.

In a ring of two, the newcomer and one other made a quorum. The newcomer went away for ever, another
one came, and made a quorum with the member that had missed the write.
"""

from __future__ import annotations

from typing import Any

from dynamokv.limits import NEWCOMER_GRACE_SECONDS
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from tests.protocol.cluster import plain_cluster
from tests.protocol.lone import get_request, put_request


def test_what_was_acknowledged_is_read() -> None:
    cluster = plain_cluster()
    settings: dict[str, Any] = {"seeds": ("n1:1", "n2:1"), "expect_members": 2}
    first, second = cluster.member("n1", **settings), cluster.member("n2", **settings)
    cluster.run(2.0)
    assert type(cluster.ask(second, put_request(values=[b"before"]))) is m.PutDone
    newcomer = cluster.member("n3", **settings)
    while second.home.epoch < 2:
        cluster.run(0.0001)
    cluster.network.cut("n1:1", "n2:1")
    cluster.network.cut("n1:1", "n3:1")
    cluster.run(0.2)
    assert not newcomer.ready
    answered = cluster.ask(second, put_request(values=[b"after"]))
    cluster.power_cut(newcomer)
    cluster.network.heal()
    cluster.power_cut(second)
    another = cluster.member("n4", **settings)
    cluster.run(NEWCOMER_GRACE_SECONDS * 3)
    assert another.ready
    found = cluster.ask(first, get_request())
    assert type(found) is m.GetDone
    (version,) = records.decode(found.records[0]).versions
    assert version.value == (b"after" if type(answered) is m.PutDone else b"before")
