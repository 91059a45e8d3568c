"""One damaged record in a replica's answer failed the read, or left it without any answer.

A record that no second answer contradicted was not looked at at all: its context was cut out of it,
which raised in the middle of a step.
"""

from __future__ import annotations

import pytest

from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from tests.protocol.lone import ELSE, NOW, Lone, no_reply, record, reply, sent

GOOD = record((ELSE, NOW, b"value"))


@pytest.mark.parametrize("junk", [b"j", b"junk that is longer than a head", GOOD[:-1], GOOD + b"x"])
@pytest.mark.parametrize("level", [Consistency.ONE, Consistency.QUORUM])
def test_the_others_answer_in_its_place(level: int, junk: bytes) -> None:
    lone = Lone(5)
    asked = sent(m.Fetch, lone.get(lone.name(mine=False), level=level))
    (bad, question), *others = asked.items()
    effects = lone.receive(bad, m.Fetched(question.id, [junk]))
    assert no_reply(effects)
    others += sent(m.Fetch, effects).items()
    for peer, _ in others:
        effects = lone.receive(peer, m.Fetched(question.id, [GOOD]))
    assert reply(effects).records == [GOOD]
