"""(d) Deleted stays deleted, and overwritten stays overwritten.

A state that knows a write has dropped all that the write had seen. One that shows both has brought
something back: whoever merges it next sees a value that was gone.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Checker, Mint, Read
from dynamokv.testing.campaign.key_history import KeyHistory, Seen
from dynamokv.wire.messages import GetDone


class ReplacedStaysAway(Checker):
    """Held at every write, every read and for all replicas in the end."""

    def on_mint(self, mint: Mint) -> None:
        """What a coordinator makes."""
        self._check(mint.key, mint.history, mint.after)

    def on_read(self, read: Read, history: KeyHistory, seen: Seen, done: GetDone) -> None:
        """What a user is shown."""
        self._check(read.key, history, seen)

    def at_the_end(self, key: bytes, history: KeyHistory, copies: list[bytes | None]) -> None:
        """What every replica holds."""
        for copy in dict.fromkeys(copies):
            self._check(key, history, history.seen(copy))

    def _check(self, key: bytes, history: KeyHistory, seen: Seen) -> None:
        back = seen.present & seen.replaced
        if back:
            self.report(Rule.DELETES, key, f"came back: {history.labels(back)}")
