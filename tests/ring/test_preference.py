"""Preference lists: owners in order, and stand-ins for those that are not up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.ring.placement import Preference, place, preference_list
from dynamokv.types import NodeId
from tests.ring.rings import node_id, ring

PLACEMENT = place(ring(8))
EVERYBODY = [node_id(i) for i in range(8)]


def test_all_owners_up() -> None:
    for partition, owners in enumerate(PLACEMENT.owners):
        expected = tuple(Preference(owner, True, None) for owner in owners)
        assert preference_list(partition, PLACEMENT, frozenset(EVERYBODY)) == expected
        assert preference_list(partition, PLACEMENT, set(owners)) == expected


def test_the_next_member_on_the_ring_stands_in() -> None:
    for partition, owners in enumerate(PLACEMENT.owners):
        start = PLACEMENT.starts[partition]
        lap = PLACEMENT.ring[start:] + PLACEMENT.ring[:start]
        expected = [node for node in dict.fromkeys(lap) if node not in owners]
        up = [node for node in EVERYBODY if node not in owners[1:]]

        entries = preference_list(partition, PLACEMENT, up)

        assert entries[:3] == tuple(Preference(owner, True, None) for owner in owners)
        assert entries[3:] == (
            Preference(expected[0], False, owners[1]),
            Preference(expected[1], False, owners[2]),
        )


def test_a_stand_in_is_up_itself() -> None:
    owners = PLACEMENT.owners[0]
    first = preference_list(0, PLACEMENT, set(EVERYBODY) - {owners[0]})[3].node
    second = preference_list(0, PLACEMENT, set(EVERYBODY) - {owners[0], first})[3].node
    assert first != second
    assert second not in owners


def test_stand_ins_run_out() -> None:
    """Two owners down and one other member up: the first of the two gets it."""
    owners = PLACEMENT.owners[5]
    other = next(node for node in EVERYBODY if node not in owners)
    assert preference_list(5, PLACEMENT, {owners[0], other})[3:] == (
        Preference(other, False, owners[1]),
    )


@pytest.mark.parametrize("up", [set[NodeId](), {node_id(0)}, {node_id(0), node_id(2)}])
def test_nobody_stands_in_where_everybody_owns(up: set[NodeId]) -> None:
    placement = place(ring(3))
    entries = preference_list(0, placement, up)
    assert [entry.node for entry in entries] == list(placement.owners[0])


def test_a_stranger_never_serves() -> None:
    entries = preference_list(0, place(ring(3)), {node_id(0), node_id(99)})
    assert all(entry.primary for entry in entries)
    assert node_id(99) not in {entry.node for entry in entries}


@given(st.integers(0, 255), st.sets(st.sampled_from(EVERYBODY)))
def test_as_many_stand_ins_as_are_needed_and_possible(partition: int, up: set[NodeId]) -> None:
    owners = PLACEMENT.owners[partition]
    entries = preference_list(partition, PLACEMENT, up)
    fallbacks = [entry for entry in entries if not entry.primary]
    down = [owner for owner in owners if owner not in up]
    spare = up - set(owners)

    assert len({entry.node for entry in entries}) == len(entries)
    assert [entry.node for entry in entries if entry.primary] == list(owners)
    assert {entry.node for entry in fallbacks} <= spare
    assert len(fallbacks) == min(len(down), len(spare))
    assert [entry.stands_for for entry in fallbacks] == down[: len(fallbacks)]
    assert preference_list(partition, PLACEMENT, sorted(up)) == entries
