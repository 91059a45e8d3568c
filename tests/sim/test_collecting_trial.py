"""The trial of collecting, and the tests that take the place of campaigns, find nothing wrong in
the product itself."""

from __future__ import annotations

import pytest

from tests.sim.collecting_trial import nothing_deleted_returns
from tests.sim.mutants_run import MUTANTS, try_seed
from tests.sim.shown import shown_by

AT_ONCE = [name for name, it in MUTANTS.items() if getattr(it.trial, "__name__", "") == "once"]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_deleted_returns(seed: int) -> None:
    figures, wrong = nothing_deleted_returns(seed)
    assert not wrong, figures


def test_most_of_what_it_can_do_is_done_by_a_few() -> None:
    done = " ".join(nothing_deleted_returns(seed)[0] for seed in range(3))
    assert {word for word in done.split() if word.isidentifier()} >= {
        *("write", "wait", "lose_frames", "delay_frames", "cut", "end_one", "return_all"),
        *("copy_a_disk", "fall_back", "forget_a_row", "replace"),
    }


def test_tests_that_show_mutants_do() -> None:
    assert AT_ONCE
    for name in AT_ONCE:
        rule, _, dirty = try_seed(name, 0)
        assert (rule, dirty) == ("trial", False), name


def test_a_test_that_passes_shows_nothing() -> None:
    assert shown_by(lambda: None)(0)[1] == []
