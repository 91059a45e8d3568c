"""How fast work may read and write.

Knows: bytes and seconds, both handed in. Must not know: files, clocks, what the bytes are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 0.1
"""What was not used is kept for so long. Also the shortest pause worth taking: a pause for each
block would cost more than the block."""


class Stopped(Exception):
    """What a pause raises when nobody wants the work any more."""


class Throttle:
    """A bucket of tokens that may go into debt, and then pauses until the debt is paid.

    ``bytes_per_second``: 0 for no limit. ``pause`` is also called, with 0.0, where there is nothing
    to wait for: it may raise ``Stopped``.
    """

    def __init__(
        self, bytes_per_second: int, *, clock: Callable[[], float], pause: Callable[[float], None]
    ) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._pause = pause
        self._paid_until = clock()

    def spend(self, size_bytes: int) -> None:
        """Call it after so many bytes were read or written."""
        if not self._rate:
            self._pause(0.0)
            return
        now = self._clock()
        self._paid_until = max(self._paid_until, now - BURST_SECONDS) + size_bytes / self._rate
        debt = self._paid_until - now
        self._pause(debt if debt >= BURST_SECONDS else 0.0)


UNLIMITED: Final = Throttle(0, clock=lambda: 0.0, pause=lambda seconds: None)
