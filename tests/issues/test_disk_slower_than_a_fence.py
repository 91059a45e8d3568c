"""Something deleted stayed at one member for good: its disk had stood still longer than a fence.

The fence of the first statement of another member fell meanwhile, and something old came in. Then
the second statement drew a fence of the same name, and what waited for the disk since the first one
took it for its own: the horizon was taken over, with the old row behind it.
"""

from __future__ import annotations

from dynamokv import limits
from dynamokv.protocol.effects import Passed
from dynamokv.wire import messages as m
from tests.protocol.collecting.test_catching_up import DELETED, Restored
from tests.protocol.council import NAME


def test_what_came_in_while_no_fence_was_up_is_looked_at() -> None:
    council = Restored()
    behind, ahead = council.restored, council.ahead
    ahead.do(ahead.collector.teller.show(behind.id))
    council.pass_on()
    assert behind.store.begin(), "and the disk stands still"
    council.wait(limits.FENCE_SECONDS + 0.1)
    key = behind.home.locate(NAME)[0]
    behind.receive(ahead.id, m.Replicate(9, behind.home.epoch, 5000, [key], [DELETED]))
    ahead.do(ahead.collector.teller.show(behind.id))
    council.pass_on()
    for after in behind.store.finish():
        assert type(after) is Passed
        behind.do(behind.collector.on_passed(after))
    council.settle()
    council.go_on(120)
    assert council.reached
    assert behind.held() is None
