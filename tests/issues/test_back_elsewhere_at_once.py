"""A member that was killed came back at another address before anybody had noticed that it was gone
from the old one. The first member took it for a copy of its own data directory, and it gave up, for
good. Now whoever is at the old address is asked.

Seed 6987.
"""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay


def test_a_member_that_is_back_elsewhere_at_once_is_let_in() -> None:
    replay(
        Plan(
            seed=6987,
            clients=0,
            notice_us=200_000,
            hot_keys=1,
            cold_keys=0,
            operations_per_second=0.0,
            families=(("kill", 1.0), ("restart elsewhere", 3.0)),
        )
    )
