"""A put while owners are away: who keeps it for them, what counts, and what the receipt says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamokv.protocol import effects as e
from dynamokv.protocol.state.hint_rows import Hint, Kind
from dynamokv.types import Consistency, NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.messages import FailedCode
from tests.protocol.lone import NAME, Lone, failed, no_reply, of, reply, request_id, sent
from tests.ring import rings

ONE, TWO, QUORUM, ALL = Consistency.ONE, Consistency.TWO, Consistency.QUORUM, Consistency.ALL


class Away(Lone):
    """An owner of ``NAME`` in a ring of ``count``; of the other owners, the first ``away`` are.

    Attributes:
        others: the other owners, those that are away first.
        strangers: members that are none.
    """

    def __init__(self, away: int, count: int = 6, strangers: int = 9, **settings: Any) -> None:
        ring = rings.ring(count, partitions=8)
        probe = Lone(count, topology=ring)
        owners = probe.home.locate(NAME)[1]
        number = next(at for at in range(count) if rings.node_id(at) in owners)
        super().__init__(count, number=number, topology=ring, up=(), **settings)
        self.others = [owner for owner in owners if owner != self.me]
        self.strangers = [peer for peer in self.peers if peer not in owners]
        for peer in self.others[away:] + self.strangers[:strangers]:
            self.step(e.PeerUp(peer))

    def acknowledge(self, peer: bytes) -> list[e.Effect]:
        return self.receive(peer, m.Replicated(self.id))

    def begin(self, **request: Any) -> list[e.Effect]:
        """A put, and its id."""
        effects = self.put(**request)
        self.id = request_id(effects)
        return effects

    def hinted(self, effects: list[e.Effect]) -> dict[NodeId, Hint]:
        """The hints that are written with the record, by their targets."""
        (write,) = of(e.Write, effects)
        assert write.rows[0][0] == self.row
        hints = [Hint.read(at, value or b"") for at, value in write.rows[1:]]
        assert all(hint.key == self.row for hint in hints)
        return {hint.target: hint for hint in hints}


# --- what leaves ----------------------------------------------------------------------------------


def test_an_owner_that_is_away_gets_a_hint_in_the_write_itself() -> None:
    lone = Away(1)
    effects = lone.begin()
    ((target, hint),) = lone.hinted(effects).items()
    assert target == lone.others[0]
    assert hint.kind is Kind.OWED
    record = lone.store.newest(lone.row)
    assert hint.content == records.digest(record).to_bytes(8)
    assert hint.since_ms == lone.home.clock.wall_ms()


def test_another_member_is_sent_the_record_for_it() -> None:
    lone = Away(1)
    effects = lone.begin()
    assert list(sent(m.Replicate, effects)) == [lone.others[1]]
    ((stand_in, message),) = sent(m.Hint, effects).items()
    assert stand_in in lone.strangers
    (replicate,) = sent(m.Replicate, effects).values()
    assert message == m.Hint(*replicate[:3], lone.others[0], *replicate[3:])


def test_nobody_stands_in_while_all_owners_are_up() -> None:
    lone = Away(0)
    effects = lone.begin()
    assert (sent(m.Hint, effects), lone.hinted(effects)) == ({}, {})


def test_where_all_are_owners_nobody_stands_in() -> None:
    lone = Lone(up=[0])
    effects = lone.put()
    assert sent(m.Hint, effects) == {}
    (write,) = of(e.Write, effects)
    assert [row_keys.split_hint_row(at) for at, _ in write.rows[1:]] == [(lone.peers[1], lone.row)]


def test_two_that_are_away_have_two_stand_ins() -> None:
    lone = Away(2)
    effects = lone.begin()
    hints = sent(m.Hint, effects)
    assert {message.target for message in hints.values()} == set(lone.others)
    assert len(hints) == 2
    assert set(lone.hinted(effects)) == set(lone.others)


def test_a_newcomer_stands_in_for_nobody() -> None:
    lone = Away(1)
    assert lone.home.topology is not None
    ((stand_in, _),) = sent(m.Hint, lone.begin()).items()
    lone.home.topology = replace(lone.home.topology, change=NodeId(stand_in))
    ((other, _),) = sent(m.Hint, lone.begin(ticket=2)).items()
    assert other != stand_in


# --- what counts ----------------------------------------------------------------------------------


def test_a_stand_in_counts_for_its_owner_and_the_receipt_says_so() -> None:
    lone = Away(2)
    stand_ins = list(sent(m.Hint, lone.begin()))
    assert no_reply(lone.durable())
    done = reply(lone.acknowledge(stand_ins[1]))
    assert (done.needed, done.sloppy, done.replicas) == (2, True, [lone.me, stand_ins[1]])
    assert set(done.hinted) == set(lone.others)


def test_a_level_that_the_owners_reach_alone_is_not_sloppy() -> None:
    lone = Away(1)
    (stand_in,) = sent(m.Hint, lone.begin())
    assert no_reply(lone.acknowledge(stand_in) + lone.acknowledge(lone.others[1]))
    done = reply(lone.durable())
    assert (done.sloppy, done.replicas) == (False, [lone.others[1], lone.me])
    assert done.hinted == [lone.others[0]]


def test_owners_that_may_be_enough_are_waited_for_a_moment() -> None:
    """With one of three owners down, a quorum of owners is there, and later reads meet it."""
    lone = Away(1)
    (stand_in,) = sent(m.Hint, lone.begin())
    assert no_reply(lone.acknowledge(stand_in) + lone.durable())
    assert not reply(lone.acknowledge(lone.others[1])).sloppy
    (stand_in,) = sent(m.Hint, lone.begin(ticket=2))
    assert no_reply(lone.acknowledge(stand_in) + lone.durable())
    done = reply(lone.after(lone.home.settings.hedge_after))
    assert (done.sloppy, done.replicas) == (True, [stand_in, lone.me])


def test_a_stand_in_counts_once() -> None:
    lone = Away(2)
    (first, second) = sent(m.Hint, lone.begin(level=3))
    lone.durable()
    assert no_reply(lone.acknowledge(first) + lone.acknowledge(first))
    assert reply(lone.acknowledge(second)).sloppy


def test_an_owner_and_its_stand_in_are_one() -> None:
    """It was away when the put began; its acknowledgement is the better one."""
    lone = Away(2)
    (first, second) = sent(m.Hint, lone.begin(level=3))
    lone.durable()
    operation = lone.node.table.operations[lone.id]
    target = operation.stand_ins[first]  # type: ignore[attr-defined]
    assert no_reply(lone.acknowledge(first) + lone.acknowledge(target))
    done = reply(lone.acknowledge(second))
    assert (done.sloppy, done.replicas) == (True, [lone.me, target, second])


def test_a_strict_put_counts_owners_only_and_leaves_its_hints_all_the_same() -> None:
    lone = Away(1)
    effects = lone.begin(sloppy=False)
    (stand_in,) = sent(m.Hint, effects)
    assert list(lone.hinted(effects)) == [lone.others[0]]
    lone.durable()
    assert no_reply(lone.acknowledge(stand_in))
    done = reply(lone.acknowledge(lone.others[1]))
    assert (done.sloppy, done.replicas) == (False, [lone.me, lone.others[1]])
    assert done.hinted == [lone.others[0]]


@pytest.mark.parametrize("request_", [{"sloppy": False}, {"level": ALL}])
def test_where_owners_are_asked_for_a_stand_in_is_none(request_: dict[str, Any]) -> None:
    assert failed(Away(2).put(**request_)) == FailedCode.UNAVAILABLE


def test_without_enough_stand_ins_nothing_is_begun() -> None:
    lone = Away(2, strangers=1)
    effects = lone.put(level=3)
    assert (failed(effects), of(e.Write, effects)) == (FailedCode.UNAVAILABLE, [])
    assert failed(Away(2, strangers=0).put()) == FailedCode.UNAVAILABLE


@pytest.mark.parametrize("way", ["refused", "down", "undelivered"])
def test_a_stand_in_that_fails_may_cost_the_level(way: str) -> None:
    lone = Away(2, strangers=1)
    ((stand_in, message),) = sent(m.Hint, lone.begin()).items()
    lone.durable()
    if way == "refused":
        lone.receive(stand_in, m.Refused(lone.id, m.RefusedReason.STORAGE, "full"))
    elif way == "down":
        lone.step(e.PeerDown(stand_in))
    else:
        lone.step(e.Undelivered(stand_in, message))
    assert failed(lone.last) == FailedCode.INDETERMINATE
    (reason,) = [line for line in reply(lone.last).failed if "stand-in" in line]
    assert reason.startswith(message.target.hex()[:8])


def test_a_stand_in_that_counts_nothing_fails_for_nobody() -> None:
    lone = Away(1)
    (stand_in,) = sent(m.Hint, lone.begin(sloppy=False))
    lone.durable()
    assert no_reply(lone.step(e.PeerDown(stand_in)))
    assert reply(lone.acknowledge(lone.others[1]))


# --- no room, and another topology ----------------------------------------------------------------


def test_without_room_the_write_goes_on_and_the_partition_is_noted() -> None:
    lone = Away(1, hint_bytes_per_target=10)
    effects = lone.begin()
    assert lone.hinted(effects) == {}
    assert lone.home.hints.unhinted == {int.from_bytes(lone.row[:2])}
    assert lone.home.counters["hints_dropped"] == 1
    (stand_in,) = sent(m.Hint, effects)
    lone.durable()
    assert reply(lone.acknowledge(lone.others[1])).hinted == []
    # Who keeps it elsewhere says so.
    lone.begin(ticket=2)
    lone.acknowledge(stand_in)
    lone.durable()
    assert reply(lone.after(lone.home.settings.hedge_after)).hinted == [lone.others[0]]


def test_a_write_that_starts_again_is_owed_to_those_that_are_away_by_then() -> None:
    lone = Away(1)
    lone.begin()
    lone.durable()
    lone.step(e.PeerDown(lone.others[1]))
    ring = replace(lone.topology, epoch=2)
    effects = lone.receive(lone.strangers[0], m.Refresh(lone.id, ring.encode()))
    hints = {
        row_keys.split_hint_row(at)[0]
        for write in of(e.Write, effects)
        for at, _ in write.rows
        if at.startswith(row_keys.HINTS)
    }
    assert hints == {lone.others[1]}
    assert {message.target for message in sent(m.Hint, effects).values()} == set(lone.others)
    # The second hint is written later than the record, so the receipt does not promise it.
    stand_ins = {message.target: peer for peer, message in sent(m.Hint, effects).items()}
    assert reply(lone.acknowledge(stand_ins[lone.others[0]])).hinted == [lone.others[0]]


def test_a_write_that_is_refused_by_the_disk_leaves_no_hints_in_the_sums() -> None:
    lone = Away(1)
    lone.after(1.1)
    lone.begin()
    assert lone.home.hints.size
    lone.durable(failing="no space")
    lone.after(1.1)
    assert (lone.home.hints.size, lone.home.hints.accounts) == (0, {})


def test_a_put_of_which_nothing_is_written_is_no_sloppy_one() -> None:
    lone = Away(2, sibling_cap=1)
    lone.put(b"one", contexts=[lone.token(b"")])
    effects = lone.put(b"two", contexts=[lone.token(b"")], ticket=2)
    done = reply(effects)
    assert (done.errors, done.sloppy, done.hinted) == ([m.PutError.SIBLINGS], False, [])
