"""A member that restarted was ready at once, or a second later, by chance.

It knows its ring from its disk, but its frames did not know that before the first event with an
effect. What peers said until then, their greeting above all, was dropped as a stranger's, and the
member waited a second for a greeting that had come.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.wire import messages as m
from tests.runtime.hands import PEER, TOPOLOGY, Core, Hands


def test_a_greeting_right_after_the_start_is_heard() -> None:
    core = Core(topology=None)
    hands = Hands(core)

    def start() -> list[Effect]:
        core.home.topology = TOPOLOGY
        return [e.Connect(PEER, "127.0.0.1:2")]

    hands.executor.perform(start())
    hands.receive(m.Announce(TOPOLOGY.encode()))
    assert hands.core.events == [e.Received(PEER, m.Announce(TOPOLOGY.encode()))]
    assert not hands.executor.counters["frames_before_join"]
