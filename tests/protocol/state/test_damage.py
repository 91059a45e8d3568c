"""When a damage is another one than before."""

from __future__ import annotations

from collections.abc import Sequence

from dynamokv.ports import Range
from dynamokv.protocol.state.damage import Damages
from dynamokv.wire import keys as row_keys
from dynamokv.wire.keys import row_key
from tests.protocol.fakes import Store

A, B, C, D = (row_key(3, bytes([name])) for name in b"abcd")
ELSEWHERE = row_key(4, b"a"), row_key(4, b"b")


def damages(*lost: Range) -> tuple[Damages, list[Range], list[int]]:
    """Those of a store, what it has quarantined, and where there is new damage."""
    ranges, fresh = list(lost), list[int]()

    def quarantined() -> Sequence[Range]:
        return ranges

    store = Store()
    store.quarantined = quarantined
    return Damages(store, fresh), ranges, fresh


def test_what_is_written_again_is_no_new_damage() -> None:
    all_of_them, ranges, fresh = damages((A, D), ELSEWHERE)
    begun = all_of_them.begin(3)
    assert begun.lost == [(A, D)]
    ranges[:] = [(A, B), (C, D)]
    assert all_of_them.now(3) is begun
    ranges.append((row_key(4, b"b"), row_key(4, b"c")))
    assert all_of_them.now(3) is begun, "it is of another partition"
    assert fresh == [3]


def test_what_is_lost_of_other_partitions_is_theirs() -> None:
    start, end = row_keys.partition_range(3)
    all_of_them, ranges, fresh = damages((row_key(2, b"a"), C))
    assert all_of_them.begin(3).lost == [(start, C)]
    ranges[:] = [(B, ELSEWHERE[1])]
    assert all_of_them.begin(3).lost == [(B, end)]
    ranges[:] = [(C, row_key(5, b"a"))]
    begun = all_of_them.now(3)
    assert begun is not None
    assert begun.lost == [(C, end)]
    assert fresh == [3, 3], "it is no new damage"


def test_what_is_lost_besides_is() -> None:
    all_of_them, ranges, fresh = damages((A, B))
    begun = all_of_them.begin(3)
    ranges.append((C, D))
    other = all_of_them.now(3)
    assert other is not begun
    assert fresh == [3, 3]
    assert all_of_them.now(3) is other


def test_what_is_lost_once_more_is() -> None:
    all_of_them, ranges, _ = damages((A, D))
    begun = all_of_them.begin(3)
    ranges[:] = [(A, B), (C, D)]
    assert all_of_them.now(3) is begun
    ranges.append((B, C))
    assert all_of_them.now(3) is not begun


def test_there_may_be_none() -> None:
    all_of_them, _, fresh = damages()
    assert all_of_them.now(3) is None
    assert fresh == []
