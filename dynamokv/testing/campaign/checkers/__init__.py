"""What must hold whatever fails, a file for each rule of the test plan."""

from __future__ import annotations

from collections.abc import Callable

from dynamokv.testing.campaign.checkers.acknowledged import AcknowledgedStays
from dynamokv.testing.campaign.checkers.answers import AnswersAreTrue, RefusedIsNotMade
from dynamokv.testing.campaign.checkers.convergence import CopiesAreEqual
from dynamokv.testing.campaign.checkers.deletes import ReplacedStaysAway
from dynamokv.testing.campaign.checkers.erasure import OnlyTheSeenIsErased
from dynamokv.testing.campaign.checkers.once import MadeOnce
from dynamokv.testing.campaign.checkers.quorum import QuorumsMeet
from dynamokv.testing.campaign.checkers.stand_ins import StandInsAreTold
from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Checker


def all_checkers(
    report: Callable[[Rule, bytes, str], None], *, durable: bool, repeats: bool = False
) -> list[Checker]:
    """One of each. Not ``durable``: what was acknowledged may be lost, so that rule (a) and the
    reads of rule (c) are not held. ``repeats``: a request may come twice."""
    checkers: list[Checker] = []
    if not repeats:
        checkers += [kind(report, durable=durable) for kind in (MadeOnce, RefusedIsNotMade)]
    return checkers + [
        kind(report, durable=durable)
        for kind in (
            AnswersAreTrue,
            AcknowledgedStays,
            OnlyTheSeenIsErased,
            QuorumsMeet,
            StandInsAreTold,
            ReplacedStaysAway,
            CopiesAreEqual,
        )
    ]
