"""(b) None is invented: a request makes its write once.

Knows: that no two requests of a workload have the same value. Not to be held where the network
repeats frames: the transport does not, and a coordinator relies on it.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Checker, Mint


class MadeOnce(Checker):
    """Held at every write but deletes, which look alike."""

    def on_mint(self, mint: Mint) -> None:
        """The value is a new one."""
        version = mint.minted.version
        if version.tombstone:
            return
        times = sum(other.version.value == version.value for other in mint.history.minted)
        if times > 1:
            text = f"{mint.minted.label} was written {times} times, and asked for once"
            self.report(Rule.ERASURE, mint.key, text)
