"""Keeping hints for a coordinator, and delivering them: nothing is lost, nothing comes at once."""

from __future__ import annotations

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.keys import hint_row, name_of, row_key
from dynamokv.wire.messages import RefusedReason
from tests.protocol.healing.holding import LATER, OLD, Holder
from tests.protocol.lone import ELSE, NOW, OTHER, Lone, beside_comparing, of, only, record, sent

NEW = record((ELSE, NOW - 5, b"new"))
BESIDE = record((OTHER, NOW - 5, b"beside"))
FAR_AHEAD = record((ELSE, NOW + (10_001 << 20), b"tomorrow"))


# --- keeping --------------------------------------------------------------------------------------


def test_a_hint_is_acknowledged_when_it_is_durable() -> None:
    holder = Holder()
    effects = holder.hint(OLD, NEW)
    assert sent(m.Replicated, effects) == {}
    (write,) = of(e.Write, effects)
    keys = [holder.row_of(0), holder.row_of(1)]
    assert [at for at, _ in write.rows] == [hint_row(holder.target, key) for key in keys]
    assert only(m.Replicated, holder.durable()) == m.Replicated(7)
    assert holder.home.counters["hints_kept"] == 2
    assert all(holder.store.newest(key) is None for key in keys)


def test_a_stand_in_mints_nothing() -> None:
    holder = Holder()
    holder.hint(OLD)
    (at,) = holder.kept()
    value = holder.store.newest(at)
    assert value is not None
    assert value.endswith(OLD)


def test_a_disk_that_refuses_is_told_and_the_sums_are_as_they_were() -> None:
    holder = Holder()
    holder.hint(OLD)
    refused = only(m.Refused, holder.durable(failing="no space"))
    assert (refused.id, refused.reason) == (7, RefusedReason.STORAGE)
    assert holder.home.hints.holds(holder.partition), "nobody knows before they are counted"
    holder.after(LATER)
    assert (holder.home.hints.size, holder.kept()) == (0, [])


@pytest.mark.parametrize(
    ("bad", "reason"), [(b"junk", RefusedReason.STORAGE), (FAR_AHEAD, RefusedReason.CLOCK_DRIFT)]
)
def test_what_no_owner_would_take_is_not_kept(bad: bytes, reason: RefusedReason) -> None:
    holder = Holder()
    effects = holder.hint(OLD, bad)
    assert only(m.Refused, effects).reason == reason
    assert (of(e.Write, effects), holder.home.hints.size) == ([], 0)


def test_a_write_from_before_a_promise_is_not_kept() -> None:
    """Its coordinator came from a backup: the owners would take it for something deleted."""
    holder = Holder()
    holder.home.horizons.promise(NOW)
    effects = holder.hint(NEW)
    assert only(m.Refused, effects).reason == RefusedReason.OUTDATED
    assert (of(e.Write, effects), holder.home.hints.size) == ([], 0)
    holder.hint(record((ELSE, NOW, b"new"), (OTHER, NOW - 5, b"beside")))
    assert len(holder.kept()) == 1


def test_a_row_of_no_partition_is_poison() -> None:
    holder = Holder()
    row = row_key(8, name_of(b"", b"key"))
    effects = holder.receive(holder.asker, m.Hint(7, 1, 5000, holder.target, [row], [OLD]))
    assert only(m.Refused, effects).reason == RefusedReason.STORAGE
    assert holder.home.counters["poison_records"] == 1


def test_without_room_new_ones_are_refused_and_none_is_dropped() -> None:
    holder = Holder(hint_bytes_per_target=120)
    holder.keep()
    kept = holder.kept()
    effects = holder.hint(OLD, OLD)
    assert only(m.Refused, effects).detail == "no room for more hints"
    assert (holder.kept(), holder.home.counters["hints_refused"]) == (kept, 2)


# --- delivering -----------------------------------------------------------------------------------


def test_a_target_that_comes_up_is_sent_what_was_kept_and_only_then_is_it_gone() -> None:
    holder = Holder()
    holder.keep(2)
    page = holder.comes_up()
    assert page is not None
    assert (page.keys, page.records) == ([holder.row_of(0), holder.row_of(1)], [OLD, OLD])
    assert len(holder.kept()) == 2
    assert holder.acknowledge(page) is None
    assert holder.kept() == []
    assert not holder.home.hints.holds(holder.partition)
    assert holder.home.counters["hints_delivered"] == 2
    assert beside_comparing(holder.after(LATER)) == []


def test_what_the_target_knows_to_be_deleted_is_done_with() -> None:
    holder = Holder()
    holder.keep(2)
    page = holder.comes_up()
    assert page is not None
    outdated = m.Refused(page.id, RefusedReason.OUTDATED, "older than its horizon")
    assert holder.page(holder.receive(holder.target, outdated)) is None
    assert holder.kept() == []
    assert holder.home.counters["hint_pages_failed"] == 0


def test_one_page_is_under_way_at_a_time() -> None:
    holder = Holder()
    holder.keep(limits.HINT_PAGE_ITEMS)
    holder.hint(*[NEW] * (limits.HINT_PAGE_ITEMS + 3))
    holder.durable()
    first = holder.comes_up()
    assert first is not None
    assert len(first.keys) == limits.HINT_PAGE_ITEMS
    assert beside_comparing(holder.after(LATER)) == []
    second = holder.acknowledge(first)
    assert second is not None
    assert len(second.keys) == 3
    assert holder.acknowledge(second) is None
    assert holder.kept() == []


def test_the_next_page_waits_for_what_background_work_may_move() -> None:
    holder = Holder(background_bytes_per_second=100_000)
    holder.keep(limits.HINT_PAGE_ITEMS)
    holder.hint(*[OLD] * (limits.HINT_PAGE_ITEMS + 1))
    holder.durable()
    assert holder.acknowledge(holder.comes_up()) is None
    now = holder.home.clock.monotonic()
    assert now < holder.node.next_deadline() <= now + limits.HINT_TICK_SECONDS
    seconds = 0
    while (page := holder.page(holder.after(LATER))) is None:
        seconds += 1
    assert 1 < seconds < 20
    assert len(page.keys) == 1


def test_one_that_is_there_already_is_sent_its_hints_at_the_next_look() -> None:
    holder = Holder()
    holder.comes_up()
    holder.keep()
    assert holder.page(holder.after(LATER)) is not None


def test_a_hint_that_changed_under_way_is_sent_again() -> None:
    holder = Holder()
    holder.keep()
    page = holder.comes_up()
    holder.hint(BESIDE, id=8)
    again = holder.acknowledge(page)
    assert again is not None
    assert again.records == [records.join_records(OLD, BESIDE)]
    assert holder.acknowledge(again) is None
    assert holder.kept() == []


def test_only_the_target_acknowledges() -> None:
    holder = Holder()
    holder.keep()
    page = holder.comes_up()
    assert page is not None
    holder.receive(holder.asker, m.Replicated(page.id))
    holder.receive(holder.target, m.Same(page.id))
    holder.receive(holder.asker, m.Refused(page.id, RefusedReason.STORAGE, "no"))
    assert len(holder.kept()) == 1
    assert holder.acknowledge(page) is None
    assert holder.kept() == []


def test_a_page_that_is_refused_comes_again_later_and_smaller() -> None:
    holder = Holder()
    holder.keep(limits.HINT_PAGE_ITEMS)
    page, pauses = holder.comes_up(), []
    sizes: list[int] = []
    while len(sizes) < 8:
        assert page is not None
        sizes.append(len(page.keys))
        refused = m.Refused(page.id, RefusedReason.STORAGE, "no space")
        assert holder.receive(holder.target, refused) == []
        assert len(holder.kept()) == limits.HINT_PAGE_ITEMS
        began, page = holder.home.clock.monotonic(), None
        while page is None:
            page = holder.page(holder.after(LATER))
        pauses.append(round(holder.home.clock.monotonic() - began))
    assert sizes == [128, 32, 8, 2, 1, 1, 1, 1]
    assert pauses == [1, 2, 4, 8, 8, 8, 8, 8]
    assert page is not None
    assert page.keys[0] != holder.row_of(0), "what is refused alone holds up no others"
    while page is not None:
        page = holder.acknowledge(page)
    assert holder.kept() == []


@pytest.mark.parametrize("way", ["down", "undelivered", "silence"])
def test_a_page_that_is_lost_comes_again(way: str) -> None:
    holder = Holder()
    holder.keep(2)
    page = holder.comes_up()
    assert page is not None
    if way == "down":
        holder.step(e.PeerDown(holder.target))
        assert beside_comparing(holder.after(LATER)) == []
        again = holder.comes_up()
    elif way == "undelivered":
        holder.step(e.Undelivered(holder.target, page))
        again = holder.page(holder.after(LATER))
    else:
        assert beside_comparing(holder.after(LATER)) == []
        holder.after(limits.HINT_ANSWER_SECONDS)
        again = holder.page(holder.after(LATER))
    assert again is not None
    assert again.id != page.id
    assert holder.acknowledge(page) is None
    assert len(holder.kept()) == 2, "an answer to the lost page is none to this one"
    holder.acknowledge(again)
    assert holder.kept() == []


def test_hints_survive_a_restart_of_their_holder() -> None:
    before = Holder()
    before.keep(2)
    holder = Holder(store=before.store)
    page = holder.comes_up()
    assert page is not None
    assert len(page.keys) == 2


def test_what_is_owed_is_sent_as_it_is_by_then() -> None:
    lone = Lone(up=[0])
    lone.put()
    lone.durable()
    lone.hold(NEW)
    page = sent(m.Replicate, lone.step(e.PeerUp(lone.peers[1])))[lone.peers[1]]
    assert page.records == [NEW]


def test_a_disk_that_does_not_let_go_of_them_keeps_them() -> None:
    holder = Holder()
    holder.keep()
    holder.acknowledge(holder.comes_up())
    holder.durable(failing="no space")
    assert len(holder.kept()) == 1
    assert holder.page(holder.after(LATER)) is not None
