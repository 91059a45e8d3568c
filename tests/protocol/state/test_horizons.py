"""Horizons on the disk, what they keep out of a member, and what they say about its own past."""

from __future__ import annotations

import pytest

from dynamokv import limits
from dynamokv.protocol import effects as e
from dynamokv.testing.simulation.clocks import START_MS
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import rounds
from tests.protocol.council import NOW, record, tombstone, value
from tests.protocol.fakes import Store
from tests.protocol.lone import ACTOR, ELSE, NAME, OTHER, Bench, Lone, of, only, reply, sent

HORIZON = NOW + 1000
OLD = record(value(ELSE, HORIZON - 10))
NEW = record(value(OTHER, HORIZON + 10))


class Member(Lone):
    """With a horizon for the partition of ``NAME``."""

    def __init__(self) -> None:
        super().__init__()
        self.partition = row_keys.partition_of(self.row)
        self.home.horizons.adopt(self.partition, HORIZON)
        self.home.horizons.promise(HORIZON)
        self.home.hybrid.pass_by(HORIZON)

    def shown(self, record: bytes, ticket: int = 1) -> bytes:
        """What a read shows when the other owner that it asks shows this."""
        asked = self.get(NAME, ticket=ticket)
        ((peer, fetch),) = sent(m.Fetch, asked).items()
        (found,) = reply(self.receive(peer, m.Fetched(fetch.id, [record]))).records
        assert type(found) is bytes
        return found

    def elsewhere(self) -> bytes:
        """A row of another partition."""
        keys = (self.home.locate(b"\0%d" % number)[0] for number in range(99))
        return next(key for key in keys if row_keys.partition_of(key) != self.partition)

    def replicate(self, record: bytes, id: int = 7) -> list[e.Effect]:
        return self.receive(self.peers[0], m.Replicate(id, 1, 500, [self.row], [record]))


# --- what comes in --------------------------------------------------------------------------------


def test_an_old_write_that_is_not_known_was_deleted() -> None:
    """It is not taken in, and whoever sent it, perhaps from a hint, may forget it (rows 19, 21).
    A coordinator that has just made it must not acknowledge it."""
    member = Member()
    member.replicate(OLD)
    assert member.store.newest(member.row) is None
    assert only(m.Refused, member.durable()).reason == m.RefusedReason.OUTDATED
    assert member.home.counters["below_horizon"] == 1
    assert member.replicate(OLD, id=0) == []


def test_nor_what_it_knows_besides() -> None:
    """What it replaced stays: else there would be neither."""
    member = Member()
    member.hold(NEW)
    member.replicate(record(value(ELSE, HORIZON - 10), knows={OTHER: HORIZON + 10}))
    assert only(m.Refused, member.durable()).reason == m.RefusedReason.OUTDATED
    assert member.store.newest(member.row) == NEW


def test_the_rest_of_the_message_is_taken_in_before_it_is_refused() -> None:
    member = Member()
    other = member.elsewhere()
    rows = [member.row, other]
    effects = member.receive(member.peers[0], m.Replicate(7, 1, 500, rows, [OLD, OLD]))
    assert not of(e.Send, effects), "not before it is durable"
    assert only(m.Refused, member.durable()).reason == m.RefusedReason.OUTDATED
    assert member.store.rows[other] == OLD


@pytest.mark.parametrize("order", [1, -1])
def test_nobody_counts_on_what_a_fence_turns_away_beside_what_was_deleted(order: int) -> None:
    """Who keeps it for this member would forget it, as it forgets what is outdated, and the round
    of the fence may come to nothing."""
    member = Member()
    fenced = member.elsewhere()
    member.home.horizons.fence(row_keys.partition_of(fenced), HORIZON, b"")
    rows = [member.row, fenced][::order]
    effects = member.receive(member.peers[0], m.Replicate(7, 1, 500, rows, [OLD, OLD]))
    assert only(m.Refused, effects).reason == m.RefusedReason.NOT_READY
    assert not of(e.Write, effects)


def test_an_old_write_that_is_known_is_joined_as_ever() -> None:
    member = Member()
    member.hold(OLD)
    both = record(value(ELSE, HORIZON - 10), value(OTHER, HORIZON + 1))
    member.replicate(both)
    assert member.store.newest(member.row) == both
    assert member.home.counters["below_horizon"] == 0


def test_an_old_tombstone_cannot_touch_what_was_made_anew() -> None:
    """The doomstone (row 4): the new value is not among what the old delete had seen."""
    member = Member()
    member.put(b"again", delete=False)
    (version,) = member.held().versions
    assert version.dot.time > HORIZON
    member.replicate(record(tombstone(ELSE, HORIZON - 5), knows={ACTOR: HORIZON - 7}))
    assert member.held().versions == (version,)
    member.replicate(record(tombstone(ACTOR, HORIZON - 5)))
    assert member.held().versions == (version,)


def test_other_partitions_have_their_own_horizons() -> None:
    member = Member()
    key = member.elsewhere()
    member.receive(member.peers[0], m.Replicate(7, 1, 500, [key], [OLD]))
    assert member.store.newest(key) == OLD


# --- what is shown --------------------------------------------------------------------------------


def test_a_read_does_not_believe_an_owner_that_comes_from_a_backup() -> None:
    """It shows what was deleted, until it is brought up to date (row 27)."""
    member = Member()
    assert member.shown(OLD) == b""


def test_a_read_believes_what_it_has_itself_or_what_is_new() -> None:
    member = Member()
    member.hold(OLD)
    both = record(value(ELSE, HORIZON - 10), value(OTHER, HORIZON + 10))
    assert member.shown(both) == both


def test_a_read_believes_all_where_it_has_no_horizon() -> None:
    member = Member()
    member.home.horizons.adopted = {member.partition + 1: HORIZON}
    assert member.shown(OLD) == OLD
    assert member.shown(b"", ticket=2) == b""


# --- its own past ---------------------------------------------------------------------------------


def test_own_old_writes_that_are_gone_are_no_amnesia() -> None:
    """Their row was collected; an old context of a client still names them."""
    member = Member()
    mine = record(tombstone(ACTOR, HORIZON - 3))
    member.replicate(mine)
    member.put(b"again", contexts=[member.token(mine)])
    assert member.home.actor == ACTOR
    assert member.home.counters["amnesia"] == 0


@pytest.mark.parametrize("how", ["replicate", "put"])
def test_own_new_writes_that_are_gone_are(how: str) -> None:
    member = Member()
    mine = record(value(ACTOR, HORIZON))
    if how == "put":
        member.put(b"again", contexts=[member.token(mine)])
    else:
        member.replicate(mine)
    assert member.home.actor != ACTOR


# --- what is lost ---------------------------------------------------------------------------------


def test_a_row_that_cannot_be_read_takes_the_horizon_with_it() -> None:
    """Else this member would keep out what it lost, and say that it was deleted."""
    member = Member()
    row = row_keys.horizon_row(member.partition)
    member.store.rows[row] = b"there"
    member.store.disk.damaged.add(member.row)
    effects = member.replicate(OLD)
    first, second = of(e.Write, effects)[:2]
    assert first.rows == [(row, None)]
    assert second.rows == [(member.row, OLD)]
    assert member.home.horizons.adopted == {}
    assert member.home.counters["horizons_forgotten"] == 1
    member.durable()
    assert row not in member.store.rows


def test_a_store_that_forgot_something_has_no_horizons() -> None:
    member = Member()
    horizons = member.home.horizons
    rows = [horizons.adopt(9, 77), *horizons.collect(9, 70)]
    member.store.rows.update({key: value for key, value in rows if value is not None})
    again = Bench(member.me, member.topology, store=member.store, forgot=True)
    assert again.home.horizons.adopted == again.home.horizons.collected == {}
    assert of(e.Write, again.last)[0].rows == [(row_keys.horizon_row(9), None)]


def test_those_that_cannot_be_read_are_written_off_too() -> None:
    member = Member()
    unreadable = row_keys.horizon_row(5)
    member.store.rows[unreadable] = b"whatever"
    member.store.disk.damaged.add(unreadable)
    again = Bench(member.me, member.topology, store=member.store)
    assert of(e.Write, again.last)[0].rows == [(unreadable, None)]


def test_a_fence_drawn_again_while_it_is_up_is_the_same_and_lasts_longer() -> None:
    lone = Lone()
    horizons = lone.home.horizons
    horizons.fence(3, NOW, b"")
    drawn = horizons.drawn
    lone.wait(limits.FENCE_SECONDS / 2)
    horizons.fence(3, NOW, b"")
    lone.wait(limits.FENCE_SECONDS * 3 / 4)
    assert horizons.is_fenced(3, NOW, b"", drawn)
    lone.wait(limits.FENCE_SECONDS)
    horizons.fence(3, NOW, b"")
    assert not horizons.is_fenced(3, NOW, b"", drawn)


def test_a_fence_falls_with_what_is_doubtful() -> None:
    horizons = Lone().home.horizons
    horizons.fence(3, NOW, b"")
    horizons.doubt(3)
    assert not horizons.is_fenced(3, NOW, b"")


# --- on the disk ----------------------------------------------------------------------------------


def test_horizons_survive_a_restart() -> None:
    member = Member()
    horizons = member.home.horizons
    rows = [*horizons.promise(HORIZON + 5), horizons.adopt(9, 77), *horizons.collect(9, 70)]
    member.store.rows.update({key: value for key, value in rows if value is not None})
    again = Bench(member.me, member.topology, store=member.store).home.horizons
    assert again.adopted == {9: 77}
    assert again.collected == {9: 70}
    assert again.floor == HORIZON + 5


def test_no_write_is_made_below_the_floor_after_a_restart() -> None:
    member = Member()
    far = NOW + (1 << 40)
    member.store.rows.update(dict(member.home.horizons.promise(far)))  # type: ignore[arg-type]
    again = Bench(member.me, member.topology, store=member.store)
    assert again.home.clock.wall_ms() == START_MS
    assert again.home.mint() > far


def test_rows_of_another_version_are_none() -> None:
    store = Store()
    store.rows[row_keys.horizon_row(1)] = b"\2" + bytes(16)
    store.rows[row_keys.horizon_row(2)] = b"\1" + bytes(3)
    store.rows[row_keys.FLOOR_ROW] = b"\2" + bytes(7) + b"\7"
    member = Lone()
    horizons = Bench(member.me, member.topology, store=store).home.horizons
    assert (horizons.adopted, horizons.floor) == ({}, 0)


def test_rows_that_cannot_be_read_are_none() -> None:
    store = Store()
    store.disk.damaged.add(row_keys.FLOOR_ROW)
    member = Lone()
    home = Bench(member.me, member.topology, store=store).home
    assert home.horizons.adopted == {}
    assert home.counters["damaged_reads"] == 1


def test_a_collected_time_is_never_above_the_horizon_and_never_goes_back() -> None:
    horizons = Lone().home.horizons
    assert horizons.collect(1, 5) == []
    horizons.adopt(1, 10)
    assert horizons.collect(1, 15) != []
    assert horizons.collected == {1: 10}
    assert horizons.collect(1, 5) == []
    horizons.adopt(1, 3)
    assert horizons.adopted == {1: 10}


def test_a_partition_that_does_not_exist_has_no_owners() -> None:
    assert Lone().home.owners_of(99_999) == ()


def test_only_the_page_of_a_transfer_that_was_announced_counts() -> None:
    """Else a newcomer with a slow clock could make writes that nobody takes in."""
    member = Lone()
    page = m.Scan(5, 1, row_keys.FIRST_DATA_ROW)
    member.home.horizons.promise(HORIZON)
    told, answered = of(e.Send, member.receive(member.peers[0], page))
    assert told.message == rounds.Horizons(1, HORIZON, [], [], [], [])
    assert type(answered.message) is m.Scanned
    page = page._replace(start=row_keys.END_OF_DATA)
    assert only(m.Scanned, member.receive(member.peers[0], page)).keys == []


def test_a_row_that_was_collected_during_a_transfer_is_left_out() -> None:
    member = Lone()
    member.hold(NEW)
    scan = m.Scan(5, 1, row_keys.FIRST_DATA_ROW)
    keys = [member.row[:-1] + b"a", member.row]
    member.node.giver.listed[member.peers[0]] = (row_keys.partition_of(member.row), keys)
    page = only(m.Scanned, member.receive(member.peers[0], scan._replace(start=member.row[:3])))
    assert (page.keys, page.records, page.next) == ([member.row], [NEW], b"")


def test_a_doubt_is_written_at_once_and_then_with_whatever_else_is() -> None:
    """Until it is on the disk (``tests/issues/test_horizon_that_a_full_disk_kept.py``)."""
    member = Member()
    gone = (row_keys.horizon_row(member.partition), None)

    def written(effects: list[e.Effect]) -> list[tuple[bytes, bytes | None]]:
        return [row for write in of(e.Write, effects) for row in write.rows]

    member.home.horizons.doubt(member.partition)
    assert gone in written(member.step(e.Tick()))
    assert gone not in written(member.step(e.Tick()))
    assert gone in written(member.put())
    member.durable()
    assert gone not in written(member.put())
