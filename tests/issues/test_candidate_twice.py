"""A process without a data directory that was started twice before its ring was founded stopped the
founding for ever.

It asked under two ids from one address, the founder took them for two, and the record refused that
with an exception. With another address the ring was founded with a member that was gone.
"""

from __future__ import annotations

from typing import Any

import pytest

from dynamokv.limits import FOUND_GRACE_SECONDS
from tests.protocol.cluster import plain_cluster


@pytest.mark.parametrize("second", ["n2", "n9"])
def test_the_ring_is_founded_with_those_that_are_there(second: str) -> None:
    cluster = plain_cluster()
    settings: dict[str, Any] = {"seeds": ("n1:1",), "expect_members": 3}
    first = cluster.member("n1", **settings)
    cluster.run(1.5)
    machine = cluster.power_cut(cluster.member("n2", **settings))
    machine.wipe()
    gone = cluster.start(machine)
    cluster.run(0.3)
    cluster.power_cut(gone).wipe()
    cluster.run(FOUND_GRACE_SECONDS)
    other = machine if second == machine.name else cluster.machine(second)
    others = [cluster.start(other, **settings), cluster.member("n3", **settings)]
    cluster.run(3.0)
    assert first.home.topology is not None
    names = {member.address for member in first.home.topology.members}
    assert names == {"n1:1", f"{second}:1", "n3:1"}
    assert all(member.ready for member in (first, *others))
