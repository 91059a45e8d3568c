"""Reads waited for a member that was known to be slow, because of an answer that was lost long ago.

Seed 5047: an owner whose answer is late is asked last. So it was asked nothing any more, nothing
showed that the answer was lost, and reads went to the slow one instead for as long as the link
stood.
"""

from __future__ import annotations

from dynamokv.limits import ANSWER_LOST_SECONDS
from dynamokv.wire import messages as m
from tests.protocol.lone import Lone, sent


def test_who_lost_an_answer_is_asked_again_before_who_is_slow() -> None:
    lone = Lone(4)
    name = lone.name(mine=False)
    lost, *answering = sent(m.Fetch, lone.get(name, budget_ms=1000)).items()
    for peer, message in answering:
        lone.receive(peer, m.Fetched(message.id, [b""]))
    (other,) = set(lone.peers) - {lost[0], answering[0][0]}
    lone.after(1.0 + ANSWER_LOST_SECONDS)
    lone.home.slow = {other}
    assert set(sent(m.Fetch, lone.get(name, ticket=2))) == {lost[0], answering[0][0]}
