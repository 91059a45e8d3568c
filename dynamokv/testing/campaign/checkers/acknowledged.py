"""(a) Every acknowledged write is present, or was overwritten by one that had seen it; so is every
write that a read has shown. When a replica is lost for ever, that holds of what a quorum has
acknowledged before, and of all that is acknowledged afterwards.

Knows: what users were told, and what the replicas hold in the end. That what is not present was
overwritten by one that had seen it is rule (b), which holds for all writes.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Acknowledged, Checker
from dynamokv.testing.campaign.key_history import KeyHistory


class AcknowledgedStays(Checker):
    """An answer is for a real write, the one asked for; and in the end its replicas know it."""

    def on_acknowledged(self, told: Acknowledged) -> None:
        """The receipt names a write with the value that was asked for."""
        asked, minted = told.asked, told.minted
        if minted is None:
            text = f"the receipt for {asked.value!r} names a write that nobody made"
            self.report(Rule.ACKNOWLEDGED, asked.key, text)
        elif (minted.version.value, minted.version.tombstone) != (asked.value, asked.delete):
            text = f"the receipt for {asked.value!r} names {minted.label}"
            self.report(Rule.ACKNOWLEDGED, asked.key, text)

    def at_the_end(self, key: bytes, history: KeyHistory, copies: list[bytes | None]) -> None:
        """The union of the replicas knows all that was acknowledged, or shown, but for what they
        have forgotten after it was deleted."""
        if not self.durable:
            return
        known = history.collected
        for copy in copies:
            known |= history.seen(copy).known
        lost = history.lasting & ~known
        if lost:
            self.report(Rule.ACKNOWLEDGED, key, f"lost: {history.labels(lost)}")
        gone = history.shown & ~known & ~lost & ~history.excused
        if gone:
            self.report(Rule.ACKNOWLEDGED, key, f"shown, and gone: {history.labels(gone)}")
