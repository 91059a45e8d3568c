"""A request with a time limit of 2^64 - 1 ms made its coordinator send frames that others refused.

The time that was left came out as 2^64, which is no number of the protocol, and every message in
the same frame was lost with it. Such a request is refused where it arrives now.
"""

from __future__ import annotations

import pytest

from dynamokv.limits import DURATION_MS_MAX
from dynamokv.protocol import effects as e
from dynamokv.wire import frame
from dynamokv.wire import messages as m
from tests.protocol.lone import CLIENT, Lone, get_request, of, put_request

HEAD = frame.head(bytes(8), bytes(16))


def wire(message: m.Message) -> m.Message:
    (read,) = frame.FrameReader().messages(frame.encode_frame(HEAD, [message]))
    return read


@pytest.mark.parametrize("make", [put_request, get_request])
def test_what_follows_from_the_longest_can_be_sent(make: object) -> None:
    assert callable(make)
    lone = Lone(5)
    request = make(budget_ms=DURATION_MS_MAX)._replace(names=[lone.name(mine=True)], level=3)
    effects = lone.receive(CLIENT, wire(request))
    sent = of(e.Send, effects)
    assert sent
    for effect in sent:
        assert wire(effect.message) == effect.message


@pytest.mark.parametrize("make", [put_request, get_request])
def test_a_longer_one_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="budget_ms"):
        wire(make(budget_ms=DURATION_MS_MAX + 1))
