"""When trees are built, and what comes of one that was wrong."""

from __future__ import annotations

from dynamokv import limits
from dynamokv.errors import CorruptionError
from dynamokv.protocol import effects as e
from dynamokv.testing.campaign.trees import rebuilt
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ELSE, NOW, Lone, of, record

MUCH = 1 << 40
KEPT = record((ELSE, NOW - 9, b"v"))


def rows(lone: Lone, partition: int, count: int) -> None:
    for number in range(count):
        lone.store.rows[row_key(partition, name_of(b"", b"k%d" % number))] = KEPT


def until_built(lone: Lone) -> int:
    """Steps until all trees are known."""
    steps = 0
    while lone.home.forest.unknown:
        lone.after(limits.TREE_STEP_SECONDS)
        steps += 1
        assert steps < 1000
    return steps


def owed(lone: Lone, size_bytes: int) -> None:
    """Background work has so much to pay off first."""
    lone.home.load.pressure.spend(lone.home.clock.monotonic(), size_bytes)


def all_right(lone: Lone) -> bool:
    forest = lone.home.forest
    return all(
        plot == rebuilt(lone.store.disk, forest.seed, partition)
        for partition, plot in forest.plots.items()
    )


def anew(lone: Lone) -> None:
    for partition in range(8):
        lone.home.forest.forget(partition)


def test_a_new_member_has_all_its_trees_at_once() -> None:
    lone = Lone()
    assert not lone.home.forest.unknown
    assert len(lone.home.forest.plots) == 8
    assert lone.home.counters["trees_built"] == 8


def test_large_partitions_take_several_steps_in_which_others_write() -> None:
    lone = Lone()
    rows(lone, 3, 3 * limits.TREE_STEP_ROWS)
    anew(lone)
    lone.put()
    assert until_built(lone) >= 3
    lone.durable()
    assert all_right(lone)
    assert lone.home.forest.rows(3) >= 3 * limits.TREE_STEP_ROWS


def test_a_tick_is_due_while_there_is_something_to_build() -> None:
    lone = Lone()
    rows(lone, 3, 3 * limits.TREE_STEP_ROWS)
    anew(lone)
    lone.after(limits.TREE_STEP_SECONDS)
    now = lone.home.clock.monotonic()
    assert lone.node.next_deadline() <= now + limits.TREE_STEP_SECONDS
    lone.step(e.Tick())
    assert lone.home.forest.unknown, "one step in its time"


def test_a_build_waits_for_its_snapshot() -> None:
    lone = Lone()
    anew(lone)
    lone.put()
    lone.store.begin()
    lone.after(limits.TREE_STEP_SECONDS)
    assert lone.home.forest.build is not None
    lone.after(limits.TREE_STEP_SECONDS)
    assert len(lone.home.forest.unknown) == 8
    lone.durable()
    until_built(lone)
    assert all_right(lone)


def test_nothing_is_built_while_other_work_goes_first() -> None:
    lone = Lone()
    anew(lone)
    owed(lone, MUCH)
    lone.after(5.0)
    assert len(lone.home.forest.unknown) == 8
    owed(lone, -MUCH)
    lone.after(5.0)
    assert not lone.home.forest.unknown


def test_a_partition_that_cannot_be_read_is_tried_again_and_holds_up_no_other() -> None:
    lone = Lone(tree_check_interval=10.0)
    anew(lone)
    readable = lone.store.scan_visible

    def scan(start: bytes, end: bytes) -> object:
        if start[1] == 2:
            raise CorruptionError("block 7 is damaged")
        return readable(start, end)

    lone.store.scan_visible = scan  # type: ignore[method-assign, assignment]
    effects = [lone.after(limits.TREE_RETRY_SECONDS) for _ in range(60)]
    assert list(lone.home.forest.unknown) == [2]
    (said,) = [report.text for report in of(e.Report, [each for step in effects for each in step])]
    assert "cannot be read" in said, "once"
    # After 1, 2, 4 and then every 8 seconds; the others are compared with the store meanwhile.
    assert 8 <= lone.home.counters["trees_unreadable"] <= 11
    assert lone.home.counters["trees_built"] >= 7 + 5
    lone.store.scan_visible = readable  # type: ignore[method-assign]
    lone.after(limits.TREE_RETRY_SECONDS_MAX)
    assert not lone.home.forest.unknown


def test_a_member_without_a_share_builds_nothing() -> None:
    lone = Lone(5, n=1)
    assert len(lone.home.forest.plots) < 8
    lone.home.forest.adopt(lone.topology, [], lone.home.actor)
    assert lone.node.builder.due > 1e9


# --- the slow round -------------------------------------------------------------------------------


def test_every_tree_is_compared_with_the_store_in_turn() -> None:
    lone = Lone(tree_check_interval=10.0)
    built = lone.home.counters["trees_built"]
    for turn in range(8):
        assert lone.home.forest.checked_at is None
        lone.after(10.0)
        assert lone.home.counters["trees_built"] == built + turn + 1
    assert lone.home.forest.checked_at == lone.home.clock.monotonic()
    lone.after(10.0)
    assert lone.home.counters["trees_built"] == built + 9
    assert lone.home.counters["tree_mismatches"] == 0


def test_a_tree_that_was_wrong_is_counted_said_and_mended() -> None:
    lone = Lone(tree_check_interval=10.0)
    rows(lone, 0, 1)  # which no write has told
    effects = lone.after(10.0)
    [report] = of(e.Report, effects)
    assert report.level == "ERROR"
    assert "partition 0" in report.text
    assert lone.home.counters["tree_mismatches"] == 1
    assert all_right(lone)


def test_a_check_waits_for_other_work_and_is_not_forgotten() -> None:
    lone = Lone(tree_check_interval=10.0)
    built = lone.home.counters["trees_built"]
    owed(lone, MUCH)
    lone.after(10.0)
    assert lone.node.next_deadline() > lone.home.clock.monotonic()
    owed(lone, -MUCH)
    lone.after(limits.TREE_STEP_SECONDS)
    assert lone.home.counters["trees_built"] == built + 1


def test_a_tree_that_promises_what_cannot_be_read_is_none() -> None:
    lone = Lone(tree_check_interval=10.0)

    def scan(start: bytes, end: bytes) -> object:
        raise CorruptionError("block 7 is damaged")

    lone.store.scan_visible = scan  # type: ignore[method-assign, assignment]
    lone.after(10.0)
    assert lone.home.forest.root(0) is None
    assert list(lone.home.forest.unknown) == [0]
