"""Two writes of one key that waited for the same topology undid each other, though both were
acknowledged.

They were served in one step, so the second was built on what was there before the first.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from tests.protocol.lone import ELSE, NOW, OTHER, Lone, of, record


def test_both_are_there() -> None:
    lone = Lone()
    newer = lone.topology.with_member(lone.topology.members[1])
    one, other = record((ELSE, NOW, b"one")), record((OTHER, NOW, b"other"))
    for peer, id, held in zip(lone.peers, (7, 8), (one, other), strict=True):
        lone.receive(peer, m.Replicate(id, newer.epoch, 5000, [lone.row], [held]))
    lone.receive(lone.peers[0], m.Announce(newer.encode()))
    acknowledged = [effect.peer for effect in of(e.Send, lone.durable())]
    assert acknowledged == lone.peers
    assert {version.value for version in lone.held().versions} == {b"one", b"other"}
