"""A receipt named the ring of the moment in which it was given, and owners of the one before.

Seed 5077: a write waited for the last of its owners while another one was replaced. Its receipt
counted who was replaced, and said that all of them are owners in the ring without it.
"""

from __future__ import annotations

from typing import Any

from dynamokv.ring.topology import Topology
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from tests.protocol.lone import NAME, Lone, reply, request_id
from tests.ring import rings


def replaced(topology: Topology, number: int) -> Topology:
    """Another one stands where this member stood, and is whole."""
    return topology.replaced(rings.node_id(number), rings.node_id(9), "b:1").settled()


def counted_across(lone: Lone, request: Any, answer: m.Message) -> Any:
    """What a request is answered whose first owner answered before it was replaced, the other one
    afterwards."""
    first, second = lone.peers
    lone.receive(first, answer)
    lone.receive(second, m.Announce(replaced(lone.topology, 1).encode()))
    assert lone.home.epoch > 1
    assert first not in lone.home.locate(NAME)[1]
    done = reply(lone.receive(second, answer))
    assert set(done.replicas) == {lone.me, first, second}
    return done


def test_a_receipt_tells_of_the_ring_whose_owners_it_counts() -> None:
    lone = Lone()
    id = request_id(lone.put(level=Consistency.ALL))
    lone.durable()
    assert counted_across(lone, id, m.Replicated(id)).epoch == 1


def test_so_does_the_answer_of_a_read() -> None:
    lone = Lone()
    id = request_id(lone.get(level=Consistency.ALL))
    assert counted_across(lone, id, m.Fetched(id, [b""])).epoch == 1
