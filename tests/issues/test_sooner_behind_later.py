"""Comparisons that wait were woken for by the first of them, and one that waits eight seconds may
stand before one that waits two."""

from __future__ import annotations

import pytest

from tests.protocol.lone import Lone


def test_whichever_is_due_first_wakes() -> None:
    lone = Lone()
    exchanges, now = lone.node.exchanges, lone.home.clock.monotonic()
    for talk in list(exchanges.talks.values()):
        exchanges._drop(talk)
    exchanges._startable = False
    exchanges._beat_at = now + 100.0
    lone.home.forest.fresh.clear()
    exchanges._compare_later(lone.peers[0], 3, now + 8.0)
    exchanges._compare_later(lone.peers[1], 3, now + 2.0)
    assert exchanges.due == pytest.approx(now + 2.0)
    exchanges.tick(now + 2.0)
    exchanges._startable = False
    for talk in list(exchanges.talks.values()):
        exchanges._drop(talk)
    exchanges._startable = False
    assert exchanges.due == pytest.approx(now + 8.0)
