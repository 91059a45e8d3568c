"""A member that replaces another, while it is filled: what it gets, and what it has no say in."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dynamokv.protocol import effects as e
from dynamokv.ring.topology import Topology
from dynamokv.types import Consistency
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from dynamokv.wire.messages import FailedCode
from dynamokv.wire.rounds import Horizons
from tests.protocol.lone import (
    ELSE,
    NOW,
    Bench,
    Lone,
    failed,
    no_reply,
    only,
    record,
    reply,
    request_id,
    sent,
)
from tests.ring import rings

NEW = rings.node_id(77)
ONE, TWO, ALL, QUORUM = Consistency.ONE, Consistency.TWO, Consistency.ALL, Consistency.QUORUM
HELD = record((ELSE, NOW - 9, b"held"))


def replaced(count: int = 3, n: int = 3) -> Topology:
    """A ring whose last member is being replaced."""
    old = rings.member(count - 1)
    return rings.ring(count, n=n, partitions=8).replaced(old.node_id, NEW, old.address)


def beside(count: int = 3, n: int = 3, up: Iterable[int] | None = None) -> Lone:
    """The first member of that ring."""
    return Lone(count, n=n, topology=replaced(count, n), up=up)


# --- writes ---------------------------------------------------------------------------------------


def test_it_is_sent_every_write() -> None:
    lone = beside()
    assert set(sent(m.Replicate, lone.put())) == {rings.node_id(1), NEW}


def test_its_acknowledgement_makes_no_quorum() -> None:
    """What the lost member and one other had acknowledged is at that other one only."""
    lone = beside()
    id = request_id(lone.put())
    lone.durable()
    assert no_reply(lone.receive(NEW, m.Replicated(id)))
    done = reply(lone.receive(rings.node_id(1), m.Replicated(id)))
    assert (done.needed, set(done.replicas)) == (2, {lone.me, rings.node_id(1)})


def test_a_quorum_needs_as_many_as_ever() -> None:
    assert failed(beside(up=[1]).put()) == FailedCode.UNAVAILABLE
    assert failed(beside(up=[1]).get()) == FailedCode.UNAVAILABLE


def test_at_all_it_counts_beside_all_others() -> None:
    lone = beside()
    id = request_id(lone.put(level=ALL))
    lone.durable()
    assert no_reply(lone.receive(rings.node_id(1), m.Replicated(id)))
    done = reply(lone.receive(NEW, m.Replicated(id)))
    assert (done.needed, len(done.replicas)) == (3, 3)


def test_one_of_two_copies_and_it_are_a_quorum() -> None:
    """The other one has all that any quorum had."""
    lone = beside(2)
    id = request_id(lone.put())
    lone.durable()
    assert set(reply(lone.receive(NEW, m.Replicated(id))).replicas) == {lone.me, NEW}
    assert reply(lone.get(level=ONE)).replicas == [lone.me]


# --- reads ----------------------------------------------------------------------------------------


def test_it_is_not_asked_below_all() -> None:
    for level in (ONE, TWO, QUORUM):
        lone = beside()
        for ticket in range(2, 9):
            assert NEW not in sent(m.Fetch, lone.get(ticket=ticket, level=level))
            assert NEW not in sent(m.Fetch, lone.after(0.04)), "nor when another one is late"


def test_at_all_it_is_asked() -> None:
    lone = beside()
    assert set(sent(m.Fetch, lone.get(level=ALL))) == {rings.node_id(1), NEW}


def test_once_it_is_whole_it_counts_as_everybody_does() -> None:
    lone = beside()
    lone.receive(rings.node_id(1), m.Announce(replaced().settled().encode()))
    id = request_id(lone.put())
    lone.durable()
    assert NEW in reply(lone.receive(NEW, m.Replicated(id))).replicas


# --- its copy -------------------------------------------------------------------------------------


def filling(count: int = 3, n: int = 3, up: Iterable[int] | None = None) -> Bench:
    """The replacement; ``up``: numbers of members that it reaches."""
    bench = Bench(NEW, replaced(count, n), address=rings.member(count - 1).address, n=n)
    bench.durable()
    for number in range(count - 1):
        assert bench.home.topology is not None
        floor = Horizons(bench.home.topology.epoch, 0, [], [], [], [])
        bench.receive(rings.node_id(number), floor)
    for number in range(count - 1) if up is None else up:
        bench.step(e.PeerUp(rings.node_id(number)))
    bench.after(0.2)
    return bench


def read_to_the_end(bench: Bench, number: int, *rows: tuple[bytes, bytes]) -> None:
    """A member answers with all that it has."""
    peer = rings.node_id(number)
    fill = bench.node.life.newcomer.fill
    assert fill is not None
    keys, held = [key for key, _ in rows], [row for _, row in rows]
    bench.receive(peer, m.Scanned(fill.sources[peer].id, keys, held, b""))
    bench.durable()


def whole(bench: Bench) -> bool:
    return bool(sent(m.Filled, bench.after(1.0)))


@pytest.mark.parametrize(
    ("count", "n", "needed"),
    [(2, 2, 1), (3, 3, 2), (4, 4, 2), (5, 5, 3), (6, 6, 3), (7, 7, 4)],
)
def test_it_reads_as_many_as_meet_every_quorum_that_the_lost_one_was_in(
    count: int, n: int, needed: int
) -> None:
    bench = filling(count, n, up=[])
    for number in range(needed):
        assert not whole(bench)
        bench.step(e.PeerUp(rings.node_id(number)))
        read_to_the_end(bench, number)
    assert whole(bench)


def test_it_reads_all_that_are_up() -> None:
    bench = filling(5, 5)
    for number in range(4):
        assert not whole(bench)
        read_to_the_end(bench, number)
    assert whole(bench)


def test_it_reads_owners_of_its_partitions_only_and_enough_of_each() -> None:
    bench = filling(9)
    assert bench.home.owners
    mine = [set(owners) - {NEW} for owners in bench.home.owners if NEW in owners]
    fill = bench.node.life.newcomer.fill
    assert fill is not None
    assert set(fill.sources) == set().union(*mine) < {rings.node_id(n) for n in range(8)}
    *most, last = sorted(fill.sources)
    for number in range(8):
        if rings.node_id(number) in most:
            read_to_the_end(bench, number)
    bench.step(e.PeerDown(last))
    assert not whole(bench), "some partition was read from one owner only"


def test_the_only_copy_is_lost_and_nothing_is_waited_for() -> None:
    assert whole(filling(3, 1, up=[]))


def test_it_is_ready_when_the_ring_says_so_and_takes_its_copies_over() -> None:
    bench = filling()
    key = row_key(1, name_of(b"", b"a"))
    read_to_the_end(bench, 0, (key, HELD))
    read_to_the_end(bench, 1)
    assert bench.store.rows[key] == HELD
    assert sent(m.Filled, bench.after(1.0)) == {rings.node_id(0): m.Filled(0, 2)}
    assert not bench.node.ready
    bench.receive(rings.node_id(0), m.Announce(replaced().settled().encode()))
    assert bench.node.ready


# --- what it is sent ------------------------------------------------------------------------------


def test_a_page_holds_what_both_own() -> None:
    lone = Lone(9, topology=replaced(9), n=3)
    owned = [
        {partition for partition, owners in enumerate(lone.home.owners) if peer in owners}
        for peer in (lone.me, NEW)
    ]
    assert owned[0] & owned[1] < owned[1]
    rows = [row_key(partition, name_of(b"", b"a")) for partition in range(8)]
    lone.store.rows.update(dict.fromkeys(rows, HELD))
    page = only(m.Scanned, lone.receive(NEW, m.Scan(7, 2, row_keys.FIRST_DATA_ROW)))
    assert page.keys == [rows[partition] for partition in sorted(owned[0] & owned[1])]
    assert page.next == b""


def test_a_stranger_is_sent_nothing() -> None:
    lone = beside()
    lone.store.rows[row_key(1, name_of(b"", b"a"))] = HELD
    assert only(m.Scanned, lone.receive(rings.node_id(2), m.Scan(7, 2, b"\0"))).keys == []


def test_a_row_that_went_meanwhile_is_left_out() -> None:
    lone = beside()
    rows = [row_key(partition, name_of(b"", b"a")) for partition in (1, 2)]
    lone.store.rows.update(dict.fromkeys(rows, HELD))
    lone.store.write(e.Write([(rows[0], None)]))
    lone.node.giver.listed[NEW] = (1, rows[:1])
    assert only(m.Scanned, lone.receive(NEW, m.Scan(7, 2, rows[0]))).keys == rows[1:]
