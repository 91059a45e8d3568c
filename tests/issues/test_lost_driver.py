"""The first member came back without its data, and nobody could let it in again.

It asked itself for a place until its time was up; later it was told at once that there is none. Now
the second member gives it back its own.
"""

from __future__ import annotations

import pytest

from tests.protocol.cluster import plain_cluster


@pytest.mark.parametrize("seeds", [("n1:1", "n2:1"), ("n2:1", "n1:1")])
def test_the_second_member_lets_it_in(seeds: tuple[str, ...]) -> None:
    cluster = plain_cluster()
    first, second, third = cluster.ring(3)
    machine = cluster.power_cut(first)
    machine.wipe()
    cluster.run(0.1)
    again = cluster.start(machine, seeds=seeds, expect_members=1)
    cluster.run(5.0)
    assert again.ready
    topology = again.home.topology
    assert topology is not None
    assert [member.address for member in topology.members] == ["n2:1", "n3:1", "n1:1"]
    assert {member.home.epoch for member in (again, second, third)} == {topology.epoch} == {3}
    assert topology.change is None


def test_it_waits_until_all_others_have_told_what_they_know() -> None:
    cluster = plain_cluster()
    first, _, third = cluster.ring(3)
    machine = cluster.power_cut(first)
    machine.wipe()
    other = cluster.power_cut(third)
    again = cluster.start(machine)
    cluster.run(5.0)
    assert not again.refused
    assert not again.ready
    cluster.start(other)
    cluster.run(5.0)
    assert again.ready
