"""Versions against causal histories written out in full (``oracle.py``): what survives is exactly
what nobody overwrote, and a context covers exactly what was seen.

``CAUSALITY_CASES`` in the environment says how many operations the campaign checks.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.causality.versions import EMPTY, KeyState, covers, dominates, join
from dynamokv.wire import record as records
from tests.causality.oracle import OPERATIONS, World, worlds

CAUSALITY_CASES = int(os.environ.get("CAUSALITY_CASES", "200_000"))
SLICES = 8


def picked(world: World, data: st.DataObject) -> KeyState:
    return data.draw(st.sampled_from(world.views)).state


@given(worlds())
def test_what_survives_is_what_nobody_overwrote(world: World) -> None:
    for view in world.views:
        world.covered_exactly(view)
    world.covered_exactly(world.everything())


@given(worlds(), st.data())
def test_join_is_a_least_upper_bound(world: World, data: st.DataObject) -> None:
    a, b, c = (picked(world, data) for _ in range(3))
    assert join(a, a) == a
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, EMPTY) == join(EMPTY, a) == a
    both = join(a, b)
    assert join(both, a) == join(both, b) == both


@given(worlds(), st.data())
def test_a_context_dominates_what_its_history_contains(world: World, data: st.DataObject) -> None:
    """And then the other state has nothing to add, which is what records are joined by."""
    one, other = (data.draw(st.sampled_from(world.views)) for _ in range(2))
    above = dominates(one.state.context, other.state.context)
    assert above == (other.seen & ~one.seen == 0)
    if above:
        assert join(one.state, other.state) == one.state


@given(worlds(), st.data())
def test_equal_states_have_equal_bytes(world: World, data: st.DataObject) -> None:
    a, b = picked(world, data), picked(world, data)
    one, other = join(a, b), join(b, a)
    assert records.encode(one) == records.encode(other)
    assert records.digest(records.encode(one)) == records.digest(records.encode(other))
    shuffled = dict(data.draw(st.permutations(list(one.context.items()))))
    assert records.encode(KeyState(one.versions, shuffled)) == records.encode(one)
    assert records.decode(records.encode(one)) == one
    assert (records.encode(a) == records.encode(b)) == (a == b)


@given(worlds(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_in_the_same_state(world: World, random: Random) -> None:
    """Also with messages that arrive twice."""
    views = world.views + random.choices(world.views, k=5)
    random.shuffle(views)
    state = EMPTY
    for view in views:
        state = join(state, view.state)
    assert state == world.everything().state


@given(worlds())
def test_nothing_is_lost_that_no_client_has_seen(world: World) -> None:
    nothing_is_lost(world)


def nothing_is_lost(world: World) -> None:
    """Without the oracle: every write ever made is still there, or its own writer went on from it,
    or some put held a context that covers it."""
    kept = {version.dot for version in world.everything().state.versions} | world.replaced
    for event in world.events:
        assert event.dot in kept or any(covers(context, event.dot) for context in world.used)


def records_agree(one: KeyState, other: KeyState) -> None:
    """Bytes are joined by shortcuts, which must come to the same."""
    held, joined = records.encode(one), join(one, other)
    found = records.join_records(held, records.encode(other))
    assert found == records.encode(joined)
    assert (found is held) == (joined == one)


@pytest.mark.parametrize("number", range(SLICES))
def test_campaign(number: int) -> None:
    """Many short histories, each with its own number of replicas and its own mix of operations."""
    random = Random(number)
    counts: Counter[str] = Counter()
    while counts["put"] + counts["join"] + counts["restore"] < CAUSALITY_CASES // SLICES:
        operations = random.sample(range(OPERATIONS), random.randint(2, OPERATIONS))
        world = World(random.randint(1, 5))
        for _ in range(random.randint(1, 40)):
            where, what, gap = random.randrange(60), random.randrange(4096), random.randrange(6)
            world.take((random.choice(operations), where, what, gap))
        nothing_is_lost(world)
        world.covered_exactly(random.choice(world.views))
        records_agree(random.choice(world.views).state, random.choice(world.views).state)
        counts += world.counts
    rarest = CAUSALITY_CASES // SLICES // 100
    assert all(counts[name] > rarest for name in ("put", "join", "restore", "siblings")), counts
