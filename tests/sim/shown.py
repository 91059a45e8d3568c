"""A test that takes the place of a campaign, for a mutant that no campaign can see.

Where several things have to come together that a plan would not draw in years, or where a simulated
process does in one step what a real one does in many, a test of the rule itself is what shows that
the rule is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def shown_by(test: Callable[..., None], *arguments: Any) -> Callable[[int], tuple[str, list[str]]]:
    """A trial for ``Mutant``: the test, which is the same whatever the seed."""

    def once(_seed: int) -> tuple[str, list[str]]:
        try:
            test(*arguments)
        except Exception as error:  # a test may stumble before it asserts anything
            return test.__name__, [f"{test.__name__}: {error!r}"]
        return test.__name__, []

    return once
