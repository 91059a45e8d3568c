"""A member that was being closed went on to coordinate. What it minted after its last words left
for the other owners, and its own copy was never written. Its next life went on under the same name,
and its next write of the key, which had not seen that one, erased it."""

from __future__ import annotations

import pytest

from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode, RefusedReason
from tests.protocol.lone import (
    CLIENT,
    ELSE,
    NOW,
    Lone,
    get_request,
    of,
    only,
    put_request,
    record,
)


@pytest.mark.parametrize("said", [False, True])
def test_nothing_is_coordinated_from_the_stop_on(said: bool) -> None:
    lone = Lone()
    lone.hold(record((ELSE, NOW - 9, b"base")))
    lone.step(e.Stop())
    if said:
        lone.durable()
    for request in (put_request(id=9, values=[b"lost"]), get_request(id=9)):
        effects = lone.receive(CLIENT, request)
        assert only(m.Refused, effects) == (9, RefusedReason.NOT_READY, "closing")
        assert len(effects) == 1
    for effects in (lone.put(b"lost"), lone.get()):
        (reply,) = of(e.Reply, effects)
        assert type(reply.message) is m.Failed
        assert reply.message.code == FailedCode.UNAVAILABLE
        assert len(effects) == 1
    assert not lone.node.table.operations
