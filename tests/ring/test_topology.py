"""The record of members: its steps, its encoding, and everything that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from dynamokv import limits
from dynamokv.ring.topology import Member, Topology
from dynamokv.types import NodeId
from tests.ring.rings import CLUSTER_ID, CONTEXT_KEY, member, node_id, ring

# --- what it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "n", "replicas"), [(1, 3, 1), (2, 3, 2), (3, 3, 3), (9, 3, 3)])
def test_there_are_n_replicas_once_there_are_n_members(count: int, n: int, replicas: int) -> None:
    assert ring(count, n=n).replicas == replicas


def test_a_member_is_found_by_its_id() -> None:
    topology = ring(3)
    assert topology.member(node_id(1)) is topology.members[1]
    assert topology.member(node_id(99)) is None


def test_the_secret_is_not_shown() -> None:
    assert "secrets" not in repr(ring(1))
    assert "context_key" not in repr(ring(1))


def test_a_client_gets_no_secret() -> None:
    topology = ring(2)
    assert topology.without_secrets() == replace(topology, context_key=b"")
    assert topology.context_key == CONTEXT_KEY


# --- its steps ------------------------------------------------------------------------------------


def test_a_newcomer_joins_last_and_is_filled_before_anybody_else_joins() -> None:
    topology = ring(2)
    filling = topology.with_member(member(2), filling=True)
    assert filling.members == (*topology.members, member(2))
    assert (filling.epoch, filling.change) == (2, node_id(2))
    with pytest.raises(ValueError, match="still being filled"):
        filling.with_member(member(3))

    settled = filling.settled()
    assert (settled.epoch, settled.change, settled.members) == (3, None, filling.members)
    assert settled.with_member(member(3)).members[-1] == member(3)


def test_a_newcomer_that_needs_no_filling_leaves_no_change() -> None:
    topology = ring(1).with_member(member(1))
    assert (topology.epoch, topology.change) == (2, None)


def test_a_known_member_moves_and_keeps_its_place() -> None:
    topology = ring(3).with_member(member(3), filling=True)
    elsewhere = Member(node_id(1), "elsewhere:1", "north", 1)
    after = topology.with_member(elsewhere, filling=True)
    assert after.members == (member(0), elsewhere, member(2), member(3))
    assert (after.epoch, after.change) == (3, node_id(3))


def test_a_known_member_keeps_its_weight() -> None:
    with pytest.raises(ValueError, match="weight stays 1, it cannot become 2"):
        ring(3).with_member(member(1, weight=2))


def test_nobody_takes_the_address_of_another() -> None:
    with pytest.raises(ValueError, match="same address"):
        ring(3).with_member(Member(node_id(77), member(0).address, "", 1))
    with pytest.raises(ValueError, match="same address"):
        ring(3).with_member(replace(member(1), address=member(0).address))


def test_a_full_ring_takes_nobody() -> None:
    with pytest.raises(ValueError, match="1 to 1024 members, not 1025"):
        ring(limits.MEMBERS_MAX).with_member(member(limits.MEMBERS_MAX))


def test_the_last_epoch_is_the_last() -> None:
    with pytest.raises(ValueError, match="epoch"):
        replace(ring(1), epoch=2**64 - 1).settled()


# --- its encoding ---------------------------------------------------------------------------------


def test_positions_are_fixed_for_ever() -> None:
    """A change here is a change of wire and disk: append only."""
    topology = ring(1, seed=9).with_member(member(1, "north", 2), filling=True)
    assert topology.encode() == [
        CLUSTER_ID,
        "test",
        2,
        256,
        3,
        9,
        CONTEXT_KEY,
        [[node_id(0), "10.0.0.0:7401", "", 1], [node_id(1), "10.0.0.1:7401", "north", 2]],
        node_id(1),
    ]


def test_a_place_is_written_down_where_it_is_not_the_members_own() -> None:
    """Behind all that was there before: a record in which nobody was replaced stays as it was."""
    members = ring(2).replaced(node_id(0), node_id(7), "new:1").encode()[7]
    assert members == [
        [node_id(1), "10.0.0.1:7401", "", 1],
        [node_id(7), "new:1", "", 1, node_id(0)],
    ]


@pytest.mark.parametrize(
    "topology",
    [
        ring(1),
        ring(3).replaced(node_id(1), node_id(7), "10.0.0.1:7401"),
        ring(5, n=9, partitions=1, seed=0),
        ring(limits.MEMBERS_MAX, partitions=limits.PARTITIONS_MAX, seed=2**64 - 1),
        ring(4, zone=lambda i: "ü" * 512, weight=lambda i: 100),
        ring(3).with_member(member(3), filling=True),
        ring(3).without_secrets(),
        replace(ring(1), epoch=2**64 - 1),
    ],
)
def test_round_trip(topology: Topology) -> None:
    assert Topology.decode(topology.encode()) == topology
    assert Topology.decode(_tuples(topology.encode())) == topology


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


Damage = Callable[[list[Any]], object]


def put(position: int, value: object) -> Damage:
    def damage(fields: list[Any]) -> object:
        fields[position] = value
        return fields

    return damage


def put_in_member(position: int, value: object) -> Damage:
    def damage(fields: list[Any]) -> object:
        fields[7][1][position] = value
        return fields

    return damage


class Text(str):
    """Not exactly text."""


U64 = 2**64
ROW = [node_id(0), "a:1", "", 1]
ROWS = [[node_id(i), f"a:{i}", "", 1] for i in range(limits.MEMBERS_MAX + 1)]

REFUSED: list[tuple[str, Damage, str]] = [
    ("no list", lambda fields: None, "topology must be a list of 9 fields, not None"),
    ("a map", lambda fields: {}, "topology must be a list of 9 fields, not dict"),
    ("bytes", lambda fields: b"123456789", "not bytes of length 9"),
    ("too short", lambda fields: fields[:-1], "not list of length 8"),
    ("too long", lambda fields: [*fields, 0], "not list of length 10"),
    ("cluster id of 15", put(0, b"x" * 15), "cluster_id must have 16 bytes, not bytes of length 1"),
    ("cluster id of 17", put(0, b"x" * 17), "cluster_id"),
    ("cluster id is text", put(0, "x" * 16), "cluster_id must have 16 bytes, not str of length 16"),
    ("cluster id is mutable", put(0, bytearray(16)), "cluster_id must have .* not bytearray"),
    ("cluster is bytes", put(1, b"test"), "cluster must be text, not bytes of length 4"),
    ("cluster is a subclass", put(1, Text("test")), "cluster must be text"),
    ("cluster is empty", put(1, ""), "cluster must have 1 to 1024 bytes"),
    ("cluster is long", put(1, "x" * 1025), "cluster must have 1 to 1024 bytes"),
    ("cluster is long in bytes", put(1, "ü" * 513), "cluster must have 1 to 1024 bytes"),
    ("cluster has no bytes", put(1, "\ud800"), "cluster must be text"),
    ("epoch 0", put(2, 0), "epoch must be an integer from 1 to 18446744073709551615, not 0"),
    ("epoch too large", put(2, U64), "epoch"),
    ("epoch is true", put(2, True), "epoch must be an integer .* not True"),
    ("epoch is a float", put(2, 1.0), "epoch must be an integer .* not float"),
    ("epoch is none", put(2, None), "epoch must be an integer .* not None"),
    ("no partitions", put(3, 0), "partitions must be an integer from 1 to 32768, not 0"),
    ("too many partitions", put(3, 65536), "partitions"),
    ("odd partitions", put(3, 255), "partitions must be a power of two, not 255"),
    ("partitions is true", put(3, True), "partitions"),
    ("n 0", put(4, 0), "n must be an integer from 1 to 9, not 0"),
    ("n 10", put(4, 10), "n must be"),
    ("n is true", put(4, True), "n must be"),
    ("seed negative", put(5, -1), "seed must be an integer from 0"),
    ("seed too large", put(5, U64), "seed"),
    ("seed is false", put(5, False), "seed"),
    ("key of 15", put(6, b"x" * 15), "context_key must have 16 or 0 bytes, not bytes of length 15"),
    ("key is text", put(6, ""), "context_key"),
    ("key is none", put(6, None), "context_key"),
    ("members is a map", put(7, {}), "members must be a list, not dict"),
    ("members is text", put(7, "abc"), "members must be a list, not str of length 3"),
    ("no members", put(7, []), "1 to 1024 members, not 0"),
    ("too many members", put(7, ROWS), "1 to 1024 members, not 1025"),
    ("a member is no list", put(7, [1]), "member must be a list of 4 fields, not 1"),
    ("a member is short", put(7, [ROW[:3]]), "member must be a list of 4 fields, not list of len"),
    ("a member is long", put(7, [[*ROW, node_id(9), 0]]), "member must be a list of 4 fields"),
    ("place is a number", put(7, [[*ROW, 0]]), "place must have 16 bytes, not 0"),
    ("place of 15", put(7, [[*ROW, b"x" * 15]]), "place must have 16 bytes"),
    ("place is the member's own", put(7, [[*ROW, node_id(0)]]), "own place is not written down"),
    ("place is empty", put(7, [[*ROW, b""]]), "own place is not written down"),
    ("place twice", put(7, [[*ROW, node_id(1)], [node_id(1), "b", "", 1]]), "the same place"),
    ("id of 15", put_in_member(0, b"x" * 15), "node_id must have 16 bytes"),
    ("id is text", put_in_member(0, "x" * 16), "node_id"),
    ("id twice", put_in_member(0, node_id(0)), "two members have the same node_id"),
    ("address is empty", put_in_member(1, ""), "address must have 1 to 1024 bytes"),
    ("address is long", put_in_member(1, "x" * 1025), "address"),
    ("address is bytes", put_in_member(1, b"a:1"), "address must be text"),
    ("address twice", put_in_member(1, "10.0.0.0:7401"), "two members have the same address"),
    ("zone is none", put_in_member(2, None), "zone must be text, not None"),
    ("zone is long", put_in_member(2, "x" * 1025), "zone must have 0 to 1024 bytes"),
    ("weight 0", put_in_member(3, 0), "weight must be an integer from 1 to 100, not 0"),
    ("weight 101", put_in_member(3, 101), "weight"),
    ("weight is true", put_in_member(3, True), "weight"),
    ("weight is a float", put_in_member(3, 1.0), "weight"),
    ("change of 15", put(8, b"x" * 15), "change must have 16 bytes"),
    ("change is text", put(8, ""), "change"),
    ("change is false", put(8, False), "change"),
    ("change is a stranger", put(8, node_id(99)), "which is not a member"),
]


@pytest.mark.parametrize(("damage", "message"), [pytest.param(d, m, id=i) for i, d, m in REFUSED])
def test_refused(damage: Damage, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Topology.decode(damage(ring(3).encode()))


def test_what_came_instead_is_not_shown() -> None:
    with pytest.raises(ValueError, match="cluster must be text") as caught:
        Topology.decode(put(1, CONTEXT_KEY)(ring(3).encode()))
    assert "secrets" not in str(caught.value)


@pytest.mark.parametrize(
    "members", [list(ring(2).members), (member(0), "member"), (member(0), None)]
)
def test_members_are_members(members: object) -> None:
    with pytest.raises(ValueError, match="members must be a tuple of Member"):
        replace(ring(2), members=cast("tuple[Member, ...]", members))


def test_a_record_that_exists_is_valid() -> None:
    with pytest.raises(ValueError, match="node_id"):
        Member(NodeId(b"short"), "a:1", "", 1)


def test_a_newcomer_that_is_given_up_leaves_no_trace_but_the_epoch() -> None:
    before = ring(2)
    filling = before.with_member(member(2), filling=True)
    after = filling.abandoned()
    assert after == replace(before, epoch=before.epoch + 2)


# --- who replaces another -------------------------------------------------------------------------


def test_who_replaces_a_member_stands_on_its_place_and_comes_last() -> None:
    before = ring(3, zone=lambda i: "abc"[i], weight=lambda i: 1 + i)
    after = before.replaced(node_id(0), node_id(7), "new:1")
    new = Member(node_id(7), "new:1", "a", 1, place=node_id(0))
    assert after == replace(before, epoch=2, members=(*before.members[1:], new), change=node_id(7))
    assert (new.replaces, before.members[0].replaces) == (True, False)
    assert after.replacement == node_id(7)
    assert after.settled().replacement is None


def test_a_newcomer_replaces_nobody() -> None:
    assert ring(2).with_member(member(2), filling=True).replacement is None


def test_the_place_is_kept_through_all_that_follows() -> None:
    once = ring(3).replaced(node_id(1), node_id(7), "new:1")
    again = once.replaced(node_id(7), node_id(8), "new:1")
    assert again.members[-1] == Member(node_id(8), "new:1", "", 1, place=node_id(1))
    assert (again.epoch, again.change) == (3, node_id(8))
    moved = again.settled().with_member(replace(again.members[-1], address="moved:1"))
    assert moved.members[-1].place == node_id(1)
    with pytest.raises(ValueError, match="a known member's place stays"):
        again.with_member(Member(node_id(8), "moved:1", "", 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (node_id(9), node_id(7), "is not a member"),
        (node_id(1), node_id(2), "has, or had, a place"),
        (node_id(1), node_id(1), "has, or had, a place"),
    ],
)
def test_nobody_is_replaced_by_whom_the_ring_knows(old: NodeId, new: NodeId, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ring(3).replaced(old, new, "new:1")


def test_who_was_replaced_does_not_come_back() -> None:
    after = ring(3).replaced(node_id(1), node_id(7), "new:1")
    with pytest.raises(ValueError, match="has, or had, a place"):
        after.replaced(node_id(7), node_id(1), "new:1")
    with pytest.raises(ValueError, match="the same place"):
        after.settled().with_member(member(1))


def test_nobody_is_replaced_while_another_is_filled() -> None:
    filling = ring(2).with_member(member(2), filling=True)
    with pytest.raises(ValueError, match="one change at a time"):
        filling.replaced(node_id(1), node_id(7), "new:1")
