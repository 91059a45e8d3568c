"""(b) A version disappears only for a write whose author had seen it; and none is invented.

Knows: what every coordinator held and every client was given, so what each write had the right to
replace. A context that covers a write says "I have seen it": it must be true, or it will erase.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Checker, Mint, Read
from dynamokv.testing.campaign.key_history import KeyHistory, Seen
from dynamokv.wire.messages import GetDone


class OnlyTheSeenIsErased(Checker):
    """Held at every write, every read and for all replicas in the end."""

    def on_mint(self, mint: Mint) -> None:
        """Nothing is claimed that neither the coordinator nor its client had seen."""
        # What was collected is nobody's to see, and below every later write of its author.
        invented = mint.claimed & ~mint.entitled & ~mint.history.collected
        if invented:
            text = f"{mint.minted.label} claims to have seen {mint.history.labels(invented)}"
            self.report(Rule.ERASURE, mint.key, text)
        self._check(mint.key, mint.history, mint.after)

    def on_read(self, read: Read, history: KeyHistory, seen: Seen, done: GetDone) -> None:
        """What a user is shown."""
        self._check(read.key, history, seen)

    def at_the_end(self, key: bytes, history: KeyHistory, copies: list[bytes | None]) -> None:
        """What every replica holds."""
        for copy in dict.fromkeys(copies):
            self._check(key, history, history.seen(copy))

    def _check(self, key: bytes, history: KeyHistory, seen: Seen) -> None:
        for version in seen.strange:
            text = f"nobody wrote {version.value!r} as {version.dot.actor.hex()}"
            self.report(Rule.ERASURE, key, f"{text} at {version.dot.time}")
        erased = seen.known & ~seen.present & ~seen.replaced & ~history.collected
        if erased:
            text = f"{history.labels(erased)}: erased by nobody who had seen it"
            self.report(Rule.ERASURE, key, text)
