"""(e) After healing, all replicas of a key are equal.

To be asked after a read at ALL has repaired what it found. That further reads find nothing to
repair is looked at by the run itself, which counts repairs.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Checker
from dynamokv.testing.campaign.key_history import KeyHistory
from dynamokv.wire import record as records


class CopiesAreEqual(Checker):
    """Byte for byte, and with the same digest."""

    def at_the_end(self, key: bytes, history: KeyHistory, copies: list[bytes | None]) -> None:
        """What every replica holds."""
        if len(set(copies)) > 1:
            union = 0
            for copy in copies:
                union |= history.seen(copy).known
            missing = [history.labels(union & ~history.seen(copy).known) for copy in copies]
            self.report(Rule.CONVERGENCE, key, f"copies differ; they miss {missing}")
        elif len({records.digest(copy) for copy in copies}) > 1:
            self.report(Rule.CONVERGENCE, key, "equal copies have different digests")
