"""Hints that cannot be read, when their target is up."""

from __future__ import annotations

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.wire.keys import hint_row
from tests.protocol.test_hints import OLD, ONE, A, B, C, Shelf


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
