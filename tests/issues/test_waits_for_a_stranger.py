"""A newcomer waited for ever for the copy of a member that had lost its store meanwhile.

At that one's address somebody listened, so it seemed to be up; but that somebody was waiting for a
place itself, until the newcomer would be whole.
"""

from __future__ import annotations

from typing import Any

from dynamokv.limits import SOURCE_SILENT_SECONDS
from tests.protocol.cluster import plain_cluster


def test_both_get_their_places() -> None:
    cluster = plain_cluster()
    settings: dict[str, Any] = {"seeds": ("n1:1", "n2:1"), "expect_members": 2}
    first = cluster.member("n1", **settings)
    second = cluster.member("n2", **settings)
    cluster.run(2.0)
    newcomer = cluster.member("n3", **settings)
    while first.home.topology is None or first.home.topology.change is None:
        cluster.run(0.0005)
    machine = cluster.kill(second)
    machine.wipe()
    again = cluster.start(machine)
    cluster.run(SOURCE_SILENT_SECONDS - 1.0)
    assert not newcomer.ready
    cluster.run(5.0)
    assert newcomer.ready
    assert again.ready
    assert first.home.topology is not None
    assert len(first.home.topology.members) == 3
