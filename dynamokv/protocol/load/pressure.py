"""How fast background work may go: a token bucket in bytes, whose rate yields to the foreground.

A row counts for more than its bytes: to read, join and write it takes time, whatever its size.

Anti-entropy, hints and transfers ask here before they move bytes: ``turn`` says whether now,
``spend`` says what it came to. Nobody measures anything for it but the foreground itself.

Rules:
    - The rate halves with each decision while the foreground's requests take longer than they
      usually do, or the event loop is late, and grows by an eighth of the whole otherwise
      (additive increase, multiplicative decrease: Chiu and Jain 1989).
    - It never falls below its floor: a ring that is never idle heals as well.
    - Whoever has to wait has its turn, in the order in which they came: what asks most often, or
      first at each moment, would otherwise have all of it.
    - A read repair does not come back, so it cannot stand in that line. While others do, all read
      repairs have a share of the rate, no more and no less.
    - Work may overdraw the bucket once, and then waits until that is paid: a page need not be cut
      to fit what is left.
    - No clock of its own: time comes in with every call.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from dynamokv import limits

DECISION_SECONDS: Final = 0.5
"""Between two decisions about the rate."""

LATENCY_RATIO: Final = 1.5
"""The foreground counts as hindered when its requests take so many times what they usually take."""

LATENCY_SECONDS: Final = 0.002
"""And by so much more, because twice of next to nothing is nothing."""

LAG_SECONDS: Final = 0.05
"""An event loop that is late by this is hindered, by whomever."""

MEMORY: Final = 64
"""Decisions over which what is usual follows a change that lasts: half a minute."""

MEMORY_OF_BETTER: Final = 4
"""The same when it falls: a good moment is what the foreground can have."""

TURN_SECONDS: Final = 0.5
"""So late whoever waits may come back for its turn before the next one has it."""

REPAIR_SHARE: Final = 1 / 4
"""Of the rate, for read repairs while others wait: as much as hints, pages and exchanges have each
when all of them do."""

STEP: Final = 1 / 8
"""By so much of the whole the rate grows again."""


class Pressure:
    """Of one node.

    Attributes:
        share: of the whole rate, that is allowed now.
        hindered: decisions that lowered it.
    """

    def __init__(self, bytes_per_second: int) -> None:
        self.share = 1.0
        self.hindered = 0
        self._whole = bytes_per_second
        self._burst = bytes_per_second * limits.BACKGROUND_BURST_SECONDS
        self._tokens = self._burst
        self._for_repairs = self._burst * REPAIR_SHARE
        self._filled: float | None = None
        self._decided: float | None = None
        self._total = 0.0
        self._count = 0
        self._usual: float | None = None
        self._lag = 0.0
        self._line: dict[Hashable, float] = {}

    @property
    def bytes_per_second(self) -> float:
        """The rate now."""
        return self._whole * self.share

    # --- what the foreground says -----------------------------------------------------------------

    def answered(self, seconds: float) -> None:
        """A request of the foreground took so long."""
        self._total += seconds
        self._count += 1

    def tick(self, now: float, lag: float) -> None:
        """Time has passed; the event loop was late by so many seconds."""
        self._lag = max(self._lag, lag)
        if self._decided is None:
            self._decided = now
        if now - self._decided < DECISION_SECONDS:
            return
        self._fill(now)
        self._decided = now
        if self._is_hindered():
            self.hindered += 1
            self.share = max(limits.BACKGROUND_FLOOR, self.share / 2)
        else:
            self.share = min(1.0, self.share + STEP)
        self._total, self._count, self._lag = 0.0, 0, 0.0

    def _is_hindered(self) -> bool:
        late = self._lag > LAG_SECONDS
        if not self._count:
            return late
        mean = self._total / self._count
        usual = mean if self._usual is None else self._usual
        # What lasts becomes usual: a ring that is slow for good heals at its full rate again.
        memory = MEMORY if mean > usual else MEMORY_OF_BETTER
        self._usual = usual + (mean - usual) / memory
        limit = usual * LATENCY_RATIO + LATENCY_SECONDS
        return late or mean > limit

    # --- what background work asks ----------------------------------------------------------------

    def may_work(self, now: float) -> bool:
        """Whether something may be moved now."""
        self._fill(now)
        return self._tokens > 0

    def turn(self, now: float, who: Hashable) -> bool:
        """Whether this one may move something now. Whoever may not is in a line from then on, as
        long as it goes on asking, and those that are before it go first."""
        line = self._line = {each: until for each, until in self._line.items() if until > now}
        if self.may_work(now) and next(iter(line), who) == who:
            line.pop(who, None)
            return True
        line[who] = now + self.pause(now) + TURN_SECONDS
        return False

    def spend(self, now: float, size_bytes: int, rows: int = 0) -> None:
        """So much is being moved, in so many rows."""
        self._fill(now)
        self._tokens -= size_bytes + rows * limits.BACKGROUND_ROW_BYTES

    def take(self, now: float, size_bytes: int, rows: int = 0) -> bool:
        """Both at once, for a read repair."""
        self._fill(now)
        others_wait = any(until > now for until in self._line.values())
        if (self._for_repairs if others_wait else self._tokens) <= 0:
            return False
        before = self._tokens
        self.spend(now, size_bytes, rows)
        if others_wait:
            self._for_repairs -= before - self._tokens
        return True

    def pause(self, now: float) -> float:
        """Seconds until it is worth asking again, as things are."""
        self._fill(now)
        return max(limits.BACKGROUND_PAUSE_SECONDS, -self._tokens / self.bytes_per_second)

    def _fill(self, now: float) -> None:
        if self._filled is None:
            self._filled = now
        added = max(0.0, now - self._filled) * self.bytes_per_second
        self._filled = max(now, self._filled)
        self._tokens = min(self._burst, self._tokens + added)
        saved = self._for_repairs + added * REPAIR_SHARE
        self._for_repairs = min(self._burst * REPAIR_SHARE, saved)
