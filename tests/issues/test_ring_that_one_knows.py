"""A campaign wiped the only member of a ring, had another one come meanwhile, and was surprised.

Seed 3432: with ``expect_members=1`` a founder without data founds a ring unless somebody tells
it of one, and the newcomer knew of none (docs/adr/0017 says so). A founder is wiped now only
while another member remembers the ring.
"""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay


def test_the_only_member_keeps_its_disk() -> None:
    replay(
        Plan(
            seed=3432,
            grows=True,
            operations_per_second=0.0,
            seconds=1.25,
            families=(("wiped disk", 3.0), ("join", 3.0)),
        )
    )
