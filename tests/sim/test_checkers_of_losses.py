"""A replica is lost for ever: what it had alone may be gone, and nothing else."""

from __future__ import annotations

from dynamokv.testing.campaign.findings import Rule
from dynamokv.types import Consistency
from tests.sim.histories import A, B, Story, token_of_read


def siblings(story: Story) -> tuple[bytes, bytes]:
    """Two writes that know nothing of each other."""
    return story.put(A, 1, b"one"), story.put(B, 1, b"two")


def test_what_one_copy_had_may_be_lost_with_it_and_what_a_quorum_had_may_not() -> None:
    for level, broken in ((Consistency.ONE, []), (Consistency.QUORUM, [Rule.ACKNOWLEDGED])):
        story = Story()
        one, two = siblings(story)
        story.told(b"two", token_of_read(two), level)
        story.history.lost_a_copy()
        story.end(one, one)
        assert story.broken == broken


def test_what_is_acknowledged_after_a_copy_was_lost_stays() -> None:
    story = Story()
    story.history.lost_a_copy()
    one, two = siblings(story)
    story.told(b"two", token_of_read(two), Consistency.ONE)
    story.end(one, one)
    assert story.broken == [Rule.ACKNOWLEDGED]
