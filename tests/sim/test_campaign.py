"""Some hundred short seeds: whole rings, with everything that can go wrong, and all checkers.

What fails here is played again by ``make sim SEED=...`` with the seconds and the rate below, or
by ``replay(draw(seed, SECONDS, RATE))``.
"""

from __future__ import annotations

import pytest

from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.campaign.faults import FAMILIES
from dynamokv.testing.campaign.many import Campaign, play_some
from dynamokv.testing.campaign.plan import Plan, draw
from dynamokv.testing.campaign.run import play, replay

SECONDS = 2.5
RATE = 30.0
SEEDS = 50
ROUNDS = 6

HAPPENS_IN_EVERY_ROUND = (
    "late_replies",
    "hedged_reads",
    "read_repairs",
    "stale_requests",
    "amnesia",
    "filled_rows",
    "undelivered",
    "clock_drift_refused",
    "contexts_refused",
    "refused by a disk",
    "restarted",
    "crash in a call",
    "clean stop",
    "delete beside a value",
    "write without its level",
)
"""What a round that never comes to it does not show to be safe."""


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_round_of_seeds(number: int) -> None:
    campaign = Campaign(seconds=SECONDS, operations_per_second=RATE)
    summary = play_some(campaign, range(number * SEEDS, (number + 1) * SEEDS))
    assert summary.failed == {}
    assert summary.writes > 10 * SEEDS
    assert summary.reads > 20 * SEEDS
    assert summary.durable > SEEDS // 2
    assert [name for name in HAPPENS_IN_EVERY_ROUND if not summary.happened[name]] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_does_harm(name: str) -> None:
    # Alone, and strong: nothing else hides what it does, or that it does nothing.
    grows = FAMILIES[name].while_growing
    families = (("join", 1.0), (name, 3.0)) if grows else ((name, 3.0),)
    plan = Plan(
        seed=5,
        members=4,
        n=4 if grows else 3,
        grows=grows,
        seconds=6.0,
        operations_per_second=20.0,
        store=LSMOptions(memtable_bytes=4096, cache_bytes=0, table_bytes=4096),
        families=families,
    )
    outcome = play(plan)
    assert outcome.findings == []
    assert outcome.struck[name] > 0
    assert outcome.writes > 10


def test_every_family_is_among_the_seeds() -> None:
    drawn = {name for seed in range(300) for name, _ in draw(seed).families}
    assert drawn == set(FAMILIES)
    assert len(FAMILIES) >= 24


def test_a_seed_without_faults_finds_nothing() -> None:
    replay(Plan(seed=1, seconds=2.0))


def test_nothing_is_lost_where_nothing_is_destroyed() -> None:
    plans = [draw(seed) for seed in range(200)]
    lossy = [plan for plan in plans if not plan.durable]
    assert 10 < len(lossy) < 100
    assert not Plan(seed=1, families=(("bit rot", 1.0),)).durable
    assert Plan(seed=1, families=(("power cut", 1.0),)).durable
