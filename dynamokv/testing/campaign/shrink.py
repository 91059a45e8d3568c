"""A failing plan made small: fewer faults, less time, fewer requests, plain sizes, and still the
same rule broken.

Knows: plans, and a function that says what one breaks. Greedy and bounded: what is left after so
many attempts is small enough to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any, Final, TypeAlias

from dynamokv.testing.campaign.findings import Finding
from dynamokv.testing.campaign.plan import Plan

ATTEMPTS_MAX: Final = 120

Change: TypeAlias = Callable[[Plan], Plan]

_PLAIN: Final = Plan(seed=0, clients=0, hot_keys=1, cold_keys=0)
"""As by default, or less where less is easier to read."""

_RESET: Final = tuple(
    each.name
    for each in fields(Plan)
    if each.name not in {"seed", "families", "seconds", "operations_per_second", "durability"}
)
"""What may become plain. ``durability`` decides which rules hold, and stays."""


def shrink(
    plan: Plan,
    first: Finding,
    play: Callable[[Plan], list[Finding]],
    attempts_max: int = ATTEMPTS_MAX,
) -> Plan:
    """The smallest plan that was found to break the rule of ``first``, in so many attempts."""
    attempts = 0
    before = None
    while before != plan:
        before = plan
        for change in _changes(plan, first):
            candidate = change(plan)
            if candidate == plan:
                continue
            if attempts == attempts_max:
                return plan
            attempts += 1
            if any(finding.rule is first.rule for finding in play(candidate)):
                plan = candidate
    return plan


def _changes(plan: Plan, first: Finding) -> Iterator[Change]:
    """What to try, that first which takes most away."""
    names = [name for name, _ in plan.families]
    half = len(names) // 2
    if half > 1:
        yield partial(_without, gone=names[:half])
        yield partial(_without, gone=names[half:])
    yield partial(_until, seconds=round(first.at_ns / 1e9 + 0.1, 1))
    for divisor in (4, 2):
        yield partial(_divided, name="seconds", divisor=divisor)
        yield partial(_divided, name="operations_per_second", divisor=divisor)
    for name in names:
        yield partial(_without, gone=[name])
    for name in _RESET:
        yield partial(_with, **{name: getattr(_PLAIN, name)})


def _with(plan: Plan, **changes: Any) -> Plan:
    return replace(plan, **changes)


def _without(plan: Plan, gone: list[str]) -> Plan:
    return replace(plan, families=tuple(pair for pair in plan.families if pair[0] not in gone))


def _until(plan: Plan, seconds: float) -> Plan:
    return replace(plan, seconds=min(plan.seconds, seconds))


def _divided(plan: Plan, name: str, divisor: int) -> Plan:
    return replace(plan, **{name: round(getattr(plan, name) / divisor, 2)})
