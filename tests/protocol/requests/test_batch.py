"""Grouping: every position once, owners shared, limits kept."""

from __future__ import annotations

from random import Random

from dynamokv import limits
from dynamokv.protocol.requests.batch import first_owner, group
from dynamokv.wire.keys import name_of
from tests.protocol.lone import Lone


def names_of(count: int) -> list[bytes]:
    return [name_of(b"", b"name %d" % number) for number in range(count)]


def test_names_of_the_same_owners_travel_together() -> None:
    lone = Lone(5)
    names = names_of(200)
    groups = group(lone.home, names, [1] * 200)
    assert sorted(position for members in groups for position in members) == list(range(200))
    owners = [{lone.home.locate(names[at])[1] for at in members} for members in groups]
    assert all(len(shared) == 1 for shared in owners)
    assert len(groups) == len(set.union(*owners)), "no group more than there are sets of owners"


def test_in_a_ring_where_all_own_all_there_is_one_group() -> None:
    assert group(Lone().home, names_of(200), [1] * 200) == [list(range(200))]


def test_writes_that_are_passed_on_travel_with_those_of_the_same_first_owner() -> None:
    lone = Lone(4)
    names = names_of(200)
    groups = group(lone.home, names, [1] * 200, writes=True)
    assert sorted(position for members in groups for position in members) == list(range(200))
    served = []
    for members in groups:
        (owners,) = {lone.home.locate(names[at])[1] for at in members}
        firsts = {first_owner(lone.home, names[at]) for at in members}
        assert len(firsts) == 1 or lone.home.node_id in owners
        served.append((owners, *firsts))
    passed_on = [owners for owners, *_ in served if lone.home.node_id not in owners]
    assert len(set(served)) == len(served)
    assert len(passed_on) > len(set(passed_on)), "of the same owners, but for different ones"


def test_an_owner_need_not_split_its_writes() -> None:
    assert group(Lone().home, names_of(200), [1] * 200, writes=True) == [list(range(200))]


def test_a_group_has_so_many_names() -> None:
    count = limits.BATCH_GROUP_ITEMS
    groups = group(Lone().home, names_of(2 * count + 1), [0] * (2 * count + 1))
    assert [len(members) for members in groups] == [count, count, 1]


def test_a_group_has_so_many_bytes_or_one_name() -> None:
    whole = limits.BATCH_GROUP_BYTES
    sizes = [whole - 1, 1, 1, 2 * whole, whole // 2, whole // 2, 1]
    groups = group(Lone().home, names_of(len(sizes)), sizes)
    assert groups == [[0, 1], [2], [3], [4, 5], [6]]


def test_no_group_is_too_large_whatever_comes() -> None:
    lone, random = Lone(5), Random(0)
    for _ in range(20):
        sizes = [random.randrange(limits.BATCH_GROUP_BYTES // 3) for _ in range(50)]
        for members in group(lone.home, names_of(50), sizes):
            assert sum(sizes[at] for at in members) <= limits.BATCH_GROUP_BYTES


def test_nothing_makes_no_group() -> None:
    assert group(Lone().home, [], []) == []
