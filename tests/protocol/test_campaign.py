"""Safety under random faults, some hundred seeds. ``oracle.py`` says what must hold.

A failing seed is shown, and ``Workload(seed).run(STEPS)`` plays it again.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.protocol.workload import FAULTS, Workload

STEPS = 60
SEEDS = 25
ROUNDS = 10

HAPPENS_IN_EVERY_ROUND = (
    "late_replies",
    "hedged_reads",
    "read_repairs",
    "stale_requests",
    "amnesia",
    "filled_rows",
    "undelivered",
    "WriteFailed",
    "TopologyStored",
    "PageStored",
    "JoinAnswer",
    "Refresh",
    "Stop",
)
"""What a round that never comes to it does not show to be safe."""


def play(seed: int) -> Workload:
    workload = Workload(seed)
    try:
        workload.run(STEPS)
    except Exception as error:
        error.add_note(f"seed {seed}, with {sorted(workload.faults)}")
        raise
    return workload


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_round_of_seeds(number: int) -> None:
    happened: Counter[str] = Counter()
    writes = reads = 0
    for seed in range(number * SEEDS, (number + 1) * SEEDS):
        workload = play(seed)
        happened.update(workload.happened)
        writes += workload.oracle.writes
        reads += workload.oracle.reads
    assert writes > 10 * SEEDS
    assert reads > 15 * SEEDS
    assert [name for name in HAPPENS_IN_EVERY_ROUND if not happened[name]] == []


def test_every_fault_is_among_the_seeds() -> None:
    seen = {fault for seed in range(SEEDS * ROUNDS) for fault in Workload(seed).faults}
    assert seen == set(FAULTS)


def test_the_same_seed_is_the_same_run() -> None:
    first, second = play(7), play(7)
    assert first.happened == second.happened
    assert first.oracle.minted == second.oracle.minted
