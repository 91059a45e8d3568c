"""(d) Deleted stays deleted, and overwritten stays overwritten.

A state that knows a write has dropped all that the write had seen. One that shows both has brought
something back: whoever merges it next sees a value that was gone.

That goes on when nobody knows the delete any more: once an owner has forgotten a row, nothing that
its last state had seen replaced is there ever again. And only what is dead is forgotten.
"""

from __future__ import annotations

from dynamokv.limits import CLOCK_DRIFT_MAX_MS
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Checker, Mint, Read
from dynamokv.testing.campaign.key_history import KeyHistory, Seen
from dynamokv.wire.messages import GetDone


class ReplacedStaysAway(Checker):
    """Held at every write, every read and for all replicas in the end."""

    def on_mint(self, mint: Mint) -> None:
        """What a coordinator makes."""
        self._check(mint.key, mint.history, mint.after, mint.history.buried)

    def on_collected(self, key: bytes, history: KeyHistory, seen: Seen, wall_ms: int) -> None:
        """What an owner forgets."""
        latest_ms = wall_ms + CLOCK_DRIFT_MAX_MS
        for minted in history.minted:
            if minted.bit & seen.present and minted.version.alive(latest_ms):
                self.report(Rule.DELETES, key, f"collected, and not dead: {minted.label}")

    def on_read(self, read: Read, history: KeyHistory, seen: Seen, done: GetDone) -> None:
        """What a user is shown."""
        self._check(read.key, history, seen, read.buried)

    def at_the_end(self, key: bytes, history: KeyHistory, copies: list[bytes | None]) -> None:
        """What every replica holds."""
        for copy in dict.fromkeys(copies):
            self._check(key, history, history.seen(copy), history.buried)

    def _check(self, key: bytes, history: KeyHistory, seen: Seen, buried: int) -> None:
        back = seen.present & (seen.replaced | buried)
        if back:
            self.report(Rule.DELETES, key, f"came back: {history.labels(back)}")
