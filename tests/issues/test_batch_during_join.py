"""A batch that was under way while a member joined failed as a mistake of its caller.

All members own all keys then, but in an order that differs by partition, and the names counted as
having different owners.
"""

from __future__ import annotations

from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from tests.protocol.lone import Lone, no_reply, of, reply, request_id, sent
from tests.ring import rings

NAMES = [name_of(b"", b"%d" % number) for number in range(50)]


def test_a_batch_goes_on_under_the_new_topology() -> None:
    lone = Lone(2)
    id = request_id(lone.put(names=NAMES))
    bigger = lone.topology.with_member(rings.member(2), filling=True)
    effects = lone.receive(lone.peers[0], m.Refresh(id, bigger.encode()))
    assert no_reply(effects)
    assert list(sent(m.Replicate, effects)) == lone.peers
    lone.durable()
    assert reply(lone.receive(lone.peers[0], m.Replicated(id))).errors == []


def test_names_of_all_partitions_are_one_request() -> None:
    lone = Lone()
    assert len(set(lone.home.owners)) > 1, "one order only: shows nothing"
    lone.get(*NAMES)
    assert len(sent(m.Fetch, lone.last)) == 1
    assert of(type(lone.last[0]), lone.last)
