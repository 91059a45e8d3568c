"""Counting answers towards a quorum, with three outcomes: pending, won, lost.

Only distinct owners count, each once: an acknowledgement that arrives twice is one, and a
stranger's is none. An owner that is away may be stood in for; it and its stand-in are one, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum

from dynamokv.protocol.state.home import Home, NotAsked
from dynamokv.types import NodeId
from dynamokv.wire.messages import Failed, FailedCode


class Verdict(Enum):
    """What is known of a quorum."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


# Members of an enum are found through its class each time, which costs more than the counting.
_PENDING, _WON, _LOST = Verdict.PENDING, Verdict.WON, Verdict.LOST


class Tally:
    """Answers of ``owners``, of which ``needed`` must say yes.

    Attributes:
        away: owners that are not asked, because others may stand in for them.
        patient: it waits for owners, where they may be enough without stand-ins.
        short: owners that are not asked because they have too much to answer already.
    """

    __slots__ = (
        "away",
        "failed",
        "needed",
        "owners",
        "patient",
        "short",
        "stood_in",
        "yes",
    )

    def __init__(self, owners: Sequence[NodeId], needed: int) -> None:
        self.owners = owners
        self.needed = needed
        self.yes: list[NodeId] = []
        self.failed: dict[NodeId, str] = {}
        self.stood_in: dict[NodeId, NodeId] = {}
        self.away: Collection[NodeId] = ()
        self.patient = True
        self.short: list[NodeId] = []

    def add(self, owner: NodeId) -> None:
        """This owner did it. A failure told before is forgotten: the answer is the stronger
        evidence."""
        if owner in self.owners and owner not in self.yes:
            self.yes.append(owner)
            if self.failed:
                self.failed.pop(owner, None)
        elif self.stood_in:
            self.stood_in.pop(owner, None)

    def add_stand_in(self, owner: NodeId, stand_in: NodeId) -> None:
        """Another member did it, for this owner."""
        if owner in self.owners and owner not in self.yes:
            self.yes.append(owner)
            self.stood_in[owner] = stand_in
            self.failed.pop(owner, None)

    def fail(self, owner: NodeId, reason: str) -> None:
        """This owner will not, as far as anyone knows."""
        if owner in self.owners and owner not in self.yes:
            self.failed[owner] = reason

    def leave_out(self, owner: NodeId, why_not: NotAsked) -> None:
        """This owner is not even asked."""
        if why_not is NotAsked.NO_CREDIT:
            self.short.append(owner)
        self.fail(owner, why_not.value)

    @property
    def verdict(self) -> Verdict:
        """Won at ``needed`` answers, lost when too few owners are left to get there. As long as it
        is patient, stand-ins count only when the owners themselves cannot get there."""
        if len(self.yes) >= self.needed and not (self.sloppy and self.patient and self._may_do()):
            return _WON
        if len(self.owners) - len(self.failed) < self.needed:
            return _LOST
        return _PENDING

    def _may_do(self) -> bool:
        """Whether owners that are asked themselves may be enough."""
        hopeful = [o for o in self.owners if o not in self.failed and o not in self.away]
        return len(hopeful) >= self.needed

    @property
    def sloppy(self) -> bool:
        """Whether it is not won without stand-ins."""
        return bool(self.stood_in) and len(self.yes) - len(self.stood_in) < self.needed

    def replicas(self) -> list[bytes]:
        """Who did it; stand-ins only if they were needed."""
        if not self.stood_in:
            return list(self.yes)
        if self.sloppy:
            return [self.stood_in.get(owner, owner) for owner in self.yes]
        return [owner for owner in self.yes if owner not in self.stood_in]

    def failures(self) -> list[str]:
        """One line for each owner that failed, for errors."""
        return [f"{owner.hex()[:8]} ({reason})" for owner, reason in self.failed.items()]

    def failed_as(self, id: int, code: FailedCode, detail: str) -> Failed:
        """What a request with this id is told that ends without its level."""
        return Failed(id, code, self.needed, len(self.yes), self.failures(), detail)

    def why_not(self, home: Home) -> tuple[FailedCode, str]:
        """The error of a request that cannot even be begun: overloaded, when credit would help."""
        if self.short:
            return home.overloaded(home.load.credit.refusal(self.short))
        asked = len(self.owners) - len(self.failed)
        return FailedCode.UNAVAILABLE, f"{asked} of {len(self.owners)} owners can answer"
