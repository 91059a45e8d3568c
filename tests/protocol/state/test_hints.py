"""What is kept for others: rows, sums, bounds, and how they are found again after a start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from dynamokv import limits
from dynamokv.errors import CorruptionError
from dynamokv.ports import Range, Row
from dynamokv.protocol.state.hint_rows import Hint, Kind
from dynamokv.protocol.state.hints import Hints
from dynamokv.testing.simulation.clocks import NodeClock
from dynamokv.testing.simulation.schedule import SECOND, Schedule
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.keys import hint_row, name_of, row_key
from tests.protocol.lone import ELSE, NOW, OTHER, record
from tests.ring.rings import node_id

ONE, TWO, THREE = sorted(node_id(number) for number in range(3))
A, B, C = (row_key(partition, name_of(b"", b"key")) for partition in range(3))
OLD = record((ELSE, NOW - 9, b"old"))
NEW = record((ELSE, NOW - 5, b"new"))
BESIDE = record((OTHER, NOW - 5, b"beside"))
EVERYBODY = [(ONE, TWO, THREE)] * 3


class Rows:
    """``ports.Reader`` over a dict; some rows cannot be read.

    Attributes:
        damaged: their keys.
        unreadable: nor can anything beside them.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.damaged: set[bytes] = set()
        self.unreadable = False

    def visible(self, key: bytes) -> bytes | None:
        raise AssertionError("hints build on what is newest")

    def newest(self, key: bytes) -> bytes | None:
        if key in self.damaged:
            raise CorruptionError("damaged")
        return self.rows.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(key for key in self.rows if start <= key < end):
            if key in self.damaged:
                raise CorruptionError("damaged")
            yield key, self.rows[key]

    def scan_visible(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError("hints build on what is newest")

    def scan_readable(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self.unreadable:
            raise CorruptionError("damaged")
        for key in sorted(key for key in self.rows if start <= key < end):
            if key not in self.damaged:
                yield key, self.rows[key]

    def quarantined(self) -> Sequence[Range]:
        raise AssertionError("hints have no trees")

    def at_rest(self, action: Callable[[], None]) -> None:
        raise AssertionError("hints have no trees")

    def apply(self, rows: Sequence[Row] | None) -> None:
        for key, value in rows or ():
            if value is None:
                del self.rows[key]
            else:
                self.rows[key] = value


class Shelf:
    """Hints, and the store that they are in."""

    def __init__(self, *, target_bytes: int = 10_000, all_bytes: int = 10_000) -> None:
        self.schedule = Schedule()
        self.store = Rows()
        self.counters: Counter[str] = Counter()
        self.target_bytes, self.all_bytes = target_bytes, all_bytes
        self.hints = self._open()
        self.hints.count(EVERYBODY)

    def _open(self) -> Hints:
        return Hints(
            self.store,
            NodeClock(self.schedule),
            self.counters,
            target_bytes=self.target_bytes,
            all_bytes=self.all_bytes,
        )

    def restart(self) -> Hints:
        self.hints = self._open()
        return self.hints

    def wait(self, seconds: int) -> None:
        self.schedule.run_until(self.schedule.now_ns + seconds * SECOND)

    def owe(self, target: NodeId, key: bytes, held: bytes) -> list[Row]:
        """The own row and the hint, written together."""
        rows = self.hints.owe(target, [key], [held])
        self.store.apply([(key, held), *rows])
        return rows

    def keep(self, target: NodeId, key: bytes, held: bytes) -> bool:
        rows = self.hints.keep(target, [key], [held])
        self.store.apply(rows)
        return rows is not None

    def hint(self, target: NodeId, key: bytes) -> Hint:
        at = hint_row(target, key)
        return Hint.read(at, self.store.rows[at])

    def sums(self) -> dict[NodeId, tuple[int, int]]:
        return {target: (a.keys, a.size) for target, a in self.hints.accounts.items()}

    def keys(self) -> dict[NodeId, int]:
        return {target: keys for target, (keys, _) in self.sums().items()}

    def check(self) -> None:
        """What is counted is what is there."""
        found: dict[NodeId, tuple[int, int]] = {}
        for at, value in self.store.scan(row_keys.HINTS, row_keys.END_OF_HINTS):
            target = row_keys.split_hint_row(at)[0]
            keys, size = found.get(target, (0, 0))
            found[target] = keys + 1, size + len(at) + len(value)
        assert self.sums() == found
        assert self.hints.size == sum(size for _, size in found.values())


# --- what a hint is -------------------------------------------------------------------------------


def test_what_is_owed_is_a_mark_and_what_is_kept_is_the_record() -> None:
    shelf = Shelf()
    shelf.owe(ONE, A, OLD)
    shelf.keep(TWO, A, OLD)
    now_ms = shelf.schedule.now_ns // 1_000_000
    owed, kept = shelf.hint(ONE, A), shelf.hint(TWO, A)
    assert (owed.kind, owed.content) == (Kind.OWED, records.digest(OLD).to_bytes(8))
    assert (kept.kind, kept.content, kept.partition) == (Kind.KEPT, OLD, 0)
    assert owed.since_ms == kept.since_ms >= now_ms
    shelf.check()


def test_hints_of_one_key_are_joined_and_keep_their_age() -> None:
    shelf = Shelf()
    shelf.keep(ONE, A, OLD)
    since_ms = shelf.hint(ONE, A).since_ms
    shelf.wait(5)
    shelf.keep(ONE, A, BESIDE)
    hint = shelf.hint(ONE, A)
    assert (hint.content, hint.since_ms) == (records.join_records(OLD, BESIDE), since_ms)
    shelf.keep(ONE, A, OLD)
    assert shelf.hint(ONE, A) == hint
    shelf.check()


def test_a_later_write_changes_what_is_owed() -> None:
    shelf = Shelf()
    shelf.owe(ONE, A, OLD)
    before = shelf.hint(ONE, A)
    shelf.owe(ONE, A, NEW)
    assert shelf.hint(ONE, A) != before
    shelf.check()


def test_whoever_becomes_an_owner_or_is_one_no_more_loses_nothing() -> None:
    shelf = Shelf()
    shelf.owe(ONE, A, OLD)
    shelf.keep(ONE, A, BESIDE)
    assert shelf.hint(ONE, A).content == records.join_records(OLD, BESIDE)
    shelf.keep(TWO, A, BESIDE)
    shelf.owe(TWO, A, NEW)
    hint = shelf.hint(TWO, A)
    assert (hint.kind, hint.content) == (Kind.KEPT, records.join_records(BESIDE, NEW))
    shelf.check()


# --- bounds ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_not_taken() -> None:
    shelf = Shelf()
    shelf.keep(ONE, A, OLD)
    size = shelf.hints.size
    for bounds in ({"target_bytes": size}, {"all_bytes": size}):
        shelf = Shelf(**bounds)
        assert shelf.keep(ONE, A, OLD)
        assert not shelf.keep(ONE, B, OLD)
        assert shelf.owe(ONE, C, OLD) == []
        assert (shelf.counters["hints_refused"], shelf.counters["hints_dropped"]) == (1, 1)
        assert shelf.hints.unhinted == {2}
        # What takes the place of something needs no more than it brings.
        assert shelf.keep(ONE, A, NEW)
        # What others rely on goes in all the same.
        shelf.store.apply(shelf.hints.keep(TWO, [B], [OLD], whatever_size=True))
        shelf.check()


def test_the_bound_of_one_target_is_not_that_of_another() -> None:
    shelf = Shelf()
    shelf.keep(ONE, A, OLD)
    shelf = Shelf(target_bytes=shelf.hints.size)
    assert [shelf.keep(target, A, OLD) for target in (ONE, TWO)] == [True, True]


# --- giving back ----------------------------------------------------------------------------------


def test_a_page_has_the_newest_record_of_what_is_owed() -> None:
    shelf = Shelf()
    shelf.owe(ONE, A, OLD)
    shelf.store.rows[A] = NEW
    shelf.keep(ONE, B, BESIDE)
    shelf.keep(TWO, C, BESIDE)
    page = shelf.hints.page(ONE, b"", 9)
    assert (page.keys, page.records, page.gone) == ([A, B], [NEW, BESIDE], [])


def test_pages_go_on_where_the_last_one_ended_and_begin_again() -> None:
    shelf = Shelf()
    for key in (A, B, C):
        shelf.keep(TWO, key, OLD)
        shelf.keep(ONE, key, OLD)
    first = shelf.hints.page(TWO, b"", 2)
    second = shelf.hints.page(TWO, first.next, 2)
    third = shelf.hints.page(TWO, second.next, 2)
    assert (first.keys, second.keys, third.keys) == ([A, B], [C], [A, B])


def test_a_page_ends_at_its_bytes() -> None:
    shelf = Shelf(target_bytes=1 << 30, all_bytes=1 << 30)
    large = record((ELSE, NOW, bytes(limits.HINT_PAGE_BYTES)))
    for key in (A, B):
        shelf.keep(ONE, key, large)
    assert shelf.hints.page(ONE, b"", 9).keys == [A]


def test_what_is_owed_and_not_here_any_more_is_told_apart() -> None:
    shelf = Shelf()
    shelf.owe(ONE, A, OLD)
    shelf.owe(ONE, B, OLD)
    shelf.store.damaged.add(A)
    page = shelf.hints.page(ONE, b"", 9)
    assert ([at for at, _ in page.gone], page.keys) == ([hint_row(ONE, A)], [B])
    assert shelf.counters["damaged_reads"] == 1


def test_there_is_no_page_for_one_for_whom_nothing_is_kept() -> None:
    assert not Shelf().hints.page(ONE, b"", 9).rows


def test_a_hint_that_changed_since_it_was_sent_stays() -> None:
    shelf = Shelf()
    for key in (A, B):
        shelf.owe(ONE, key, OLD)
    sent = shelf.hints.page(ONE, b"", 9).rows
    shelf.owe(ONE, B, NEW)
    assert shelf.hints.forget(sent) == [(hint_row(ONE, A), None)]
    del shelf.store.rows[hint_row(ONE, A)]
    shelf.check()
    assert shelf.hints.forget(sent) == []


# --- counting -------------------------------------------------------------------------------------


def test_after_a_start_the_sums_are_found_again_slice_by_slice() -> None:
    shelf = Shelf()
    for target in (ONE, TWO):
        for key in (A, B, C):
            shelf.keep(target, key, OLD)
    sums = shelf.sums()
    hints = shelf.restart()
    assert (hints.counted, hints.accounts) == (False, {})
    slices = 0
    while not hints.counted:
        assert hints.count(EVERYBODY, 2) == []
        slices += 1
    assert (shelf.sums(), slices) == (sums, 4)
    shelf.check()


def test_what_comes_and_goes_while_they_are_counted_is_counted_once() -> None:
    shelf = Shelf()
    for key in (A, B, C):
        shelf.keep(TWO, key, OLD)
    hints = shelf.restart()
    hints.count(EVERYBODY, 1)
    shelf.keep(ONE, A, OLD)  # before what is counted
    shelf.keep(TWO, A, NEW)  # one that is counted
    shelf.keep(TWO, C, NEW)  # one that is not yet
    shelf.keep(THREE, A, OLD)  # behind it
    shelf.store.apply(hints.forget([(hint_row(TWO, B), shelf.store.rows[hint_row(TWO, B)])]))
    hints.count(EVERYBODY)
    assert shelf.keys() == {ONE: 1, TWO: 2, THREE: 1}
    shelf.check()


def test_counting_finds_those_whose_target_is_no_owner() -> None:
    shelf = Shelf()
    shelf.keep(ONE, A, OLD)
    shelf.keep(ONE, B, OLD)
    shelf.keep(TWO, A, OLD)
    hints = shelf.restart()
    strays = hints.count([(TWO, THREE), (ONE, TWO), (ONE, TWO)])
    assert [at for at, _ in strays] == [hint_row(ONE, A)]


def test_a_partition_is_held_until_the_last_hint_of_it_goes() -> None:
    shelf = Shelf()
    hints = shelf.restart()
    assert hints.holds(2)
    hints.count(EVERYBODY)
    assert not hints.holds(2)
    shelf.keep(ONE, C, OLD)
    shelf.owe(TWO, C, OLD)
    for target in (ONE, TWO):
        assert (hints.holds(2), hints.holds(1)) == (True, False)
        shelf.store.apply(hints.forget(hints.page(target, b"", 9).rows))
    assert not hints.holds(2)


def test_the_status_says_how_much_and_since_when() -> None:
    shelf = Shelf()
    shelf.keep(TWO, A, OLD)
    shelf.wait(3)
    shelf.keep(TWO, B, OLD)
    shelf.keep(ONE, A, OLD)
    status = shelf.hints.status()
    assert list(status) == [ONE.hex(), TWO.hex()]
    assert status[TWO.hex()] == {"keys": 2, "bytes": shelf.sums()[TWO][1], "oldest_seconds": 3.0}
    assert status[ONE.hex()]["oldest_seconds"] == 0


def test_a_hint_that_cannot_be_read_is_written_anew() -> None:
    shelf = Shelf()
    shelf.keep(ONE, A, OLD)
    shelf.store.damaged.add(hint_row(ONE, A))
    shelf.keep(ONE, A, NEW)
    assert shelf.hint(ONE, A).content == NEW
    assert shelf.counters["damaged_reads"] == 1
