"""A member that was away across a collection, or comes from a backup, is rebuilt (rows 18, 27)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dynamokv import limits
from dynamokv.causality.hlc import time_at
from dynamokv.errors import CorruptionError
from dynamokv.protocol import effects as e
from dynamokv.testing.simulation.clocks import START_MS
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire import rounds
from dynamokv.wire.keys import name_of
from dynamokv.wire.rounds import RoundStep
from tests.protocol.council import GRACE, NAME, NOW, Council, X, Y, record, value
from tests.protocol.lone import Lone, sent

HORIZON = NOW - 1000
DELETED = record(value(Y, HORIZON - 7))
NEW = record(value(X, HORIZON + 7))


class Restored(Council):
    """The third member has its store of long ago; the other two went on, and collected."""

    def __init__(self, count: int = 3) -> None:
        super().__init__(count)
        self.ahead, self.restored = self.seats[1], self.seats[2]
        for seat in self.seats[:2]:
            seat.home.horizons.promise(HORIZON)
            seat.home.horizons.adopt(self.partition, HORIZON)
            seat.home.horizons.collect(self.partition, HORIZON)

    def meet(self, *, rounds: int = 3) -> None:
        """The others show it their horizon, so often."""
        for _ in range(rounds):
            self.ahead.do(self.ahead.collector.teller.show(self.restored.id))
            self.settle()
            self.step()

    def step(self) -> None:
        """It does what is due, as long as something is."""
        catching_up = self.restored.collector.catching_up
        while catching_up.due <= self.restored.home.clock.monotonic():
            self.restored.do(catching_up.step(self.restored.home.clock.monotonic()))
            self.settle()

    @property
    def reached(self) -> int:
        return self.restored.home.horizons.adopted.get(self.partition, 0)

    def names(self, count: int) -> list[bytes]:
        """Names of keys of the same partition."""
        names = (name_of(b"", b"%d" % number) for number in range(count * 100))
        locate = self.restored.home.locate
        return [n for n in names if locate(n)[0][1] == self.partition][:count]


def test_what_was_deleted_goes_and_the_horizon_is_taken_over() -> None:
    council = Restored()
    council.restored.hold(DELETED)
    council.meet()
    assert council.restored.held() is None
    assert council.reached == HORIZON
    assert council.restored.home.counters["rebuilt_rows"] == 1


def test_what_is_newer_stays_and_goes_to_the_others_as_ever() -> None:
    council = Restored()
    council.restored.hold(record(value(Y, HORIZON - 7), value(X, HORIZON + 7)))
    council.meet()
    held = council.restored.held()
    assert held is not None
    assert records.dots_of(held) == records.dots_of(NEW)
    assert council.reached == 0, "the others do not have it yet"


def test_what_the_others_have_is_joined() -> None:
    council = Restored()
    theirs = record(value(X, HORIZON - 3), knows={Y: HORIZON - 7})
    for seat in council.seats[:2]:
        seat.hold(theirs)
    council.restored.hold(DELETED)
    council.meet()
    assert council.restored.held() == theirs
    assert council.reached == HORIZON


def test_what_both_know_stays() -> None:
    council = Restored()
    council.everywhere(DELETED)
    council.restored.hold(NEW, council.names(1)[0])
    council.meet()
    assert council.restored.held() == DELETED


def test_many_rows_are_shown_page_by_page() -> None:
    council = Restored()
    for name in council.names(2 * limits.CATCH_UP_ROWS + 3):
        council.restored.hold(DELETED, name)
    council.meet()
    assert [key for key in council.restored.store.rows if key[0] == 0] == []


def test_it_waits_while_background_work_has_to() -> None:
    council = Restored()
    council.restored.hold(DELETED)
    pressure, now = council.restored.home.load.pressure, council.restored.home.clock.monotonic()
    pressure.spend(now, 1 << 40)
    council.meet()
    assert council.restored.held() == DELETED
    pressure.spend(now, -(1 << 41))
    council.wait(council.restored.collector.catching_up.due - now)
    council.meet()
    assert council.restored.held() is None


def test_pages_with_nothing_to_show_are_not_read_all_at_once() -> None:
    council = Restored()
    for name in council.names(2 * limits.CATCH_UP_ROWS + 3):
        council.restored.hold(NEW, name)
    council.meet(rounds=1)
    catching_up, clock = council.restored.collector.catching_up, council.restored.home.clock
    assert clock.monotonic() < catching_up.due <= clock.monotonic() + limits.COLLECT_STEP_SECONDS


def test_an_answer_that_does_not_go_all_the_way() -> None:
    council = Restored()
    first, second = council.names(2)
    large = record(value(X, HORIZON - 3), knows={Y: HORIZON - 7})
    for name in (first, second):
        council.restored.hold(DELETED, name)
        council.ahead.hold(large, name)
    whole, limits.ANSWER_BYTES_MAX = limits.ANSWER_BYTES_MAX, 1  # type: ignore[misc]
    try:
        council.meet(rounds=1)
    finally:
        limits.ANSWER_BYTES_MAX = whole  # type: ignore[misc]
    assert council.restored.held(first) == council.restored.held(second) == large


def test_partitions_that_wait_have_their_turn() -> None:
    council = Restored()
    catching_up, clock = council.restored.collector.catching_up, council.restored.home.clock
    lost, kept = council.ahead.id, council.seats[0].id
    asked(council)
    for partition, peer in ((2, lost), (3, kept), (4, lost)):
        catching_up.begin(peer, partition, HORIZON)
    assert council.restored.home.counters["rebuilds"] == 1, "one at a time"
    catching_up.on_peer_down(lost)
    assert catching_up.due == clock.monotonic()
    council.under_way.clear()
    council.step()
    assert council.restored.home.counters["rebuilds"] == 2, "nobody to ask about the others"


def test_another_topology_forgets_what_waits() -> None:
    for told_anew in (False, True):
        council = Restored()
        catching_up = council.restored.collector.catching_up
        asked(council)
        catching_up.begin(council.ahead.id, 2, HORIZON)
        council.restored.home.adopt(replace(council.topology, epoch=2))
        if told_anew:
            catching_up.begin(council.ahead.id, 3, HORIZON)
            assert catching_up.asked == 0
        else:
            catching_up.on_peer_down(council.ahead.id)
        council.step()
        assert council.restored.home.counters["rebuilds"] == 1 + told_anew


def test_a_refusal_ends_it_and_so_does_the_end_of_the_link() -> None:
    """The next statement of a member that is ahead begins it anew."""
    council = Restored()
    question = asked(council)
    catching_up = council.restored.collector.catching_up
    assert catching_up.awaits(question.id)
    assert not catching_up.awaits(0)
    catching_up.on_peer_down(council.seats[0].id)
    assert catching_up.awaits(question.id), "that was somebody else"
    catching_up.on_peer_down(council.ahead.id)
    assert not catching_up.awaits(question.id)
    assert not catching_up.awaits(0), "nothing is not awaited"
    question = asked(council)
    refused = m.Refused(question.id, m.RefusedReason.NOT_READY, "unreachable")
    assert catching_up.on_reply(council.ahead.id, refused) == []
    assert not catching_up.awaits(question.id)
    council.meet()
    assert council.restored.held() is None


# --- what it must not believe ---------------------------------------------------------------------


def asked(council: Restored) -> rounds.Round:
    """Until it has seen what the other one lacks, and asks whether that still has its horizon."""
    council.restored.hold(DELETED)
    council.ahead.do(council.ahead.collector.teller.show(council.restored.id))
    council.settle()
    catching_up = council.restored.collector.catching_up
    council.restored.do(catching_up.step(council.restored.home.clock.monotonic()))
    while True:
        for *_, message in council.under_way:
            if type(message) is rounds.Round and message.step == RoundStep.HOLD:
                return message
        council.pass_on()


def test_one_that_has_lost_something_meanwhile_is_not_believed() -> None:
    council = Restored()
    asked(council)
    council.ahead.home.horizons.doubt(council.partition)
    council.settle()
    assert council.restored.held() == DELETED
    assert council.restored.collector.catching_up.asked == 0


def test_nor_answers_of_others() -> None:
    council = Restored()
    question = asked(council)
    council.under_way.clear()
    other = council.seats[0]
    council.restored.receive(other.id, rounds.Agreed(question.id, [council.partition]))
    council.settle()
    assert council.restored.held() == DELETED
    assert council.restored.collector.catching_up.asked == question.id


def test_no_answer_ends_it_and_the_next_statement_begins_it_anew() -> None:
    council = Restored()
    asked(council)
    council.under_way.clear()
    council.meet(rounds=1)
    assert council.restored.held() == DELETED, "one at a time"
    council.wait(limits.CATCH_UP_SECONDS)
    council.step()
    council.meet()
    assert council.restored.held() is None


def test_another_topology_ends_it() -> None:
    council = Restored()
    council.restored.hold(DELETED)
    council.ahead.do(council.ahead.collector.teller.show(council.restored.id))
    council.settle()
    council.restored.home.adopt(replace(council.topology, epoch=2))
    council.step()
    assert council.restored.held() == DELETED


def test_rows_that_cannot_be_read_end_it() -> None:
    council = Restored()
    council.restored.hold(DELETED)
    council.ahead.do(council.ahead.collector.teller.show(council.restored.id))
    council.settle()

    class Broken:
        def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
            raise CorruptionError("block 7 is damaged")

    council.restored.home.reader = Broken()  # type: ignore[assignment]
    council.step()
    assert council.restored.home.counters["damaged_reads"] == 1
    assert council.restored.collector.catching_up.asked == 0


def test_a_record_that_is_none_or_of_tomorrow_is_left_out() -> None:
    council = Restored()
    first, second, third = council.names(3)
    for name in (first, second, third):
        council.restored.hold(DELETED, name)
    council.ahead.hold(b"\x09" + DELETED[1:], first)
    council.ahead.hold(record(value(X, time_at(START_MS + 3_600_000))), second)
    council.meet(rounds=1)
    held = [council.restored.held(name) for name in (first, second, third)]
    assert held == [DELETED, DELETED, None]
    assert council.restored.home.counters["poison_records"] == 1


def test_a_row_that_is_gone_meanwhile_is_only_joined() -> None:
    for theirs in (None, NEW):
        council = Restored()
        council.ahead.hold(theirs)
        asked(council)
        council.restored.hold(None)
        council.settle()
        assert council.restored.held() == theirs


def test_an_answer_that_fits_no_question_ends_it() -> None:
    council = Restored()
    question = asked(council)
    council.under_way.clear()
    catching_up = council.restored.collector.catching_up
    assert catching_up.on_reply(council.ahead.id, m.Fetched(question.id, [])) == []
    assert catching_up.asked == 0


def test_a_whole_ring_forgets_what_a_restored_member_brought_back() -> None:
    council = Restored()
    council.everywhere(None)
    council.restored.hold(DELETED)
    council.go_on(30 * GRACE)
    assert [seat.held(NAME) for seat in council.seats] == [None] * 3
    assert council.reached == HORIZON


def test_a_node_hands_it_answers_refusals_and_the_end_of_a_link() -> None:
    for way in ("answer", "refusal", "link"):
        lone = Lone(3)
        peer = lone.peers[0]
        catching_up = lone.node.collector.catching_up
        lone.hold(DELETED)
        catching_up.begin(peer, lone.row[1], HORIZON)
        ((_, question),) = sent(m.Fetch, lone.step(e.Tick())).items()
        assert catching_up.awaits(question.id)
        if way == "answer":
            lone.receive(peer, m.Same(question.id))
        elif way == "refusal":
            lone.receive(peer, m.Refused(question.id, m.RefusedReason.NOT_READY, "not ready"))
        else:
            lone.step(e.PeerDown(peer))
        assert not catching_up.awaits(question.id)
