"""Hints that cannot be read: when they are counted, and when their target is up."""

from __future__ import annotations

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.wire.keys import hint_row, name_of, row_key
from tests.protocol.state.test_hints import EVERYBODY, OLD, ONE, THREE, TWO, A, B, C, Shelf


def test_what_cannot_be_read_holds_up_no_other_target() -> None:
    shelf = Shelf()
    for target in (ONE, TWO, THREE):
        for key in (A, B):
            shelf.keep(target, key, OLD)
    shelf.store.damaged |= {hint_row(ONE, B), hint_row(THREE, A)}
    hints = shelf.restart()
    while not hints.counted:
        hints.count(EVERYBODY)
    assert shelf.keys() == {ONE: 1, TWO: 2, THREE: 1}
    assert hints.unhinted == hints.doubtful == {0, 1}
    shelf.store.apply(hints.forget(hints.page(TWO, b"", 9).rows))
    assert [hints.holds(partition) for partition in range(3)] == [True, True, False]
    hints.recount(1)
    shelf.store.damaged.clear()
    hints.count(EVERYBODY)
    assert shelf.keys() == {ONE: 2, THREE: 2}
    assert not hints.doubtful


def test_those_behind_it_in_its_partition_are_counted_and_delivered() -> None:
    shelf = Shelf()
    rows = [row_key(1, name_of(b"", b"%d" % number)) for number in range(9)]
    for row in rows:
        shelf.keep(ONE, row, OLD)
    shelf.store.damaged.add(hint_row(ONE, rows[4]))
    hints = shelf.restart()
    while not hints.counted:
        hints.count(EVERYBODY)
    assert shelf.keys() == {ONE: 8}
    assert hints.doubtful == {1}
    delivered: list[bytes] = []
    at = b""
    for _ in range(4):
        page = hints.page(ONE, at, 3)
        delivered += page.keys
        at = page.next
        shelf.store.apply(hints.forget(page.rows))
    assert delivered == rows[:4] + rows[5:]
    assert hints.holds(1), "one is left, whatever it says"


def test_what_is_not_quarantined_and_cannot_be_read_is_stepped_over() -> None:
    shelf = Shelf()
    for key in (A, B, C):
        shelf.keep(ONE, key, OLD)
    shelf.store.damaged.add(hint_row(ONE, B))
    shelf.store.unreadable = True
    hints = shelf.restart()
    while not hints.counted:
        hints.count(EVERYBODY)
    assert shelf.keys() == {ONE: 2}
    first = hints.page(ONE, b"", 9)
    assert first.keys == [A]
    assert hints.page(ONE, first.next, 9).keys == [C]


def test_nor_the_strays_before_and_after_it() -> None:
    shelf = Shelf()
    for key in (A, B, C):
        shelf.keep(ONE, key, OLD)
    shelf.store.damaged.add(hint_row(ONE, B))
    hints = shelf.restart()
    strays: list[tuple[bytes, bytes]] = []
    while not hints.counted:
        strays += hints.count([(TWO, THREE)] * 3)
    assert [at for at, _ in strays] == [hint_row(ONE, key) for key in (A, C)]


def test_when_one_of_a_stranger_cannot_be_read_everything_is_compared() -> None:
    """It has no partition here that anybody could tell it from."""
    shelf = Shelf()
    for key in (A, B):
        shelf.keep(ONE, key, OLD)
        shelf.keep(TWO, key, OLD)
    shelf.store.damaged.add(hint_row(ONE, A))
    hints = shelf.restart()
    while not hints.counted:
        hints.count([(TWO, THREE)] * 3)
    assert hints.unhinted == {0, 1, 2}
    assert shelf.keys() == {ONE: 1, TWO: 2}


def test_a_hint_that_cannot_be_read_holds_up_no_other_partition() -> None:
    shelf = Shelf()
    for key in (A, B, C):
        shelf.keep(ONE, key, OLD)
    shelf.store.damaged.add(hint_row(ONE, B))
    first = shelf.hints.page(ONE, b"", 9)
    second = shelf.hints.page(ONE, first.next, 9)
    third = shelf.hints.page(ONE, second.next, 9)
    assert (first.keys, second.keys, third.keys) == ([A], [C], [A])
    assert shelf.hints.unhinted >= {1}
    shelf.store.apply(shelf.hints.forget(first.rows + second.rows))
    for start in (b"", second.next):
        with pytest.raises(CorruptionError):
            shelf.hints.page(ONE, start, 9)
    assert [shelf.hints.holds(partition) for partition in range(3)] == [False, True, False]


def test_where_no_hint_can_be_read_that_is_said() -> None:
    shelf = Shelf()
    shelf.keep(ONE, C, OLD)
    shelf.store.damaged.add(hint_row(ONE, C))
    with pytest.raises(CorruptionError):
        shelf.hints.page(ONE, b"", 9)
