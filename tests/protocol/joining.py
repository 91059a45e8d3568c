"""Processes on their way into a ring: what they ask, and what is answered and decided."""

from __future__ import annotations

from typing import Any

from dynamokv.limits import SEEK_SECONDS
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.ring.topology import Topology
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.messages import JoinReason
from tests.protocol.lone import Bench, of, only
from tests.ring import rings

HERE, THERE = rings.member(0).address, rings.member(1).address
ROUTE = b"\0aaaa"
LINK = THERE.encode()
TICK = SEEK_SECONDS + 0.001


def seeking(number: int = 0, *, founder: bool = True, **settings: Any) -> Bench:
    """A process without a ring, whose identity is durable; the other seed is member 1, and founds
    where this one does not."""
    me = rings.member(number)
    seeds = (HERE, THERE) if founder else (THERE,)
    bench = Bench(me.node_id, None, **{"address": me.address, "seeds": seeds, **settings})
    bench.step(e.Tick())
    bench.durable()
    return bench


def request(number: int = 2, **changes: Any) -> m.JoinRequest:
    who = rings.member(number)
    asked = m.JoinRequest(9, "test", who.node_id, who.address, "", 1, 8, 3)
    return asked._replace(**changes)


def answered(effects: list[Effect]) -> tuple[JoinReason, str]:
    message = only(m.JoinAnswer, effects)
    assert message.id == 9
    return JoinReason(message.reason), message.detail


def decided(effects: list[Effect]) -> Topology | None:
    """The topology that is being made durable, if one is."""
    for write in of(e.Write, effects):
        if write.rows[0][0] == row_keys.TOPOLOGY_ROW:
            assert write.synced
            assert type(write.then) is e.TopologyStored
            return write.then.topology
    return None
