"""A member came back after a clean stop on a full disk, which refused the row that says that this
is another life. Room came back, and it took in what others sent; then the power was cut. Its next
life took over the trees of the clean stop, which spoke of older rows."""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.testing.campaign.trees import wrong_trees
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from tests.testing.simulation.clusters import held, put


def test_trees_of_a_clean_stop_go_with_the_first_write_that_follows_it() -> None:
    cluster = Cluster()
    asked, _, late = cluster.ring(3)
    put(cluster, asked, "k", "old", level=3)
    cluster.stop(late)
    put(cluster, asked, "k", "new")
    row = asked.home.locate(name_of(b"", b"k"))[0]
    new = asked.engine.get(row)
    assert new is not None
    disk = late.machine.disk
    assert isinstance(disk, SimulatedDisk)
    disk.capacity_bytes = disk.used_bytes()
    late = cluster.start(late.machine)
    cluster.run(0.005)
    disk.capacity_bytes = None
    late.feed(e.Received(asked.home.node_id, m.Replicate(7, asked.home.epoch, 5000, [row], [new])))
    cluster.run(0.005)
    assert held(late, "k") == ["new"]
    assert not late.ready, "it has not said yet who it is"
    cluster.power_cut(late)
    again = cluster.start(late.machine)
    assert held(again, "k") == ["new"]
    assert not list(wrong_trees(again))
