"""Who a node is when it starts, by what its store remembers; and what makes it doubt that."""

from __future__ import annotations

from random import Random

import pytest

from dynamokv.protocol.state.identity import Identity, next_life
from dynamokv.types import NodeId
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys
from tests.protocol.cluster import disk_of, plain_cluster
from tests.protocol.lone import ACTOR, NOW

ID = NodeId(bytes(range(16)))
CLEAN = Identity(ID, ACTOR, True, NOW)


def start(stored: Identity | None, *, forgot: bool = False) -> Identity:
    return next_life(stored.encode() if stored else None, forgot=forgot, rng=Random(1))


def test_the_row_says_what_it_was_told() -> None:
    assert Identity.decode(CLEAN.encode()) == CLEAN


def test_a_new_store_gets_an_id_and_an_actor() -> None:
    born = start(None)
    assert (len(born.node_id), len(born.actor), born.clean, born.ceiling) == (16, 8, False, 0)
    assert start(None) == born, "of the random source that is handed in"


def test_after_a_clean_stop_a_node_goes_on_under_its_name() -> None:
    assert start(CLEAN) == CLEAN._replace(clean=False)


@pytest.mark.parametrize(("clean", "forgot"), [(False, False), (False, True), (True, True)])
def test_after_anything_else_it_has_a_new_name(clean: bool, forgot: bool) -> None:
    before = CLEAN._replace(clean=clean)
    after = start(before, forgot=forgot)
    assert after.actor != before.actor
    assert after._replace(actor=before.actor) == before._replace(clean=False)


DAMAGED = {
    "another version": [2, *CLEAN],
    "a field less": [1, *CLEAN[:3]],
    "a field more": [1, *CLEAN, 0],
    "no list": "identity",
    "short id": [1, ID[:15], *CLEAN[1:]],
    "id as text": [1, "x" * 16, *CLEAN[1:]],
    "short actor": [1, ID, ACTOR[:7], True, 0],
    "actor as text": [1, ID, "x" * 8, True, 0],
    "clean as number": [1, ID, ACTOR, 1, 0],
    "ceiling as flag": [1, ID, ACTOR, True, True],
    "ceiling below": [1, ID, ACTOR, True, -1],
    "ceiling beyond": [1, ID, ACTOR, True, 2**64],
}


@pytest.mark.parametrize("fields", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_row_is_nobody(fields: object) -> None:
    with pytest.raises(ValueError, match=r"identity|CBOR"):
        next_life(codec.encode(fields), forgot=False, rng=Random(1))


def test_a_row_that_is_no_row_is_nobody() -> None:
    with pytest.raises(ValueError, match="CBOR"):
        next_life(CLEAN.encode()[:-1], forgot=False, rng=Random(1))


# --- over its lives -------------------------------------------------------------------------------


def test_names_over_clean_stops_and_crashes() -> None:
    cluster = plain_cluster()
    member = cluster.member("n1")
    cluster.run(2.0)
    first = member.home.actor
    member = cluster.start(cluster.stop(member))
    cluster.run(1.0)
    assert member.home.actor == first
    member = cluster.start(cluster.power_cut(member))
    cluster.run(1.0)
    assert member.home.actor != first, "the row was made unclean before the first write"


@pytest.mark.parametrize("clean", [True, False])
def test_a_new_life_starts_above_every_time_of_the_last_one(clean: bool) -> None:
    cluster = plain_cluster()
    member = cluster.start(cluster.machine("n1", offset_ms=60_000))
    cluster.run(2.0)
    used = member.home.mint()
    machine = cluster.stop(member) if clean else cluster.power_cut(member)
    machine.clock.jump(-60_000)
    assert cluster.start(machine).home.mint() > used, "although its clock went back"


def test_the_ceiling_of_the_clock_is_raised_ahead_of_time() -> None:
    cluster = plain_cluster()
    member = cluster.member("n1")
    ceilings = []
    for _ in range(20):
        cluster.run(1.0)
        stored = disk_of(member).rows[row_keys.IDENTITY_ROW]
        ceilings.append(Identity.decode(stored).ceiling)
        assert member.home.mint() < ceilings[-1]
    assert ceilings == sorted(ceilings)
    assert len(set(ceilings)) <= 6, "not at each look"
