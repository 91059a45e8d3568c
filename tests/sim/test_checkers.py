"""Each checker is shown histories that are wrong, and must say so; and some that are only strange,
and must say nothing."""

from __future__ import annotations

from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.testing.campaign.findings import Rule
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from tests.sim.histories import (
    NODES,
    ROW,
    A,
    B,
    C,
    Story,
    joined,
    made_up,
    token_of_read,
    token_of_write,
)


def siblings(story: Story) -> tuple[bytes, bytes]:
    """Two writes that know nothing of each other."""
    return story.put(A, 1, b"one"), story.put(B, 1, b"two")


# --- nothing is wrong -----------------------------------------------------------------------------


def test_a_plain_story() -> None:
    story = Story()
    first = story.put(A, 1, b"one")
    story.told(b"one", token_of_read(first))
    second = story.put(B, 5, b"two", held=first)
    story.told(b"two", token_of_read(second))
    story.read(second)
    story.end(second, second, second)
    assert story.broken == []
    assert (story.history.writes, story.history.reads) == (2, 1)


def test_siblings_and_their_merge() -> None:
    story = Story()
    one, two = siblings(story)
    both = joined(one, two)
    story.read(both)
    merged = story.put(A, 4, b"merged", held=one, token=token_of_read(both))
    story.told(b"merged", token_of_write(token_of_read(both), A, 4))
    # A receipt stands for its write as well.
    mine = story.put(A, 6, b"again", held=merged, token=token_of_write(token_of_read(both), A, 4))
    story.read(joined(two, mine))
    story.end(mine, mine)
    assert story.broken == []


def test_a_delete_beside_a_value_that_it_had_not_seen() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    gone = story.put(A, 2, b"", held=one)
    two = story.put(B, 3, b"two", held=one)
    story.read(joined(gone, two))
    assert story.broken == []


# --- (a) ------------------------------------------------------------------------------------------


def test_an_acknowledged_write_is_lost() -> None:
    for level in (Consistency.ONE, Consistency.QUORUM):
        story = Story()
        one, two = siblings(story)
        story.told(b"two", token_of_read(two), level)
        story.end(one, one)
        assert story.broken == [Rule.ACKNOWLEDGED]


def test_a_write_that_nobody_was_told_of_may_be_lost() -> None:
    story = Story()
    one, _ = siblings(story)
    story.end(one, one)
    assert story.broken == []


def test_where_data_is_destroyed_a_write_may_be_lost() -> None:
    story = Story(durable=False)
    one, two = siblings(story)
    story.told(b"two", token_of_read(two))
    story.read(one)
    story.end(one, one)
    assert story.broken == []


def test_a_receipt_for_no_write() -> None:
    story = Story()
    story.told(b"one", token_of_read(made_up({A: 1}, (A, 1, b"one"))))
    assert story.broken == [Rule.ACKNOWLEDGED]


def test_a_receipt_for_the_write_of_somebody_else() -> None:
    story = Story()
    one, _ = siblings(story)
    story.told(b"two", token_of_read(one))
    assert story.broken == [Rule.ACKNOWLEDGED]


# --- (b) ------------------------------------------------------------------------------------------


def test_a_version_is_erased_by_nobody() -> None:
    for look in (Story.read, Story.end):
        story = Story()
        story.put(A, 1, b"one")
        story.put(B, 1, b"two")
        look(story, made_up({A: 1, B: 1}, (B, 1, b"two")))
        assert story.broken == [Rule.ERASURE]


def test_a_coordinator_claims_what_it_has_not_seen() -> None:
    story = Story()
    story.put(A, 1, b"one")
    # Its store forgot the first write, and it goes on under its old name.
    story.minted(b"two", made_up({A: 2}, (A, 2, b"two")))
    assert story.broken == [Rule.ERASURE]


def test_a_client_context_that_covers_more_than_was_shown() -> None:
    story = Story()
    one, _ = siblings(story)
    story.minted(b"three", made_up({A: 1, B: 1, C: 1}, (C, 1, b"three")), one, token_of_read(one))
    assert story.broken == [Rule.ERASURE]
    assert "'two'" in story.history.findings[0].text


def test_a_coordinator_drops_a_version_that_the_context_has_not_seen() -> None:
    story = Story()
    one, two = siblings(story)
    both = joined(one, two)
    story.minted(b"x", made_up({A: 1, B: 1, C: 1}, (C, 1, b"x")), both, token_of_read(one))
    assert story.broken == [Rule.ERASURE]


def test_one_name_for_two_writes() -> None:
    story = Story()
    story.put(A, 1, b"one")
    story.minted(b"two", made_up({A: 1}, (A, 1, b"two")))
    assert story.broken == [Rule.ERASURE]


def test_an_actor_whose_time_goes_back() -> None:
    story = Story()
    story.put(A, 5, b"one")
    story.minted(b"two", made_up({A: 3}, (A, 3, b"two")))
    assert story.broken == [Rule.ERASURE]


def test_a_write_that_is_not_in_its_own_record() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    story.minted(b"two", one, one)
    assert story.broken == [Rule.ERASURE]


def test_an_invented_version_and_a_changed_value() -> None:
    for version in ((B, 1, b"two"), (A, 1, b"eno")):
        story = Story()
        story.put(A, 1, b"one")
        story.read(made_up({version[0]: 1}, version))
        assert Rule.ERASURE in story.broken


# --- (c) ------------------------------------------------------------------------------------------


def test_a_read_misses_an_acknowledged_write() -> None:
    story = Story()
    one, two = siblings(story)
    story.told(b"two", token_of_read(two))
    for level in (Consistency.QUORUM, Consistency.ALL):
        story.read(one, level, NODES)
    assert [finding.rule for finding in story.history.findings] == [Rule.QUORUM] * 2


def test_a_read_that_began_before_the_answer_may_miss_it() -> None:
    story = Story()
    one, two = siblings(story)
    read = story.history.read_begins(ROW, Consistency.QUORUM)
    story.told(b"two", token_of_read(two))
    assert read.must_know == 0
    story.read(joined(one, two))
    assert story.broken == []


def test_what_the_levels_do_not_promise_may_be_missed() -> None:
    story = Story()
    one, two = siblings(story)
    story.told(b"two", token_of_read(two), Consistency.ONE)
    story.read(one, Consistency.QUORUM)
    assert story.broken == []
    story.told(b"two", token_of_read(two), Consistency.QUORUM)
    story.read(one, Consistency.ONE, NODES[:1])
    assert story.broken == []


def test_a_read_at_all_sees_what_one_replica_acknowledged() -> None:
    story = Story()
    one, two = siblings(story)
    story.told(b"two", token_of_read(two), Consistency.ONE)
    story.read(one, Consistency.ALL, NODES)
    assert story.broken == [Rule.QUORUM]


def test_a_read_of_one_replica_sees_what_all_acknowledged() -> None:
    story = Story()
    one, two = siblings(story)
    story.told(b"two", token_of_read(two), Consistency.ALL, NODES)
    story.read(one, Consistency.ONE, NODES[:1], epoch=2)
    assert story.broken == []
    story.read(one, Consistency.ONE, NODES[:1])
    assert story.broken == [Rule.QUORUM]


def test_a_replica_that_was_counted_twice() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    story.told(b"one", token_of_read(one), replicas=[NODES[0], NODES[0]])
    story.read(one, replicas=[NODES[1], NODES[1]])
    assert [finding.rule for finding in story.history.findings] == [Rule.QUORUM] * 2


def test_a_quorum_of_too_few() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    story.told(b"one", token_of_read(one), replicas=NODES[:1])
    assert story.broken == [Rule.QUORUM]


# --- (d) ------------------------------------------------------------------------------------------


def test_what_was_deleted_comes_back() -> None:
    for look in (Story.read, Story.end):
        story = Story()
        one = story.put(A, 1, b"one")
        story.put(B, 2, b"", held=one)
        look(story, made_up({A: 1, B: 2}, (A, 1, b"one"), (B, 2, b"")))
        assert story.broken == [Rule.DELETES]


def test_what_was_overwritten_comes_back_at_a_write() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    two = story.put(B, 2, b"two", held=one)
    wrong = made_up({A: 1, B: 2, C: 3}, (A, 1, b"one"), (C, 3, b"three"))
    story.read(two)
    story.minted(b"three", wrong, two, token_of_read(two))
    assert story.broken == [Rule.DELETES]


# --- (e) ------------------------------------------------------------------------------------------


def test_replicas_that_differ() -> None:
    story = Story()
    one, two = siblings(story)
    story.end(joined(one, two), joined(one, two), one)
    assert story.broken == [Rule.CONVERGENCE]
    story = Story()
    story.end(None, story.put(A, 1, b"one"))
    assert story.broken == [Rule.CONVERGENCE]


def test_findings_are_bounded_and_can_be_read() -> None:
    story = Story()
    one, two = siblings(story)
    for _ in range(100):
        story.end(one, two)
    assert len(story.history.findings) == story.history.FINDINGS_MAX
    text = str(story.history.findings[0])
    assert text.startswith("(e) at 0.000 s key 'k': copies differ")


def test_a_context_that_nobody_was_given_erases() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    wrong = made_up({A: 1, B: 2}, (B, 2, b"two"))
    story.minted(b"two", wrong, None, token_of_read(one))
    assert story.broken == [Rule.ERASURE]


def test_a_receipt_that_covers_more_than_was_shown_erases() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    sibling = made_up({A: 1, B: 2}, (A, 1, b"one"), (B, 2, b"two"))
    story.minted(b"two", sibling, one, token_of_read(b""))
    story.told(b"two", token_of_read(sibling))
    story.put(C, 3, b"three", held=sibling, token=token_of_read(sibling))
    assert story.broken == [Rule.ERASURE]


def test_what_was_shown_is_gone() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    story.read(one)
    story.end(None, None, None)
    assert story.broken == [Rule.ACKNOWLEDGED]


def test_a_write_is_made_twice() -> None:
    story = Story()
    one = story.put(A, 1, b"one")
    story.put(B, 2, b"one", held=one)
    assert story.broken == [Rule.ERASURE]


# --- answers --------------------------------------------------------------------------------------


def test_a_replica_that_is_named_does_not_hold_the_write() -> None:
    story = Story()
    one, two = siblings(story)
    both = joined(one, two)
    story.told(b"two", token_of_read(two), copies=(two, both))
    assert story.broken == []
    for copy in (one, None):
        story = Story()
        siblings(story)
        story.told(b"two", token_of_read(two), copies=(both, copy))
        assert story.broken == [Rule.ACKNOWLEDGED]
        assert "n1 is said to hold" in story.history.findings[0].text
    lossy = Story(durable=False)
    siblings(lossy)
    lossy.told(b"two", token_of_read(two), copies=(None,))
    assert lossy.broken == []


def test_a_context_that_was_given_is_refused() -> None:
    story = Story()
    token = token_of_read(story.put(A, 1, b"one"))
    story.refused(b"two", token, context=True)
    assert story.broken == []
    story.history.of(ROW).handed[token] = None
    story.refused(b"three", token)
    assert story.broken == []
    story.refused(b"four", token, context=True)
    assert story.broken == [Rule.LIVENESS]


def test_what_was_refused_was_made() -> None:
    story = Story()
    story.put(A, 1, b"one")
    story.refused(b"two")
    story.put(B, 1, b"")
    story.refused(b"")
    assert story.broken == []
    story.refused(b"one")
    assert story.broken == [Rule.ERASURE]
    story = Story()
    story.refused(b"one")
    story.put(A, 1, b"one")
    assert story.broken == [Rule.ERASURE]


def test_an_answer_with_too_many_parts_or_too_few() -> None:
    done = m.PutDone(1, 1, 2, NODES[:2], False, [], [b"x", b"y"], [])
    got = m.GetDone(1, 1, 2, NODES[:2], [b"", b""], [b"", b""])
    right: list[m.PutDone | m.GetDone] = [done, done._replace(errors=[0, 1]), got]
    wrong: list[m.PutDone | m.GetDone] = [
        done._replace(contexts=[b"x"]),
        done._replace(contexts=[b"x"] * 3),
        done._replace(errors=[1]),
        got._replace(records=[b""]),
        got._replace(seals=[b""]),
        got._replace(records=[b""] * 3, seals=[b""] * 3),
    ]
    for answer in right + wrong:
        story = Story()
        story.history.answered([ROW, ROW], answer)
        assert story.broken == ([Rule.LIVENESS] if answer in wrong else [])


def test_a_write_that_ends_when_nobody_wants_it_to() -> None:
    for ttl_ms, ends_ms, right in ((0, 0, True), (5, 5, True), (5, 0, False), (0, 5, False)):
        story = Story()
        version = Version(Dot(A, 1), b"one", False, ends_ms)
        story.minted(b"one", records.encode(KeyState((version,), {A: 1})), ttl_ms=ttl_ms)
        assert story.broken == ([] if right else [Rule.ERASURE])
