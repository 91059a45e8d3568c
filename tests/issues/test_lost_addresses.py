"""A campaign moved the only member that stays, and then demanded that clients find it.

Seeds 1274, 2259 and 4832: a ring of one, or of one and a newcomer that was lost for ever, whose
first member came back elsewhere. Nobody was left at any address that a client had ever heard of,
and nothing that a client does could help it. A member moves now only where somebody else has a
place for good.
"""

from __future__ import annotations

import pytest

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay

LOST = (
    Plan(
        seed=4832,
        grows=True,
        disk_us=20_000,
        clients=3,
        operations_per_second=0.0,
        families=(("restart elsewhere", 1.0), ("join", 0.3), ("lost newcomer", 3.0)),
    ),
    Plan(
        seed=1274,
        grows=True,
        disk_us=20_000,
        clients=2,
        operations_per_second=0.0,
        seconds=4.0,
        families=(("restart elsewhere", 3.0), ("join", 1.0), ("lost newcomer", 0.3)),
    ),
)


@pytest.mark.parametrize("plan", LOST, ids=lambda plan: f"seed {plan.seed}")
def test_somebody_stays_where_clients_look(plan: Plan) -> None:
    replay(plan)
