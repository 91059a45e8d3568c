"""A receipt tells who stood in: only where that was allowed and needed, and each for one owner. In
the end, whoever it names as hinted has what it missed, before anybody has read it.

Knows: receipts, the owners of a row in the ring of the receipt, and what they hold when all hints
are gone. That they do go is looked at by ``calm.py``.
"""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Acknowledged, Checker
from dynamokv.testing.campaign.key_history import KeyHistory
from dynamokv.types import Consistency, NodeId


class StandInsAreTold(Checker):
    """Held at every receipt whose owners are known."""

    def on_acknowledged(self, told: Acknowledged) -> None:
        """Owners first; the others are as many as owners that miss the write, at most."""
        asked, done = told.asked, told.done
        if not told.owners:
            return
        owners = [replica for replica in done.replicas if replica in told.owners]
        others = len(done.replicas) - len(owners)
        if not done.sloppy:
            if others:
                self._report(told, f"counts {others} that are no owners, and is not called sloppy")
            return
        away = [node_id for node_id in done.hinted if node_id not in owners]
        if not asked.sloppy or asked.level == Consistency.ALL:
            self._report(told, "counts stand-ins where owners were asked for")
        elif len(owners) >= done.needed:
            self._report(told, "is called sloppy, and needs no stand-in")
        elif others > len(away):
            self._report(told, f"counts {others} stand-ins for {len(away)} owners that are away")

    def handed_over(self, key: bytes, history: KeyHistory, copies: dict[NodeId, bytes]) -> None:
        """Nobody keeps anything for anybody any more; ``copies``: what the owners of a row hold, by
        their ids."""
        if not self.durable:
            return
        for target, promised in history.promised.items():
            # What was noted on a disk that is lost is given by nobody: reads repair it.
            excused = history.excused | history.collected
            missed = promised & ~excused & ~history.seen(copies.get(target)).known
            if target in copies and missed:
                text = f"{target.hex()[:8]} was never given {history.labels(missed)}"
                self.report(Rule.HINTS, key, text)

    def _report(self, told: Acknowledged, text: str) -> None:
        self.report(Rule.HINTS, told.asked.key, f"the receipt for {told.asked.value!r} {text}")
