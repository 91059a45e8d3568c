"""A member whose disk came back after somebody else had taken its place had a read under way when
it heard of that. It ended the read under the ring's newest topology, of which it was not told the
secrets, and so gave a context that every member refused (seed 4515)."""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay


def test_nobody_is_given_a_context_that_nobody_takes() -> None:
    replay(
        Plan(
            seed=4515,
            grows=True,
            clients=2,
            scan_page_items=1,
            latency_us=(100, 20000),
            notice_us=200000,
            hot_keys=4,
            cold_keys=10,
            seconds=7.3,
            families=(("wiped disk", 1.0),),
        )
    )
