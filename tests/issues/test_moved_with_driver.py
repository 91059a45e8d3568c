"""A member that came back at another address was never told that the driver had moved too.

Nobody had a link to it, since nobody knew where it was; it had greeted the others before the driver
moved, and a greeting with an older record was not answered with the newer one.
"""

from __future__ import annotations

from tests.protocol.cluster import plain_cluster


def test_it_learns_where_the_driver_is() -> None:
    cluster = plain_cluster()
    first, second, third = cluster.ring(3)
    machines = [cluster.power_cut(third), cluster.power_cut(first)]
    cluster.run(0.1)
    third = cluster.start(machines[0], address="n8:1", seeds=("n1:1",))
    cluster.run(0.5)
    first = cluster.start(machines[1], address="n9:1", seeds=())
    cluster.run(4.0)
    assert all(member.ready for member in (first, second, third))
