"""Receipts that name stand-ins: those that are wrong are found, and a sloppy one promises readers
nothing."""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.testing.campaign.history import Asked
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import messages as m
from tests.sim.histories import NODES, ROW, A, Story, token_of_read

OWNERS = tuple(map(NodeId, NODES))
STRANGER, OTHER = NodeId(b"8" * 16), NodeId(b"9" * 16)


def told(
    story: Story,
    replicas: list[bytes],
    hinted: list[bytes],
    *,
    sloppy: bool = True,
    allowed: bool = True,
    level: int = Consistency.QUORUM,
    owners: tuple[NodeId, ...] = OWNERS,
) -> bytes:
    """A write, and its receipt. Returns the record."""
    record = story.put(A, 1, b"one")
    done = m.PutDone(1, 1, 2, replicas, sloppy, hinted, [token_of_read(record)], [])
    asked = Asked(ROW, b"one", False, b"", level, allowed)
    story.history.acknowledged(asked, done, 0, [], owners, settled=True)
    return record


def test_an_owner_and_a_stand_in_for_one_that_is_away() -> None:
    story = Story()
    told(story, [NODES[0], STRANGER], [NODES[1], NODES[2]])
    assert story.broken == []


def test_a_stranger_in_a_receipt_that_is_not_sloppy() -> None:
    story = Story()
    told(story, [NODES[0], STRANGER], [NODES[1]], sloppy=False)
    assert story.broken == [Rule.HINTS]


def test_stand_ins_where_owners_were_asked_for() -> None:
    for strict in ({"allowed": False}, {"level": Consistency.ALL}):
        story = Story()
        told(story, [NODES[0], STRANGER], [NODES[1]], **strict)
        assert story.broken == [Rule.HINTS]


def test_a_stand_in_that_was_not_needed() -> None:
    story = Story()
    told(story, [NODES[0], NODES[1], STRANGER], [NODES[2]])
    assert story.broken == [Rule.HINTS]


def test_two_stand_ins_for_one_owner_that_is_away() -> None:
    story = Story()
    told(story, [STRANGER, OTHER], [NODES[2]])
    assert story.broken == [Rule.HINTS]


def test_owners_that_are_not_known_are_not_judged() -> None:
    story = Story()
    told(story, [NODES[0], STRANGER], [], sloppy=False, owners=())
    assert story.broken == []


def test_a_read_owes_nothing_to_a_sloppy_write() -> None:
    for sloppy, broken in ((True, []), (False, [Rule.QUORUM])):
        story = Story()
        replicas = [NODES[0], STRANGER if sloppy else NODES[1]]
        told(story, replicas, [NODES[1], NODES[2]], sloppy=sloppy)
        story.read(b"")
        assert story.broken == broken


def test_whoever_is_hinted_has_it_when_no_hint_is_left() -> None:
    for durable, broken in ((True, [Rule.HINTS]), (False, [])):
        story = Story(durable=durable)
        record = told(story, [NODES[0], STRANGER], [NODES[2]])
        story.history.handed_over(ROW, {OWNERS[0]: b"", OWNERS[2]: record})
        story.history.handed_over(ROW, {OWNERS[0]: record})
        assert story.broken == []
        story.history.handed_over(ROW, {OWNERS[0]: record, OWNERS[2]: b""})
        assert story.broken == broken


def test_what_was_noted_on_a_lost_disk_is_given_by_nobody() -> None:
    story = Story()
    record = told(story, [NODES[0], STRANGER], [NODES[2]])
    story.history.lost_a_copy()
    story.history.handed_over(ROW, {OWNERS[0]: record, OWNERS[2]: b""})
    assert story.broken == []
