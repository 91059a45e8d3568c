"""How long frames were on their way, and what is over before it is read.

No two clocks here show the same time, but they run at nearly the same rate. A frame with requests
carries the reading of its sender's clock. The difference to the reader's own clock is the offset of
the two plus the time on the way; the smallest difference seen is the offset plus the quickest way
there was. What a frame's difference has above that, it has certainly waited: in the sender's queue,
in the network, or in this node's queue, while its loop was held or had too much to do. (So LEDBAT
measures queues, RFC 6817.)

Rules:
    - The smallest difference is that of a short while, so that clocks cannot drift apart meanwhile.
    - Every life of a process counts from anew: a machine that was started again has another clock.
      So does every link to a member.
    - A clock that stood still, in a machine that was suspended, makes all later frames late by the
      same. A queue makes them late by something else each time, so what is steady is the clock's.
    - A request that has waited longer than its budget is refused without any work (#41). It is
      answered, not dropped: the answer gives back the asker's credit, and costs next to nothing.
    - When every frame has waited for long, this node does not keep up: it refuses to coordinate.
"""

from __future__ import annotations

from typing import Final

from dynamokv import limits

WINDOW_SECONDS: Final = 15.0
"""The quickest frame of this window and of the one before stands for the offset of two clocks.
Their rates differ by 200 ppm at most, which makes 6 ms in both; a queue that stands for longer is
taken for distance."""

STEADY_SECONDS: Final = 1.0
STEADY_MS: Final = 10
"""All frames are late by the same for so long, as exactly: a clock stood still. Queues vary."""


class _Sender:
    """What is known of one sender's clock."""

    __slots__ = (
        *("age_ms", "before_ms", "began", "least_ms", "life"),
        *("steady_least_ms", "steady_most_ms", "steady_since"),
    )

    def __init__(self, life: int, difference_ms: float, now: float) -> None:
        self.life = life
        self.before_ms = self.least_ms = difference_ms
        self.began = now
        self.age_ms = 0.0
        # Of the last frames, as far as they were late by the same.
        self.steady_least_ms = self.steady_most_ms = difference_ms
        self.steady_since = now

    def saw(self, difference_ms: float, now: float) -> None:
        """One frame more."""
        if now - self.began >= WINDOW_SECONDS:
            self.before_ms, self.least_ms = self.least_ms, difference_ms
            self.began = now
        self.least_ms = min(self.least_ms, difference_ms)
        self.age_ms = difference_ms - min(self.before_ms, self.least_ms)
        least_ms = min(self.steady_least_ms, difference_ms)
        most_ms = max(self.steady_most_ms, difference_ms)
        if most_ms - least_ms > STEADY_MS:
            self.steady_least_ms = self.steady_most_ms = difference_ms
            self.steady_since = now
            return
        self.steady_least_ms, self.steady_most_ms = least_ms, most_ms
        late = self.age_ms >= limits.QUEUE_SECONDS * 1000
        if late and now - self.steady_since >= STEADY_SECONDS:
            self.before_ms = self.least_ms = least_ms
            self.began = now
            self.age_ms = difference_ms - least_ms


class Transit:
    """Of the frames that one process gets.

    Attributes:
        life: tells the clock of this process from those of its earlier and later lives.
        expired: requests that were over when they were read.
    """

    def __init__(self) -> None:
        self.life = 0
        self.expired = 0
        self._senders: dict[bytes, _Sender] = {}
        self._late_since: float | None = None

    def stamped(self, peer: bytes, life: int, sent_ms: int, now: float) -> None:
        """A frame of this peer is being read. ``life`` tells its clocks apart."""
        difference_ms = now * 1000 - sent_ms
        sender = self._senders.get(peer)
        if sender is None or sender.life != life:
            if len(self._senders) >= limits.TRANSIT_PEERS_MAX:
                del self._senders[next(iter(self._senders))]
            self._senders[peer] = _Sender(life, difference_ms, now)
            # Of its way nothing is known, and those that were late may be gone.
            self._late_since = None
            return
        sender.saw(difference_ms, now)
        if sender.age_ms < limits.QUEUE_SECONDS * 1000:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now

    def forget(self, peer: bytes) -> None:
        """The link is gone: whoever comes next starts anew."""
        self._senders.pop(peer, None)

    def is_over(self, peer: bytes, budget_ms: int) -> bool:
        """Whether a request in this peer's last frame has certainly outlived its budget."""
        sender = self._senders.get(peer)
        return sender is not None and sender.age_ms > budget_ms

    def is_behind(self, now: float) -> bool:
        """Whether everything has waited for long, and has for a while."""
        late_since = self._late_since
        return late_since is not None and now - late_since >= limits.QUEUE_INTERVAL_SECONDS
