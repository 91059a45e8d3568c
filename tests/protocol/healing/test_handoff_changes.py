"""Hints that cannot be read, and hints under another topology."""

from __future__ import annotations

from dataclasses import replace

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from tests.protocol.healing.holding import LATER, OLD, Holder
from tests.protocol.joining import seeking
from tests.protocol.lone import ELSE, NOW, OTHER, Lone, of, record, sent
from tests.ring import rings

NEW = record((ELSE, NOW - 5, b"new"))
BESIDE = record((OTHER, NOW - 5, b"beside"))


def test_what_is_owed_and_cannot_be_read_is_left_to_comparison() -> None:
    lone = Lone(up=[0])
    lone.put()
    lone.durable()
    lone.store.disk.damaged.add(lone.row)
    assert sent(m.Replicate, lone.step(e.PeerUp(lone.peers[1]))) == {}
    lone.durable()
    assert list(lone.store.scan(row_keys.HINTS, row_keys.END_OF_HINTS)) == []
    assert lone.home.hints.unhinted == {row_keys.partition_of(lone.row)}
    assert lone.home.counters["hints_dropped"] == 1


def test_hints_that_cannot_be_read_are_tried_again_and_hold_up_nobody() -> None:
    holder = Holder()
    holder.keep()
    holder.store.disk.damaged.update(holder.kept())
    assert holder.comes_up() is None
    assert holder.home.counters["damaged_reads"] == 1
    holder.step(e.WriteFailed(0, "for another reason"))
    holder.after(LATER)
    while not holder.home.hints.counted:
        assert holder.node.next_deadline() <= holder.home.clock.monotonic()
        holder.step(e.Tick())
    assert holder.home.hints.holds(holder.partition)


# --- another topology -----------------------------------------------------------------------------


def test_nothing_is_sent_before_the_hints_were_looked_through_again() -> None:
    holder = Holder()
    holder.keep()
    holder.adopt()
    assert holder.comes_up() is None
    page = holder.page(holder.after(LATER))
    assert page is not None
    assert page.epoch == 2


def test_a_target_that_knows_a_newer_topology_is_asked_again_under_that() -> None:
    holder = Holder()
    holder.keep()
    page = holder.comes_up()
    assert page is not None
    ring = replace(holder.topology, epoch=2)
    holder.receive(holder.target, m.Refresh(page.id, ring.encode()))
    assert len(holder.kept()) == 1
    again = holder.page(holder.after(LATER))
    assert again is not None
    assert again.epoch == 2


def test_an_acknowledgement_under_an_older_topology_removes_nothing() -> None:
    holder = Holder()
    holder.keep()
    page = holder.comes_up()
    holder.adopt()
    assert holder.acknowledge(page) is None
    assert len(holder.kept()) == 1
    assert holder.page(holder.after(LATER)) is not None


def test_what_is_kept_for_one_that_is_gone_is_kept_for_the_owners() -> None:
    holder = Holder()
    gone = rings.node_id(50)
    holder.keep(2, target=gone)
    holder.hint(BESIDE, target=rings.node_id(51))
    holder.durable()
    holder.step(e.WriteFailed(0, "so that they are looked through"))
    holder.after(LATER)
    holder.durable()
    owners = holder.home.owners[holder.partition]
    rows = [row_keys.split_hint_row(at) for at in holder.kept()]
    assert sorted(rows) == sorted(
        (owner, holder.row_of(number)) for owner in owners for number in (0, 1)
    )
    assert holder.home.counters["hints_rehomed"] == 2
    page = holder.comes_up()
    assert page is not None
    assert page.records == [records.join_records(OLD, BESIDE), OLD]


def test_an_owner_that_kept_something_takes_it_over_itself() -> None:
    lone = Lone()
    gone = NodeId(rings.node_id(50))
    lone.hold(NEW)
    other = lone.name(mine=True)
    keys = [lone.row, lone.home.locate(other)[0]]
    lone.store.write(e.Write(lone.home.hints.keep(gone, keys, [OLD, OLD]) or []))
    lone.durable()
    lone.home.hints.recount(0)
    effects = lone.after(LATER)
    (write,) = of(e.Write, effects)
    assert (keys[1], OLD) in write.rows
    assert lone.row not in dict(write.rows)
    lone.durable()
    assert gone not in lone.home.hints.accounts


def test_what_is_owed_to_one_that_is_gone_goes() -> None:
    lone = Lone(up=[0])
    lone.put()
    lone.durable()
    ring = lone.topology
    gone = lone.peers[1]
    newcomer = rings.member(50)
    members = tuple(mb if mb.node_id != gone else newcomer for mb in ring.members)
    lone.receive(lone.peers[0], m.Announce(replace(ring, epoch=2, members=members).encode()))
    lone.after(LATER)
    lone.durable()
    assert list(lone.store.scan(row_keys.HINTS, row_keys.END_OF_HINTS)) == []


def test_looking_through_goes_on_at_once_until_it_is_done() -> None:
    before = Holder()
    before.hint(*[OLD] * (limits.HINT_COUNT_ITEMS + 1))
    before.durable()
    holder = Holder(store=before.store)
    assert not holder.home.hints.counted
    assert holder.node.next_deadline() <= holder.home.clock.monotonic()
    holder.step(e.Tick())
    assert holder.home.hints.counted
    assert holder.node.next_deadline() > holder.home.clock.monotonic()


def test_before_there_is_a_ring_nothing_is_looked_at() -> None:

    bench = seeking()
    bench.after(LATER)
    assert not bench.home.hints.counted


def test_whoever_has_something_kept_is_named_while_all_are_counted() -> None:
    """A wait for empty ``status()["hints"]`` once ended while they were counted."""
    holder = Holder()
    holder.keep()
    hints, target = holder.home.hints, holder.target.hex()
    hints.recount(holder.home.epoch)
    assert set(hints.status()) == {target}
    hints.accounts.clear()
    assert not hints.counted
    holder.hint(NEW, NEW, id=9)
    holder.durable()
    assert set(hints.status()) == {target}, "also if its turn to be counted has not come"
    holder.after(LATER)
    assert hints.counted
    assert hints.status()[target]["keys"] == 2


def test_nobody_is_named_for_whom_nothing_was_counted() -> None:
    holder = Holder()
    holder.keep()
    holder.acknowledge(holder.comes_up())
    assert holder.home.hints.status() == {}
    holder.keep()
    (at,) = holder.kept()
    holder.home.hints.recount(holder.home.epoch)
    holder.store.write(e.Write([(at, None)]))
    holder.durable()
    holder.after(LATER)
    assert holder.home.hints.counted
    assert holder.home.hints.status() == {}
