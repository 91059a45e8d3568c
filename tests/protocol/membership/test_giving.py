"""The pages for members that are being filled."""

from __future__ import annotations

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ELSE, NOW, Lone, of, only, record


def fill(lone: Lone, count: int, size: int = 1) -> list[bytes]:
    rows = [row_key(2, name_of(b"", b"%04d" % number)) for number in range(count)]
    for row in rows:
        lone.store.rows[row] = record((ELSE, NOW - 9, b"v" * size))
    return rows


def scan(lone: Lone, start: bytes = row_keys.FIRST_DATA_ROW, peer: int = 0) -> m.Scanned:
    return only(m.Scanned, lone.receive(lone.peers[peer], m.Scan(7, 1, start)))


def postponed(lone: Lone) -> m.Scan:
    """A question that has to wait for half a second."""
    pressure, now = lone.home.load.pressure, lone.home.clock.monotonic()
    burst = limits.BACKGROUND_BURST_SECONDS + 0.5
    pressure.spend(now, round(burst * limits.BACKGROUND_BYTES_PER_SECOND))
    question = m.Scan(7, 1, row_keys.FIRST_DATA_ROW)
    assert only(m.Refused, lone.receive(lone.peers[0], question)).reason == m.RefusedReason.LATER
    return question


def ticked(lone: Lone, seconds: float) -> list[e.Again]:
    """What is asked again when so much more time has passed."""
    lone.wait(seconds)
    return [effect for effect in lone.step(e.Tick(0.0)) if type(effect) is e.Again]


def test_an_empty_store_is_one_empty_page() -> None:
    assert scan(Lone()) == m.Scanned(7, [], [], b"")


def test_pages_hold_so_many_rows() -> None:
    lone = Lone()
    rows = fill(lone, limits.SCAN_PAGE_ITEMS + 3)
    page = scan(lone)
    assert page.keys == rows[: limits.SCAN_PAGE_ITEMS]
    assert page.next == rows[limits.SCAN_PAGE_ITEMS]
    last = scan(lone, page.next)
    assert (last.keys, last.next) == (rows[limits.SCAN_PAGE_ITEMS :], b"")


def test_pages_hold_so_many_bytes_and_at_least_one_row() -> None:
    lone = Lone()
    rows = fill(lone, 3, limits.SCAN_PAGE_BYTES)
    assert [scan(lone, row).keys for row in rows] == [[row] for row in rows]


def test_a_page_shows_what_is_not_durable_yet() -> None:
    """It may be acknowledged under the old topology a moment later, and the newcomer never be
    told."""
    lone = Lone()
    lone.put(b"just now")
    page = scan(lone)
    assert (page.keys, page.records) == ([lone.row], [lone.store.newest(lone.row)])


def test_the_stores_own_rows_never_leave() -> None:
    lone = Lone()
    lone.durable()
    assert row_keys.IDENTITY_ROW in lone.store.rows
    assert scan(lone).keys == []


def test_two_newcomers_do_not_disturb_each_other() -> None:
    lone = Lone()
    rows = fill(lone, limits.SCAN_PAGE_ITEMS + 3)
    first = scan(lone)
    assert scan(lone, peer=1).next == first.next
    assert scan(lone, first.next).keys == rows[limits.SCAN_PAGE_ITEMS :]
    assert scan(lone, first.next, peer=1).keys == rows[limits.SCAN_PAGE_ITEMS :]


def test_the_keys_are_listed_once() -> None:
    """What is written afterwards reaches the newcomer as an owner."""
    lone = Lone()
    rows = fill(lone, limits.SCAN_PAGE_ITEMS + 3)
    following = scan(lone).next
    lone.store.rows[rows[-1] + b"x"] = record((ELSE, NOW - 9, b"later"))
    assert scan(lone, following).keys == rows[limits.SCAN_PAGE_ITEMS :]


def test_pages_wait_while_the_background_goes_too_fast() -> None:
    lone = Lone()
    fill(lone, 3)
    question = postponed(lone)
    assert lone.home.counters["pages_postponed"] == 1
    due = lone.node.giver.due
    assert due == pytest.approx(lone.home.clock.monotonic() + 0.5)
    assert lone.node.next_deadline() <= due
    assert ticked(lone, 0.4) == []
    assert lone.home.counters["pages_postponed"] == 1
    (again,) = ticked(lone, 0.11)
    assert again == e.Again(e.Received(lone.peers[0], question))
    assert len(only(m.Scanned, lone.step(again.event)).keys) == 3
    assert ticked(lone, 1.0) == [], "and once only"


def test_of_two_questions_that_wait_the_last_is_answered() -> None:
    lone = Lone()
    fill(lone, 3)
    question = postponed(lone)
    last = question._replace(id=8)
    assert only(m.Refused, lone.receive(lone.peers[0], last)).id == 8
    assert ticked(lone, 1.0) == [e.Again(e.Received(lone.peers[0], last))]


def test_two_members_that_wait_are_both_answered() -> None:
    lone = Lone()
    fill(lone, 3)
    question = postponed(lone)
    only(m.Refused, lone.receive(lone.peers[1], question))
    again = ticked(lone, 1.0)
    assert again == [e.Again(e.Received(peer, question)) for peer in lone.peers]
    answers = [only(m.Scanned, lone.step(each.event)) for each in again]
    assert [len(answer.keys) for answer in answers] == [3, 3]


def test_a_second_copy_by_the_same_member_is_listed_anew() -> None:
    lone = Lone()
    rows = fill(lone, limits.SCAN_PAGE_ITEMS + 3)
    scan(lone)
    lone.store.rows[rows[0] + b"x"] = record((ELSE, NOW - 9, b"later"))
    assert scan(lone).keys[:2] == [rows[0], rows[0] + b"x"]


def test_who_left_is_not_answered() -> None:
    lone = Lone()
    fill(lone, 3)
    postponed(lone)
    lone.step(e.PeerDown(lone.peers[0]))
    assert ticked(lone, 1.0) == []


def test_a_question_that_waits_no_longer_is_answered_once() -> None:
    lone = Lone()
    fill(lone, 3)
    postponed(lone)
    lone.wait(0.6)
    assert len(scan(lone).keys) == 3
    assert ticked(lone, 1.0) == []


def test_a_list_of_keys_goes_with_its_newcomer() -> None:
    lone = Lone()
    rows = fill(lone, limits.SCAN_PAGE_ITEMS + 3)
    middle = scan(lone).next
    assert lone.node.giver.listed
    lone.step(e.PeerDown(lone.peers[0]))
    assert not lone.node.giver.listed
    assert scan(lone, middle).keys == rows[limits.SCAN_PAGE_ITEMS :]
    assert not lone.node.giver.listed


def test_a_row_that_cannot_be_read_is_told_to_both_sides_and_once_to_people() -> None:
    lone = Lone()
    bad, *_ = fill(lone, 3)
    lone.store.disk.damaged.add(bad)
    question, peer = m.Scan(7, 1, row_keys.FIRST_DATA_ROW), lone.peers[0]
    effects = lone.receive(peer, question)
    refused = only(m.Refused, effects)
    assert refused.reason == m.RefusedReason.STORAGE
    assert refused.detail == "partition 2 cannot be read: block 7 is damaged"
    assert lone.node.giver.damaged == {peer: refused.detail}
    (report,) = of(e.Report, effects)
    assert (report.area, report.level) == ("transfer", "ERROR")
    assert refused.detail in report.text
    assert "When a file is damaged" in report.text
    effects = lone.receive(peer, question)
    assert only(m.Refused, effects) == refused
    assert not of(e.Report, effects)
    lone.step(e.PeerDown(peer))
    assert lone.node.giver.damaged, "it gave up waiting, and people come to see why"
    lone.step(e.PeerUp(peer))
    # It was written again: the copy goes on.
    lone.store.disk.damaged.clear()
    assert len(scan(lone).keys) == 3
    assert lone.node.giver.damaged == {}
