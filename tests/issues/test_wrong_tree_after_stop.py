"""A write that a member took in while it was being closed was in its store and in no tree. The
owners then agreed on a horizon above it while they differed, and others kept it out for ever."""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.testing.campaign.trees import wrong_trees
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from tests.protocol.lone import put_request


def test_the_trees_of_the_next_life_are_those_of_its_store() -> None:
    cluster = Cluster(seed=3)
    one, *_ = cluster.ring(3)
    cluster.run(1.0)
    for peer in ("n2:1", "n3:1"):
        cluster.network.cut("n1:1", peer)
    # As in a process: its sockets are open while the disk works.
    one.executor.step(e.Stop())
    one.executor.flush()
    late = put_request(names=[name_of(b"", b"late")], values=[b"late"], level=1)
    answer = cluster.ask(one, late)
    assert type(answer) is m.Failed
    assert answer.code == m.FailedCode.UNAVAILABLE
    cluster.run(0.3)
    cluster.kill(one)
    cluster.network.heal()
    one = cluster.start(one.machine)
    assert not list(wrong_trees(one))
