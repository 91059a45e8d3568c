"""What a node has outstanding at one peer: bounded, and given back by answers, not by time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from dynamokv.limits import (
    ANSWER_LOST_SECONDS,
    CREDIT_BYTES,
    CREDIT_PROBE_SECONDS,
    CREDIT_PROBE_SECONDS_MAX,
    FORWARD_LATE_SECONDS,
    MiB,
)
from dynamokv.protocol import effects as e
from dynamokv.protocol.load.credit import Credit
from dynamokv.protocol.state.home import NotAsked
from dynamokv.types import Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import ELSE, NOW, Lone, failed, of, record, reply, request_id, sent

PEER, OTHER = b"peer", b"other"
ALL, ONE = Consistency.ALL, Consistency.ONE
MINE = record((ELSE, NOW - 9, b"mine"))


def ask(
    credit: Credit,
    id: int,
    at: float = 0.0,
    *,
    weight: int = 100,
    seconds: float = 1.0,
    fetches: bool = False,
    peer: bytes = PEER,
) -> bool:
    return credit.take(peer, id, (weight, at, at + seconds), fetches=fetches)


def taken(credit: Credit, *ids: int, at: float = 0.0) -> list[bool]:
    return [ask(credit, id, at) for id in ids]


# --- the account ----------------------------------------------------------------------------------


def test_messages_are_bounded_for_each_peer() -> None:
    credit = Credit(2, MiB)
    assert taken(credit, 1, 2, 3) == [True, True, False]
    assert ask(credit, 4, peer=OTHER)
    assert (credit.outstanding(PEER), credit.refused) == ((2, 200), 1)
    assert credit.give_back(PEER, 1, 0.1) is None
    assert taken(credit, 5, 6) == [True, False]


def test_bytes_are_bounded_but_one_may_go_beyond() -> None:
    credit = Credit(100, 1000)
    assert ask(credit, 1, 0.0, weight=999)
    assert ask(credit, 2, 0.0, weight=5000)
    assert not ask(credit, 3, 0.0, weight=1)
    credit.give_back(PEER, 2, 0.0)
    assert credit.outstanding(PEER) == (1, 999)


def test_one_that_is_asked_again_is_outstanding_once() -> None:
    credit = Credit(2, MiB)
    assert taken(credit, 1, 1, 1) == [True, True, True]
    assert credit.outstanding(PEER) == (1, 100)


def test_an_answer_nobody_waits_for_gives_nothing_back() -> None:
    credit = Credit(2, MiB)
    assert credit.give_back(PEER, 1, 0.0) is None
    taken(credit, 1)
    assert credit.give_back(PEER, 2, 0.0) is None
    assert credit.outstanding(PEER) == (1, 100)
    credit.give_back(PEER, 1, 0.0)
    credit.give_back(PEER, 1, 0.0)
    assert credit.outstanding(PEER) == (0, 0)


def test_time_alone_gives_nothing_back() -> None:
    credit = Credit(2, MiB)
    taken(credit, 1, 2)
    sent_in_an_hour = sum(taken(credit, *range(10, 3610), at=0.0)) + sum(
        ask(credit, at + 5000, float(at)) for at in range(3600)
    )
    assert 0 < sent_in_an_hour <= 9 + 3600 / CREDIT_PROBE_SECONDS_MAX, (
        "one more now and then, twice as rarely each time up to a bound"
    )


def test_however_long_a_peer_was_silent_it_is_asked_again_within_a_bound() -> None:
    credit = Credit(2, MiB)
    taken(credit, 1, 2)
    asked = [at / 2 for at in range(7200) if ask(credit, 10 + at, at / 2)]
    between = [after - before for before, after in pairwise(asked)]
    assert max(between) == CREDIT_PROBE_SECONDS_MAX


def test_a_peer_that_lost_all_of_it_is_found_again() -> None:
    credit = Credit(2, MiB)
    taken(credit, 1, 2)
    assert taken(credit, 3, at=CREDIT_PROBE_SECONDS) == [True]
    assert taken(credit, 4, at=CREDIT_PROBE_SECONDS * 2) == [False]
    assert taken(credit, 4, at=CREDIT_PROBE_SECONDS * 3) == [True]
    credit.give_back(PEER, 4, 10.0)
    assert credit.outstanding(PEER) == (0, 0), "what was asked before it is lost"


def test_what_is_not_over_yet_is_not_lost() -> None:
    credit = Credit(9, MiB)
    ask(credit, 1, 0.0, seconds=1.0)
    ask(credit, 2, 0.1, seconds=9.0)
    ask(credit, 3, 0.2, seconds=1.0)
    ask(credit, 4, 0.3, seconds=1.0)
    credit.give_back(PEER, 4, 2.0)
    assert credit.outstanding(PEER) == (2, 200), "the first is over; the second may come"
    ask(credit, 5, 2.0)
    credit.give_back(PEER, 3, 9.9)
    assert credit.outstanding(PEER) == (1, 100), "what was asked later is not lost"


def test_a_link_that_ends_gives_all_back() -> None:
    credit = Credit(2, MiB)
    taken(credit, 1, 2)
    credit.forget(PEER)
    credit.forget(PEER)
    assert taken(credit, 3, 4) == [True, True]


def test_who_owes_a_read_for_long_is_behind() -> None:
    credit = Credit(9, MiB)
    assert not credit.is_behind(PEER, 5.0, 5.1)
    taken(credit, 1)
    assert not credit.is_behind(PEER, 5.0, 5.1), "a write may take its time"
    ask(credit, 2, 1.0, fetches=True)
    ask(credit, 3, 2.0, fetches=True)
    assert not credit.is_behind(PEER, 1.0, 1.1)
    assert credit.is_behind(PEER, 1.1, 1.2)
    assert credit.give_back(PEER, 2, 3.0) == 1.0, "when it was asked"
    assert not credit.is_behind(PEER, 1.1, 1.2)


def test_who_lost_a_read_is_behind_until_the_answer_counts_as_lost() -> None:
    credit = Credit(9, MiB)
    ask(credit, 1, 1.0, fetches=True)
    ask(credit, 2, 5.0, fetches=True)
    lost = 2.0 + ANSWER_LOST_SECONDS
    assert credit.is_behind(PEER, 4.0, lost - 0.1)
    assert not credit.is_behind(PEER, 4.0, lost)
    assert credit.is_behind(PEER, lost - 1.0, lost), "there is another one"
    credit.give_back(PEER, 1, lost)
    assert credit.outstanding(PEER) == (1, 100), "it is outstanding all the same"


def test_who_owes_anything_for_long_is_silent_until_the_answer_is_lost() -> None:
    credit = Credit(9, MiB)
    late = FORWARD_LATE_SECONDS
    assert not credit.is_silent(PEER, 5.0)
    ask(credit, 1, 1.0, seconds=1.0)
    assert not credit.is_silent(PEER, 1.0 + late)
    assert credit.is_silent(PEER, 1.1 + late)
    lost = 2.0 + ANSWER_LOST_SECONDS
    assert not credit.is_silent(PEER, lost)
    ask(credit, 2, lost)
    assert not credit.is_silent(PEER, lost + late), "it gets another chance"
    assert credit.is_silent(PEER, lost + 2 * late)
    credit.give_back(PEER, 2, lost + 1.0)
    assert not credit.is_silent(PEER, lost + 2 * late)


# --- requests -------------------------------------------------------------------------------------


def silent(lone: Lone, count: int = 100) -> None:
    """Writes at one, of which the peers never acknowledge any."""
    for ticket in range(1000, 1000 + count):
        lone.put(level=ONE, ticket=ticket)
        lone.durable()


def test_a_linked_but_silent_peer_costs_a_bounded_part() -> None:
    lone = Lone(credit_messages=10)
    asked: Counter[bytes] = Counter()
    for ticket in range(100):
        effects = lone.put(level=ONE, ticket=ticket)
        asked.update(sent(m.Replicate, effects).keys())
        lone.durable()
        lone.receive(lone.peers[1], m.Replicated(request_id(effects)))
    assert (asked[lone.peers[0]], asked[lone.peers[1]]) == (10, 100)
    assert lone.home.load.credit.outstanding(lone.peers[0])[0] == 10


def test_the_quorum_goes_on_without_it() -> None:
    lone = Lone(credit_messages=10)
    silent(lone, 5)
    for ticket in range(20):
        effects = lone.put(ticket=ticket)
        lone.durable()
        done = reply(lone.receive(lone.peers[1], m.Replicated(request_id(effects))))
        assert type(done) is m.PutDone
    assert lone.home.load.credit.outstanding(lone.peers[0])[0] == 10


def test_a_write_whose_owners_have_none_is_refused_before_any_work() -> None:
    lone = Lone(credit_messages=5)
    silent(lone, 5)
    effects = lone.put()
    assert (failed(effects), len(effects)) == (FailedCode.OVERLOADED, 1)
    assert sorted(reply(effects).failed) == sorted(
        f"{peer.hex()[:8]} ({NotAsked.NO_CREDIT.value})" for peer in lone.peers
    )
    effects = lone.put(level=ALL)
    assert failed(effects) == FailedCode.OVERLOADED
    counters = lone.home.counters
    assert (counters["overloaded"], counters["overloaded_owners"]) == (2, 2)
    assert "5 of at most 5 questions, with " in reply(effects).detail
    assert f" of {CREDIT_BYTES:,} bytes" in reply(effects).detail


def test_a_read_asks_another_or_is_refused() -> None:
    lone = Lone(credit_messages=5)
    lone.hold(MINE)
    silent(lone, 5)
    lone.step(e.PeerDown(lone.peers[1]))
    lone.step(e.PeerUp(lone.peers[1]))
    assert list(sent(m.Fetch, lone.get(ticket=1))) == [lone.peers[1]]
    assert failed(lone.get(level=ALL, ticket=2)) == FailedCode.OVERLOADED
    silent(lone, 5)
    assert failed(lone.get(ticket=3)) == FailedCode.OVERLOADED
    assert reply(lone.get(level=ONE, ticket=4)).records


def test_a_hedge_without_credit_is_not_sent() -> None:
    lone = Lone(credit_messages=5)
    lone.hold(MINE)
    ((first, message),) = sent(m.Fetch, lone.get(ticket=1)).items()
    silent(lone, 5)
    assert of(e.Send, lone.after(0.1)) == []
    assert reply(lone.receive(first, m.Same(message.id))).records == [MINE]


def test_a_request_that_ended_for_want_of_it_hears_no_more_of_it() -> None:
    lone = Lone(credit_messages=1)
    name = lone.name(mine=True)
    lone.hold(MINE, name)
    effects = lone.get(name, level=ALL, ticket=1)
    operation = lone.node.table.operations[request_id(effects)]
    lone.step(e.Forget(1))
    lone.node.table.operations[operation.id] = operation
    lone.home.load.admission.enter(operation.id, 0.0, 0, reads=True)
    lone.get(name, level=ALL, ticket=2)
    again = lone.node.table._went_on(operation, effects, 0.0)
    assert of(e.Send, again) == []
    assert failed(again) == FailedCode.READ_FAILED


def test_a_request_passed_on_finds_an_owner_that_has_some() -> None:
    lone = Lone(5, credit_messages=3)
    name = lone.name(mine=False)
    asked = [sent(m.PutRequest, lone.put(names=[name], ticket=at)) for at in range(9)]
    assert all(len(each) == 1 for each in asked)
    effects = lone.put(names=[name], ticket=10)
    assert failed(effects) == FailedCode.OVERLOADED
    assert lone.home.counters["overloaded_owners"] == 1
    lone.receive(next(iter(asked[0])), m.Refused(next(iter(asked[0].values())).id, 3, "not ready"))
    assert lone.home.load.credit.refused == 0, "nobody even tried"
    assert lone.home.load.counters()["credit_refused"] == 0


def test_every_way_to_answer_gives_it_back() -> None:
    lone = Lone()
    credit = lone.home.load.credit
    effects = lone.put(level=ALL)
    id = request_id(effects)
    assert [credit.outstanding(peer)[0] for peer in lone.peers] == [1, 1]
    lone.receive(lone.peers[0], m.Refused(id, m.RefusedReason.STORAGE, "no"))
    assert credit.outstanding(lone.peers[0]) == (0, 0)
    message = sent(m.Replicate, effects)[lone.peers[1]]
    lone.step(e.Undelivered(lone.peers[1], message))
    assert credit.outstanding(lone.peers[1]) == (0, 0)
    id = request_id(lone.put(ticket=2))
    lone.receive(lone.peers[0], m.Replicated(id))
    lone.durable()
    lone.receive(lone.peers[1], m.Replicated(id))
    assert credit.outstanding(lone.peers[1]) == (0, 0), "though nobody waited any more"
    id = request_id(lone.put(ticket=3))
    lone.receive(lone.peers[0], m.Refresh(id, lone.topology.encode()))
    assert credit.outstanding(lone.peers[0]) == (0, 0)
    lone.step(e.PeerDown(lone.peers[1]))
    assert credit.outstanding(lone.peers[1]) == (0, 0)


def test_what_an_owner_without_any_misses_is_kept_by_a_member_that_has_some() -> None:
    lone = Lone(5, credit_messages=1)
    lone.step(e.Tick())
    owners = [owner for owner in lone.home.locate(lone.name(mine=True))[1] if owner != lone.me]
    others = [peer for peer in lone.peers if peer not in owners]
    name = lone.name(mine=True)
    lone.put(names=[name], level=ONE, ticket=1)
    effects = lone.put(names=[name], ticket=2)
    hints = sent(m.Hint, effects)
    assert sorted(hints) == sorted(others)
    assert {hint.target for hint in hints.values()} == set(owners)
    assert [lone.home.load.credit.outstanding(peer)[0] for peer in others] == [1, 1]
    refused = lone.put(names=[name], ticket=3)
    assert failed(refused) == FailedCode.OVERLOADED, "now nobody is left"
    lone.receive(others[0], m.Replicated(next(iter(hints.values())).id))
    assert lone.home.load.credit.outstanding(others[0]) == (0, 0)
