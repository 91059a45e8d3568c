"""A campaign looked at all copies while a value with three seconds to live ended: one owner had
collected it and the other not yet, and it was said that copies differ, or that a read had something
to repair. It waits now until nothing ends any more while it looks.

Seed 3746.
"""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay


def test_nothing_ends_while_copies_are_compared() -> None:
    replay(
        Plan(
            seed=3746,
            n=2,
            partitions=16,
            sibling_cap=4,
            latency_us=(100, 20000),
            disk_us=3000,
            tombstone_grace=1.0,
            tree_check_interval=0.1,
            hot_keys=2,
            cold_keys=0,
            budget_ms=300,
            families=(("full disk", 1.0), ("power cut", 1.0), ("wrong address", 3.0)),
        )
    )
