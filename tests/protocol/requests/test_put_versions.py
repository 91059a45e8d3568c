"""What a put makes of the record that is there: contexts, siblings and their caps, restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv import limits
from dynamokv.causality.versions import Dot, KeyState
from dynamokv.protocol import effects as e
from dynamokv.ring.topology import Topology
from dynamokv.types import Actor, Consistency
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of
from dynamokv.wire.messages import FailedCode, PutError
from tests.protocol.lone import (
    ACTOR,
    ELSE,
    NAME,
    NOW,
    OTHER,
    Lone,
    failed,
    no_reply,
    of,
    record,
    reply,
    request_id,
    sent,
)
from tests.ring import rings

ONE = Consistency.ONE
HELD = record((ELSE, NOW - 5, b"old"))
TWO_VALUES = record((ELSE, NOW - 5, b"old"), (OTHER, NOW - 3, b"also"))


def values(state: KeyState) -> list[bytes]:
    return [version.value for version in state.versions]


# --- contexts -------------------------------------------------------------------------------------


def test_without_a_context_all_that_is_here_is_replaced() -> None:
    lone = Lone()
    lone.hold(TWO_VALUES)
    lone.put(b"new")
    state = lone.held()
    assert values(state) == [b"new"]
    assert {**state.context, ACTOR: 0} == {ELSE: NOW - 5, OTHER: NOW - 3, ACTOR: 0}


def test_without_a_context_what_is_not_durable_yet_is_replaced_as_well() -> None:
    lone = Lone()
    lone.put(b"first")
    first = lone.held().versions[0].dot
    lone.put(b"second", ticket=2)
    assert values(lone.held()) == [b"second"]
    assert lone.held().context[ACTOR] > first.time


def test_with_a_context_what_it_has_seen_is_replaced_and_the_rest_stays() -> None:
    lone = Lone()
    lone.hold(TWO_VALUES)
    lone.put(b"new", contexts=[lone.token(HELD)])
    assert set(values(lone.held())) == {b"also", b"new"}


def test_a_context_that_has_seen_more_than_is_here_is_kept() -> None:
    lone = Lone()
    lone.hold(HELD)
    lone.put(b"new", contexts=[lone.token(record((ELSE, NOW + 7, b"later")))])
    state = lone.held()
    assert (values(state), state.context[ELSE]) == ([b"new"], NOW + 7)


def test_the_context_of_nothing_replaces_nothing() -> None:
    lone = Lone()
    lone.hold(HELD)
    lone.put(b"new", contexts=[lone.token(record())])
    assert set(values(lone.held())) == {b"old", b"new"}


def test_a_dot_is_above_every_time_of_its_actor_in_store_and_context() -> None:
    ahead = NOW + (3 << 20)
    lone = Lone()
    lone.hold(record((ACTOR, ahead, b"old")))
    lone.put(b"new")
    blind = lone.held().context[ACTOR]
    assert blind > ahead
    lone = Lone()
    lone.hold(record((ACTOR, ahead, b"old")))
    lone.put(b"new", contexts=[lone.token(record((ACTOR, ahead - 1, b"older")))])
    assert lone.held().context[ACTOR] > ahead
    assert set(values(lone.held())) == {b"old", b"new"}


def test_the_context_of_a_receipt_replaces_that_write() -> None:
    lone = Lone()
    lone.put(b"mine", level=ONE)
    (token,) = reply(lone.durable()).contexts
    lone.hold(record((ELSE, NOW - 5, b"theirs"), knows=lone.held().context))
    lone.put(b"next", contexts=[token], ticket=2)
    assert set(values(lone.held())) == {b"theirs", b"next"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda token: b"\x02" + token[1:],
        lambda token: token[:1] + bytes(8) + token[9:],
        lambda token: token[:-1] + b"\xff",
        lambda token: token[:5],
        lambda token: token + bytes(3),
        lambda token: b"x",
    ],
)
def test_a_forged_context_is_refused(damage: object) -> None:
    lone = Lone()
    lone.hold(HELD)
    assert callable(damage)
    effects = lone.put(contexts=[damage(lone.token(HELD))])
    done = reply(effects)
    assert (done.errors, done.contexts, done.replicas) == ([PutError.CONTEXT], [b""], [])
    assert of(e.Write, effects) == []
    assert lone.home.counters["contexts_refused"] == 1


def test_a_context_of_another_key_is_refused() -> None:
    lone = Lone()
    other = name_of(b"", b"other")
    done = reply(lone.put(contexts=[lone.token(HELD, other)]))
    assert done.errors == [PutError.CONTEXT]


def test_a_name_that_is_refused_fails_alone() -> None:
    lone = Lone()
    names = [name_of(b"", b"a"), name_of(b"", b"b"), name_of(b"", b"c")]
    effects = lone.put(names=names, contexts=[b"", b"forged", b""], level=ONE)
    rows = [lone.home.locate(name)[0] for name in names]
    for message in sent(m.Replicate, effects).values():
        assert message.keys == [rows[0], rows[2]]
    done = reply(lone.durable())
    assert done.errors == [0, PutError.CONTEXT, 0]
    assert [bool(token) for token in done.contexts] == [True, False, True]


# --- caps -----------------------------------------------------------------------------------------


def siblings(count: int, size: int = 1) -> bytes:
    return record(*((Actor(b"actor%03d" % at), NOW - 9, b"v" * size) for at in range(count)))


def test_a_sibling_beyond_the_cap_is_refused() -> None:
    lone = Lone(sibling_cap=3)
    lone.hold(siblings(2))
    stale = lone.token(record())
    lone.put(contexts=[stale], level=ONE)
    assert reply(lone.durable()).errors == []
    effects = lone.put(contexts=[stale], ticket=2)
    assert (reply(effects).errors, of(e.Write, effects)) == ([PutError.SIBLINGS], [])
    assert lone.home.counters["sibling_cap_refused"] == 1


def test_a_put_that_does_not_raise_the_number_may_pass_the_cap() -> None:
    lone = Lone(sibling_cap=2)
    lone.hold(siblings(4))
    one = record((Actor(b"actor000"), NOW - 9, b"v"))
    lone.put(b"new", contexts=[lone.token(one)])
    assert sorted(values(lone.held())) == [b"new", b"v", b"v", b"v"]


def test_a_put_without_a_context_always_may() -> None:
    lone = Lone(sibling_cap=1)
    lone.hold(siblings(4))
    lone.put()
    assert len(lone.held().versions) == 1


def test_siblings_have_a_cap_in_bytes_as_well() -> None:
    lone = Lone()
    lone.hold(siblings(8, limits.RECORD_BYTES_MAX // 8 - 100))
    effects = lone.put(b"v" * 900, contexts=[lone.token(record())])
    assert reply(effects).errors == [PutError.SIBLINGS]


# --- what the store forgot ------------------------------------------------------------------------


def test_a_context_that_knows_more_of_this_node_than_its_store_proves_amnesia() -> None:
    """Under the old name the new dot would cover what was forgotten, which nobody overwrote."""
    lone = Lone()
    lone.hold(record((ACTOR, NOW - 9, b"old")))
    effects = lone.put(b"new", contexts=[lone.token(record((ACTOR, NOW - 5, b"forgotten")))])
    state = lone.held()
    assert state.context[ACTOR] == NOW - 5
    assert lone.home.actor != ACTOR
    assert [version.dot.actor for version in state.versions] == [lone.home.actor]
    assert lone.home.counters["amnesia"] == 1
    assert of(e.Report, effects)


def test_a_context_that_knows_as_much_as_the_store_proves_nothing() -> None:
    lone = Lone()
    held = record((ACTOR, NOW - 5, b"old"))
    lone.hold(held)
    lone.put(b"new", contexts=[lone.token(held)])
    assert lone.home.actor == ACTOR


# --- restarts -------------------------------------------------------------------------------------


def newer(topology: Topology) -> Topology:
    moved = replace(topology.members[1], address="elsewhere:1")
    return topology.with_member(moved)


def refresh(lone: Lone, id: int, topology: Topology, peer: int = 0) -> list[e.Effect]:
    return lone.receive(lone.peers[peer], m.Refresh(id, topology.encode()))


def test_a_restart_sends_the_minted_record_again() -> None:
    lone = Lone()
    first = sent(m.Replicate, lone.put())[lone.peers[0]]
    effects = refresh(lone, first.id, newer(lone.topology))
    again = sent(m.Replicate, effects)
    assert set(again) == set(lone.peers)
    for message in again.values():
        assert message == first._replace(epoch=2)
    assert [row for write in of(e.Write, effects) for row in write.rows if row[0] == lone.row] == []


def test_a_restart_counts_the_local_write_and_asks_the_others_anew() -> None:
    lone = Lone()
    id = request_id(lone.put())
    lone.durable()
    assert no_reply(refresh(lone, id, newer(lone.topology)))
    lone.durable()
    assert set(reply(lone.receive(lone.peers[1], m.Replicated(id))).replicas) == {
        lone.me,
        lone.peers[1],
    }


def test_a_restart_that_has_all_it_needs_replies_at_once() -> None:
    lone = Lone()
    id = request_id(lone.put())
    lone.durable()
    alone = replace(newer(lone.topology), members=lone.topology.members[:1])
    assert reply(refresh(lone, id, alone)).replicas == [lone.me]


def test_a_restart_that_finds_too_few_owners_up_is_indeterminate() -> None:
    lone = Lone()
    id = request_id(lone.put())
    strangers = (lone.topology.members[0], rings.member(7), rings.member(8))
    elsewhere = replace(newer(lone.topology), members=strangers)
    assert failed(refresh(lone, id, elsewhere)) == FailedCode.INDETERMINATE


def test_a_refresh_that_was_followed_already_starts_nothing_again() -> None:
    lone = Lone()
    id = request_id(lone.put())
    topology = newer(lone.topology)
    assert sent(m.Replicate, refresh(lone, id, topology))
    assert sent(m.Replicate, refresh(lone, id, topology, peer=1)) == {}
    assert sent(m.Replicate, refresh(lone, id, topology)) == {}


def test_two_members_that_are_never_of_one_mind_do_not_play_for_ever() -> None:
    lone = Lone()
    id = request_id(lone.put())
    topology, restarts = lone.topology, 0
    while no_reply(lone.last):
        topology = newer(topology)
        refresh(lone, id, replace(topology, members=topology.members))
        restarts += 1
    assert (failed(lone.last), restarts) == (FailedCode.INDETERMINATE, limits.RESTARTS_MAX)


def test_a_write_that_moved_away_from_its_coordinator_goes_on() -> None:
    """Its record is minted, so the new owners get it; this node waits for them alone."""
    lone = Lone(5, n=5)
    name = next(n for n in map(name_of, [b""] * 99, (b"%d" % i for i in range(99))))
    id = request_id(lone.put(names=[name]))
    lone.durable()
    shrunk = replace(newer(lone.topology), n=3, members=lone.topology.members[1:])
    effects = refresh(lone, id, shrunk)
    owners = set(sent(m.Replicate, effects))
    assert len(owners) == 3
    assert lone.me not in owners
    first, second, _ = owners
    assert no_reply(lone.receive(first, m.Replicated(id)))
    assert reply(lone.receive(second, m.Replicated(id))).replicas == [first, second]


def test_names_that_a_new_topology_parts_are_indeterminate() -> None:
    lone = Lone(5, n=5)
    names = [name_of(b"", b"%d" % number) for number in range(40)]
    id = request_id(lone.put(names=names))
    parted = replace(newer(lone.topology), n=2)
    assert failed(refresh(lone, id, parted)) == FailedCode.INDETERMINATE


def test_a_read_and_a_write_of_a_name_agree_on_its_row() -> None:
    lone = Lone()
    lone.put(level=ONE)
    lone.durable()
    found = reply(lone.get(NAME, ticket=2, level=ONE))
    assert found.records == [lone.store.rows[lone.row]]
    assert Dot(ACTOR, lone.held().context[ACTOR]) == lone.held().versions[0].dot
