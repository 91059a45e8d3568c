"""From the moment it is asked to stop, a member takes nothing in and begins nothing."""

from __future__ import annotations

from math import inf

from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.protocol.lone import CLIENT, ELSE, NOW, Lone, get_request, only, put_request, record
from tests.protocol.lone import reply as reply_of

LATE = record((ELSE, NOW - 9, b"late"))


def stopping() -> Lone:
    """Its trees are built, and its end has begun."""
    lone = Lone()
    for _ in range(50):
        lone.after(0.1)
        lone.durable()
    lone.step(e.Stop())
    return lone


def test_whoever_asks_is_refused() -> None:
    lone = stopping()
    for asker, request in (
        (CLIENT, put_request(id=5)),
        (CLIENT, get_request(id=5)),
        (lone.peers[0], m.Replicate(5, 1, 5000, [lone.row], [LATE])),
        (lone.peers[0], m.Fetch(5, 1, 5000, [lone.row], [])),
    ):
        effects = lone.receive(asker, request)
        assert only(m.Refused, effects) == (5, m.RefusedReason.NOT_READY, "closing")
        assert len(effects) == 1
    assert lone.receive(lone.peers[0], m.Fetched(6, [LATE])) == []
    for effects in (lone.put(), lone.get()):
        failed = reply_of(effects)
        assert (type(failed), failed.code) == (m.Failed, m.FailedCode.UNAVAILABLE)
        assert failed.detail == "closing"


def test_nothing_is_due_any_more() -> None:
    lone = stopping()
    assert lone.node.next_deadline() == inf
    assert lone.after(60.0) == []


def kept(lone: Lone) -> list[bytes]:
    return [key for key in lone.store.rows if key.startswith(row_keys.TREE_ROWS)]


def test_trees_are_kept() -> None:
    lone = stopping()
    lone.durable()
    assert kept(lone)
