"""A member at another address than the record says: by hand, and in whole rings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamokv.limits import FOUND_GRACE_SECONDS, SEEK_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from tests.protocol.cluster import plain_cluster
from tests.protocol.joining import TICK, decided, request
from tests.protocol.lone import Bench, get_request, of, sent
from tests.ring import rings

RING = rings.ring(3, partitions=8)
SEED = rings.member(1).address


def elsewhere(number: int, **settings: Any) -> Bench:
    bench = Bench(rings.node_id(number), RING, **{"address": "moved:1", **settings})
    bench.durable()
    return bench


# --- by hand --------------------------------------------------------------------------------------


def test_it_asks_the_driver_and_everyone_where_the_driver_is() -> None:
    bench = elsewhere(2)
    effects = bench.after(TICK)
    asked = request(2, id=0, address="moved:1")
    assert sent(m.JoinRequest, effects) == {rings.node_id(0): asked}
    assert set(sent(m.TopologyRequest, effects)) == {rings.node_id(0), rings.node_id(1)}
    assert sent(m.JoinRequest, bench.after(TICK)), "until it is put right"


def test_it_asks_the_seeds_as_well_and_lets_them_go_once_it_is_ready() -> None:
    bench = elsewhere(2, seeds=("seed:1", "moved:1"))
    effects = bench.after(TICK)
    assert of(e.Connect, effects) == [e.Connect(b"seed:1", "seed:1")]
    assert set(sent(m.JoinRequest, effects)) == {rings.node_id(0), b"seed:1"}
    effects = bench.after(TICK)
    assert of(e.Connect, effects) == []
    assert set(sent(m.JoinRequest, effects)) == {rings.node_id(0), b"seed:1"}
    here = RING.with_member(replace(RING.members[2], address="moved:1"))
    effects = bench.receive(rings.node_id(0), m.TopologyReply(0, here.encode()))
    assert of(e.Disconnect, effects) == [e.Disconnect(b"seed:1")]
    assert of(e.Ready, effects)
    assert of(e.Send, bench.after(TICK)) == []


def test_the_driver_looks_at_its_old_address_first() -> None:
    bench = elsewhere(0)
    old = rings.member(0).address
    assert of(e.Connect, bench.step(e.Tick())) == [e.Connect(old.encode(), old)]
    assert decided(bench.after(FOUND_GRACE_SECONDS - 0.01)) is None
    effects = bench.after(TICK)
    topology = decided(effects)
    assert topology is not None
    assert topology.members[0] == replace(RING.members[0], address="moved:1")
    assert of(e.Disconnect, effects) == [e.Disconnect(old.encode())]
    assert decided(bench.after(TICK)) is None, "once"
    assert of(e.Ready, bench.durable())


def test_a_driver_that_finds_somebody_at_its_old_address_stops() -> None:
    bench = elsewhere(0)
    bench.step(e.Tick())
    (refusal,) = of(e.JoinFailed, bench.step(e.PeerUp(rings.member(0).address.encode())))
    assert refusal.reason == m.JoinReason.DUPLICATE
    assert "one identity cannot run twice" in refusal.text
    assert decided(bench.after(FOUND_GRACE_SECONDS * 2)) is None


def test_links_to_others_prove_nothing_about_the_old_address() -> None:
    bench = elsewhere(0)
    assert of(e.JoinFailed, bench.step(e.PeerUp(b"seed:1"))) == []
    bench.step(e.Tick())
    assert of(e.JoinFailed, bench.step(e.PeerUp(b"seed:1"))) == []


def test_a_disk_that_refuses_the_move_is_tried_again() -> None:
    bench = elsewhere(0)
    bench.step(e.Tick())
    assert decided(bench.after(FOUND_GRACE_SECONDS + TICK))
    bench.durable(failing="DiskFull")
    assert decided(bench.after(SEEK_SECONDS * 2))


# --- in whole rings -------------------------------------------------------------------------------


def works(cluster: Cluster, *members: Process) -> bool:
    replies = [cluster.ask(member, get_request()) for member in members]
    return all(type(reply) is m.GetDone for reply in replies)


@pytest.mark.parametrize("number", [0, 2])
def test_a_member_comes_back_at_another_address(number: int) -> None:
    cluster = plain_cluster()
    members = cluster.ring(3)
    machine = cluster.power_cut(members[number])
    cluster.run(0.1)
    members[number] = cluster.start(machine, address="n9:1", seeds=())
    cluster.run(3.0)
    assert members[number].ready
    assert works(cluster, *members)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_copied_data_directory_is_refused_and_the_original_serves_on(number: int) -> None:
    cluster = plain_cluster()
    members = cluster.ring(3)
    copy = cluster.start(cluster.clone(members[number].machine, "copy"), seeds=())
    cluster.run(3.0)
    assert not copy.ready
    assert "one identity cannot run twice" in copy.refused[0]
    assert members[number].refused == []
    assert works(cluster, *members)


def test_a_member_and_the_driver_move_one_after_the_other() -> None:
    """The member cannot be told where the driver went, because nobody knows where it is itself."""
    cluster = plain_cluster()
    first, second, third = cluster.ring(3)
    machines = [cluster.power_cut(third), cluster.power_cut(first)]
    cluster.run(0.1)
    third = cluster.start(machines[0], address="n8:1", seeds=())
    cluster.run(0.5)
    first = cluster.start(machines[1], address="n9:1", seeds=())
    cluster.run(4.0)
    assert third.ready
    assert works(cluster, first, second, third)


def test_all_move_at_once_and_find_each_other_by_the_seeds() -> None:
    cluster = plain_cluster()
    machines = [cluster.power_cut(member) for member in cluster.ring(3)]
    seeds = ("n7:1", "n8:1", "n9:1")
    members = [
        cluster.start(machine, address=f"n{number}:1", seeds=seeds)
        for number, machine in zip((7, 8, 9), machines, strict=True)
    ]
    cluster.run(5.0)
    assert all(member.ready for member in members)
    assert works(cluster, *members)
