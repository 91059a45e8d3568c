"""The table of requests under way: whose answer it is, what is late, and what is left behind."""

from __future__ import annotations

from collections.abc import Sized
from math import inf

from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect, Origin
from dynamokv.protocol.requests.table import RequestTable
from dynamokv.protocol.state.home import Home
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode, Message
from tests.protocol.lone import (
    CLIENT,
    Lone,
    failed,
    get_request,
    no_reply,
    of,
    only,
    put_request,
    reply,
    request_id,
    sent,
)

ALL = Consistency.ALL


class Slow:
    """An operation that says what happens to it, and ends when it is told so."""

    def __init__(self, id: int, origin: Origin, deadline: float) -> None:
        self.id = id
        self.origin = origin
        self.request: Message = get_request()
        self.deadline = deadline
        self.turn = 0.5
        self.epoch = 0
        self.replied = self.done = False
        self.asked_of: list[bytes] = []
        self.ends_at_timer = False
        self.log: list[str] = []

    def start(self, home: Home) -> list[Effect]:
        self.epoch = home.epoch
        self.log.append("start")
        return []

    def on_reply(self, home: Home, peer: bytes, message: Message) -> list[Effect]:
        self.log.append(f"reply of {peer!r}")
        return []

    def on_failure(self, home: Home, peer: bytes, reason: str, *, untouched: bool) -> list[Effect]:
        self.log.append(f"{peer!r} failed: {reason}" + " untouched" * untouched)
        return []

    def on_timer(self, home: Home, now: float) -> list[Effect]:
        self.log.append(f"timer at {now}")
        self.done = self.ends_at_timer or now >= self.deadline
        return []

    def waits_for(self, peer: bytes) -> bool:
        return peer in self.asked_of


def table_with(*deadlines: float) -> tuple[RequestTable, list[Slow]]:
    table = RequestTable(Lone().home)
    made = [Slow(table.new_id(), Origin(e.LOCAL, at), when) for at, when in enumerate(deadlines)]
    for operation in made:
        table.start(operation, 0.0)
    return table, made


def size(table: RequestTable) -> int:
    """Everything that the table holds, whatever it is called."""
    return sum(len(value) for value in vars(table).values() if isinstance(value, Sized))


# --- timers ---------------------------------------------------------------------------------------


def test_a_request_has_the_turn_that_it_wants_and_its_deadline() -> None:
    table, (slow,) = table_with(2.0)
    assert table.next_deadline() == 0.5
    table.expire(0.4)
    assert slow.log == ["start"]
    table.expire(0.6)
    assert table.next_deadline() == 2.0
    table.expire(1.9)
    table.expire(2.5)
    assert slow.log == ["start", "timer at 0.6", "timer at 2.5"]
    assert table.next_deadline() == inf
    assert size(table) == 0


def test_a_short_deadline_comes_before_another_turn() -> None:
    table, (slow,) = table_with(0.1)
    assert table.next_deadline() == 0.1
    table.expire(0.1)
    assert slow.log == ["start", "timer at 0.1"]


def test_requests_expire_in_the_order_of_their_deadlines() -> None:
    table, made = table_with(0.3, 0.1, 0.2)
    journal: list[str] = []
    for slow in made:
        slow.log = journal
    table.expire(0.15)
    table.expire(0.3)
    assert journal == ["timer at 0.15", "timer at 0.3", "timer at 0.3"]
    assert [slow.done for slow in made] == [True, True, True]


def test_timers_of_what_is_done_do_not_pile_up() -> None:
    lone = Lone()
    table = lone.node.table
    largest = 0
    for ticket in range(3000):
        lone.put(ticket=ticket, level=Consistency.ONE, budget_ms=60_000)
        lone.durable()
        lone.wait(0.001)
        lone.node.next_deadline()
        largest = max(largest, size(table))
    assert largest < 100, "about as many as come within the patience of one request"


# --- whose answer it is ---------------------------------------------------------------------------


def test_ids_differ_between_lives() -> None:
    first, second = Lone(), Lone()
    second.home.rng.random()
    ids = {RequestTable(lone.home).new_id() for lone in (first, second)}
    assert len(ids) == 2
    assert all(0 < id < 2**63 for id in ids)


def test_an_answer_to_nothing_is_dropped_and_counted() -> None:
    lone = Lone()
    assert lone.receive(lone.peers[0], m.Replicated(12345)) == []
    assert lone.receive(lone.peers[0], m.Refused(12345, 1, "")) == []
    assert lone.receive(lone.peers[0], m.Refresh(12345, lone.topology.encode())) == []
    assert lone.step(e.Undelivered(lone.peers[0], m.Replicate(0, 1, 0, [], []))) == []
    assert lone.home.counters["late_replies"] == 1


def test_an_answer_that_ends_nothing_leaves_the_request() -> None:
    table, (slow,) = table_with(2.0)
    table.reply(slow.id, b"peer", m.Replicated(slow.id))
    table.fail(slow.id, b"peer", "why", untouched=True)
    assert slow.log[1:] == ["reply of b'peer'", "b'peer' failed: why untouched"]
    assert list(table.operations) == [slow.id]


def test_a_lost_peer_concerns_those_that_wait_for_it() -> None:
    table, (one, other) = table_with(2.0, 2.0)
    one.asked_of = [b"lost"]
    table.peer_down(b"lost")
    assert one.log[1:] == ["b'lost' failed: connection lost"]
    assert other.log[1:] == []


def test_every_request_of_a_lost_peer_is_told() -> None:
    lone = Lone(up=[0])
    for ticket in range(3):
        assert no_reply(lone.put(ticket=ticket))
    effects = lone.step(e.PeerDown(lone.peers[0]))
    assert [effect.ticket for effect in of(e.Reply, effects)] == [0, 1, 2]


# --- forgetting -----------------------------------------------------------------------------------


def test_what_is_forgotten_is_not_answered_and_still_written() -> None:
    lone = Lone()
    id = request_id(lone.put())
    assert lone.step(e.Forget(1)) == []
    effects = lone.durable() + lone.receive(lone.peers[0], m.Replicated(id))
    assert no_reply(effects)
    assert lone.row in lone.store.rows
    assert lone.step(e.Forget(1)) == []
    assert size(lone.node.table) <= 1, "its timer, at most"


def test_forgetting_one_ticket_leaves_the_others() -> None:
    lone = Lone()
    lone.get(ticket=1)
    asked = sent(m.Fetch, lone.get(ticket=2))
    lone.step(e.Forget(1))
    ((peer, message),) = asked.items()
    assert reply(lone.receive(peer, m.Same(message.id))).id == 2


# --- too many -------------------------------------------------------------------------------------


def test_beyond_the_limit_requests_are_shed_before_any_work() -> None:
    lone = Lone(in_flight_max=2)
    lone.put(ticket=1)
    lone.get(ticket=2)
    for effects in (lone.put(ticket=3), lone.get(ticket=4)):
        assert failed(effects) == FailedCode.OVERLOADED
        assert len(effects) == 1
    told = only(m.Failed, lone.receive(CLIENT, put_request(id=9)))
    assert (told.id, told.code) == (9, FailedCode.OVERLOADED)
    assert only(m.Failed, lone.receive(CLIENT, get_request(id=10))).id == 10
    assert lone.home.counters["overloaded"] == 4
    lone.step(e.Forget(1))
    assert no_reply(lone.put(ticket=5))


# --- restarts -------------------------------------------------------------------------------------


def test_a_request_of_this_epoch_is_not_started_again() -> None:
    table, (slow,) = table_with(2.0)
    table.restart(slow.id, b"peer")
    assert slow.log == ["start"]
    slow.epoch = 0
    table.restart(slow.id, b"peer")
    assert slow.log == ["start", "start"]
    assert table.restart(999, b"peer") == []
