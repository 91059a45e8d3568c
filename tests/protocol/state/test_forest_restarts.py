"""Trees over the end of a life: kept by a clean stop, and by nothing else."""

from __future__ import annotations

import pytest

from dynamokv.testing.campaign.trees import wrong_trees
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from tests.testing.simulation.clusters import back, put, put_of


def alone(*, memory: bool) -> tuple[Cluster, Process]:
    cluster = Cluster(memory=memory)
    (member,) = cluster.ring(1, n=1)
    for number in range(50):
        put(cluster, member, f"key {number}", "value")
    return cluster, member


def kept(process: Process) -> int:
    rows = process.engine.scan(row_keys.TREE_ROWS, row_keys.END_OF_TREES)
    return sum(1 for _ in rows)


@pytest.mark.parametrize("memory", [False, True])
def test_a_clean_stop_keeps_them(memory: bool) -> None:
    cluster, member = alone(memory=memory)
    roots = [member.home.forest.root(partition) for partition in range(8)]
    cluster.stop(member)
    again = cluster.start(member.machine)
    assert kept(again) == 8
    assert [again.home.forest.root(partition) for partition in range(8)] == roots
    assert not list(wrong_trees(again))


@pytest.mark.parametrize("memory", [False, True])
def test_a_life_that_ends_otherwise_does_not(memory: bool) -> None:
    """Also if the life before it kept them, and it wrote since."""
    cluster, member = alone(memory=memory)
    cluster.stop(member)
    member = back(cluster, member)
    put(cluster, member, "one more", "value")
    cluster.power_cut(member)
    again = cluster.start(member.machine)
    assert kept(again) == 8
    assert not again.home.forest.plots
    cluster.run(1.0)
    assert len(again.home.forest.plots) == 8
    assert not list(wrong_trees(again))


def test_what_is_on_its_way_when_a_member_stops_is_in_its_trees() -> None:
    cluster, member = alone(memory=False)
    for number in range(20):
        member.request(put_of(f"late {number}", "value"))
    cluster.stop(member)
    again = cluster.start(member.machine)
    assert len(again.home.forest.plots) == 8
    assert not list(wrong_trees(again))


@pytest.mark.parametrize("seed", range(6))
def test_all_members_know_their_stores_whatever_ends_them(seed: int) -> None:
    cluster = Cluster(seed)
    cluster.ring(3)
    random = cluster.random
    for _ in range(12):
        for number in range(random.randrange(20)):
            asked = random.choice(list(cluster.running.values()))
            names = [name_of(b"", b"key %d" % random.randrange(30))]
            delete = random.random() < 0.3
            values = [b"" if delete else b"%d" % number]
            asked.request(m.PutRequest(0, 0, 300, 2, True, delete, 0, names, values, []))
        cluster.run(random.choice((0.0, 0.001, 0.5)))
        process = random.choice(list(cluster.running.values()))
        end = random.choice((cluster.stop, cluster.kill, cluster.power_cut))
        end(process)
        cluster.start(process.machine)
        assert not [text for one in cluster.running.values() for text in wrong_trees(one)]
    cluster.run(5.0)
    for process in cluster.running.values():
        assert len(process.home.forest.plots) == 8
        assert not list(wrong_trees(process))
