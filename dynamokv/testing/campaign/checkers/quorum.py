"""(c) A quorum is one, and a read after an acknowledged, non-sloppy write sees it or something
newer.

Knows: what each answer says of who took part. Holds what the levels promise: QUORUM after QUORUM
or ALL, ALL after anything, and any level after ALL in a ring that has not changed since.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Acknowledged, Checker, Read
from dynamokv.testing.campaign.key_history import KeyHistory, Seen
from dynamokv.types import Consistency
from dynamokv.wire.messages import GetDone


class QuorumsMeet(Checker):
    """Held at every answer."""

    def on_acknowledged(self, told: Acknowledged) -> None:
        """As many different replicas as the level needs."""
        done = told.done
        self._count(told.asked.key, "write", done.replicas, done.needed)

    def on_read(self, read: Read, history: KeyHistory, seen: Seen, done: GetDone) -> None:
        """As many different replicas, and all that was acknowledged before the read began."""
        self._count(read.key, "read", done.replicas, done.needed)
        if not self.durable:
            return
        must_know = read.must_know
        if read.level not in (Consistency.QUORUM, Consistency.ALL) and read.epoch == done.epoch:
            must_know |= read.must_know_here
        missed = must_know & ~seen.known & ~history.collected
        if missed:
            text = f"a read at {_name(read.level)} missed {history.labels(missed)}"
            self.report(Rule.QUORUM, read.key, text)

    def _count(self, key: bytes, what: str, replicas: list[bytes], needed: int) -> None:
        if len(set(replicas)) != len(replicas) or len(replicas) < needed:
            names = " ".join(replica.hex()[:8] for replica in replicas)
            self.report(Rule.QUORUM, key, f"a {what} that needs {needed} counted {names}")


def _name(level: int) -> str:
    return Consistency(level).name if level in set(Consistency) else str(level)
