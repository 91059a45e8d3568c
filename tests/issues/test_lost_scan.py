"""A newcomer whose question for a page met a peer without a ring waited for ever.

The peer, a member that had not heard of its ring yet, dropped or refused the question, and it was
asked only once.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Event
from dynamokv.testing.simulation.process import Process
from dynamokv.wire import messages as m
from tests.protocol.cluster import plain_cluster
from tests.protocol.lone import sent


def test_a_question_that_was_refused_is_asked_again() -> None:
    cluster = plain_cluster()
    seeds = ("n1:1",)
    cluster.member("n1", seeds=seeds)
    cluster.run(1.0)
    refused: list[str] = []

    def refuse_the_first(process: Process, event: Event | None, effects: list[Effect]) -> None:
        scanned = sent(m.Scanned, effects)
        if scanned and not refused:
            refused.append(process.name)
            ((peer, page),) = scanned.items()
            not_ready = m.Refused(page.id, m.RefusedReason.NOT_READY, "no ring here yet")
            effects[:] = [e.Send(peer, not_ready)]

    cluster.watchers.append(refuse_the_first)
    second = cluster.member("n2", seeds=seeds)
    cluster.run(3.0)
    assert refused == ["n1"]
    assert second.ready
