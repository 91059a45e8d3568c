"""A campaign demanded of a member that was being refilled what belongs to others.

Seed 1043: with n=2 of five members, the one that lost its disk takes over the keys that it owns,
and said so; the checker of membership asked it for all keys of the ring.
"""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay


def test_it_owes_its_own_keys() -> None:
    replay(
        Plan(
            seed=1043,
            members=5,
            n=2,
            partitions=16,
            seconds=6.0,
            operations_per_second=20.0,
            families=(("wiped disk", 1.0),),
        )
    )
