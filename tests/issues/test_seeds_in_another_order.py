"""Three members whose seeds were the same in another order were three rings.

Each had put its own address first, and the first seed founded: each heard from the others that they
knew of no ring, and founded one, healthy, with one copy of everything.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.protocol.cluster import plain_cluster

NAMES = ("n1", "n2", "n3")


def rotated(number: int) -> tuple[str, ...]:
    """The seeds, the own address first."""
    return tuple(f"{name}:1" for name in NAMES[number:] + NAMES[:number])


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("expect_members", [None, 1, 3])
def test_they_are_one_ring(order: tuple[int, ...], expect_members: int | None) -> None:
    cluster = plain_cluster()
    members = [
        cluster.member(NAMES[number], seeds=rotated(number), expect_members=expect_members)
        for number in order
    ]
    cluster.run(10.0)
    assert all(member.ready for member in members)
    (topology,) = {member.home.topology for member in members}
    assert topology is not None
    assert len(topology.members) == 3


def test_the_least_is_the_least_of_the_text() -> None:
    """Ports differ in length; whatever is least, all of them have to take the same for it."""
    cluster = plain_cluster()
    seeds = ("n1:9000", "n2:9000", "n1:10000")
    members = [
        cluster.member(
            f"m{number}", address=seeds[number], seeds=(*seeds[number:], *seeds[:number])
        )
        for number in range(3)
    ]
    cluster.run(10.0)
    (topology,) = {member.home.topology for member in members}
    assert topology is not None
    assert {member.address for member in topology.members} == set(seeds)
    assert topology.members[0].address == "n1:10000"
