"""The real clock and the real random source, for production."""

from __future__ import annotations

import os
import random
from time import monotonic, time_ns

# The operating system's source: identities and keys come from it.
_SYSTEM = random.SystemRandom()


class SystemClock:
    """``ports.Clock`` of this machine."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return monotonic()


class SystemRng:
    """``ports.Rng`` of this machine."""

    def random(self) -> float:
        """A float in [0, 1)."""
        return _SYSTEM.random()

    def randbytes(self, n: int, /) -> bytes:
        """``n`` random bytes."""
        return os.urandom(n)
