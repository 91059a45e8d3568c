"""A campaign demanded answers of a disk that was still busy with what it was given in the chaos.

Seed 2533: a commit that takes seconds, begun just before everything healed, outlasted the pause
before the calm requests, whose budget is 0.3 s. The run now waits until every disk is done.
"""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay


def test_the_calm_begins_when_the_disks_are_done() -> None:
    replay(
        Plan(
            seed=2533,
            members=6,
            clients=0,
            partitions=16,
            hot_keys=1,
            cold_keys=0,
            budget_ms=300,
            operations_per_second=6.25,
            families=(("stalled disk", 3.0),),
        )
    )
