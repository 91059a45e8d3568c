"""The end of a member's life, from the moment it is asked to stop until its last words are written.

Rules:
    - From then on it takes nothing in: no request, no copy, no answer. What it minted or took now
      might not be written any more, while its next life goes on under the same name.
    - Whoever asked for something that never starts here hears so, and asks another owner.
    - Nothing is begun in the background either: its last words say what is in the store.
"""

from __future__ import annotations

from typing import Any, Final

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Send
from dynamokv.protocol.state.home import Home
from dynamokv.wire import messages as m

CLOSING: Final = "closing"
"""Why nothing is taken in, for errors."""


def begin(home: Home) -> list[Effect]:
    """From now on nothing new; the last words come when all that was written before is decided."""
    home.closing = True
    return [e.Write([], e.LastWords(), e.LastWords())]


def refuse(peer: bytes, request: Any) -> list[Effect]:
    """It is left undone."""
    return [Send(peer, m.Refused(request.id, m.RefusedReason.NOT_READY, CLOSING))]
