"""A ring whose seeds had short addresses took a second longer to form than it had to.

Links to seeds are named after their addresses, and a name shorter than a node id was taken for the
route of a connection. So a founder at ``127.0.0.1:7401`` never heard the others say "no ring here",
and waited until it gave them up; with addresses of 16 characters and more it did not.
"""

from __future__ import annotations

import pytest

from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from tests.runtime.hands import Core, Hands

ANSWER = m.JoinAnswer(0, m.JoinReason.NO_RING, "no ring here yet")


@pytest.mark.parametrize("seed", [b"a:1", b"::1:1", b"127.0.0.1:7401", b"192.168.100.100:7401"])
def test_an_answer_is_from_the_seed_that_gave_it(seed: bytes) -> None:
    hands = Hands(Core(topology=None))
    hands.receive(ANSWER, source=seed)
    assert hands.core.events == [e.Received(seed, ANSWER)]
