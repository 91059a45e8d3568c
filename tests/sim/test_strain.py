"""Rings that have more to do than they can: what is demanded of them holds, for several seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.sim.mutants_load import LOAD
from tests.sim.mutants_run import try_seed
from tests.sim.strain import SCENARIOS, Outcome


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_ring_bears_it(scenario: Callable[[int], Outcome]) -> None:
    for seed in range(2):
        figures, wrong = scenario(seed)
        sys.stdout.write(f"seed {seed}: {figures}\n")
        assert not wrong, f"seed {seed}: {wrong}; {figures}"


@pytest.mark.parametrize("name", [mutant.name for mutant in LOAD])
def test_a_ring_without_the_rule_does_not(name: str) -> None:
    rule, finding, dirty = try_seed(name, 0)
    assert (rule, dirty) == ("trial", False), f"survives: {finding}"
