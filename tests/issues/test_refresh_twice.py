"""Each ``Refresh`` started its request again, even when that had happened already.

A write that was being passed on went out twice. And with nine copies, eight refusals for the same
old epoch counted as a topology that kept changing.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from tests.protocol.lone import Lone, no_reply, reply, request_id, sent


def test_a_write_is_not_passed_on_twice() -> None:
    lone = Lone(5)
    ((target, request),) = sent(m.PutRequest, lone.put(names=[lone.name(mine=False)])).items()
    newer = lone.topology.with_member(lone.topology.members[1]).encode()
    assert sent(m.PutRequest, lone.receive(target, m.Refresh(request.id, newer)))
    assert sent(m.PutRequest, lone.receive(target, m.Refresh(request.id, newer))) == {}


def test_eight_refusals_of_one_epoch_are_one_change() -> None:
    lone = Lone(9, n=9)
    id = request_id(lone.put())
    newer = lone.topology.with_member(lone.topology.members[1]).encode()
    effects: list[e.Effect] = []
    for peer in lone.peers:
        effects += lone.receive(peer, m.Refresh(id, newer))
    assert no_reply(effects)
    lone.durable()
    for peer in lone.peers[:4]:
        assert no_reply(effects)
        effects = lone.receive(peer, m.Replicated(id))
    assert reply(effects).needed == 5
