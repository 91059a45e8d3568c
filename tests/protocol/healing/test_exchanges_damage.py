"""Owners that cannot read all of a partition, and get back what they cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dynamokv import limits
from dynamokv.errors import CorruptionError
from dynamokv.merkle.messages import Branches, CompareLeaves, CompareRoot, Differing
from dynamokv.merkle.tree import FAN_OUT
from dynamokv.ports import Range
from dynamokv.protocol import effects as e
from dynamokv.protocol.healing.exchange import Talk
from dynamokv.protocol.state.home import ClockDrift
from dynamokv.protocol.state.horizons import KeptOut
from dynamokv.wire import messages as m
from tests.protocol.fakes import Store
from tests.protocol.healing.pair import Pair, Side, row, some
from tests.protocol.lone import Lone, of, sent


def ranges(*keys: bytes) -> list[Range]:
    """One for each of these keys."""
    return [(key, key + b"\0") for key in keys]


class Rotten(Store):
    """A store with rotten rows: one can be read again when it was written anew, but no range with
    it before that is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.rot: set[bytes] = set()
        self.quarantined = lambda: ranges(*sorted(self.rot))

    def visible(self, key: bytes) -> bytes | None:
        if key in self.rot and key not in self.rows:
            raise CorruptionError("block 7 is damaged")
        return super().visible(key)

    def newest(self, key: bytes) -> bytes | None:
        return super().newest(key) if key in self._newest else self.visible(key)

    def scan_visible(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        if any(start <= key < end for key in self.rot):
            raise CorruptionError("block 7 is damaged")
        return super().scan_visible(start, end)

    def scan_readable(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([kept for kept in super().scan_visible(start, end) if kept[0] not in self.rot])


def rot(side: Side, *keys: bytes) -> list[e.Mend]:
    """These rows of a member are rotten; what it has its store read again."""
    store = Rotten()
    store.rows.update(side.store.rows)
    store.rot.update(keys)
    store.account = side.home.forest
    side.store = side.home.reader = store
    side.home.forest._reader = side.home.forest.unreadable._reader = store
    mended: list[e.Mend] = []
    step = side.node.step

    def seen(event: e.Event) -> list[e.Effect]:
        effects = step(event)
        for effect in of(e.Mend, effects):
            mended.append(effect)
            for start, end in effect.lost:
                store.rot -= {key for key in store.rot if start <= key < end}
        return effects

    side.node.step = seen  # type: ignore[method-assign]
    for key in keys:
        del store.rows[key]
    return mended


def pair_with_rot(**settings: Any) -> tuple[Pair, list[e.Mend]]:
    pair = Pair(some(20), some(20), **settings)
    mended = rot(pair.one, row(3), row(4))
    return pair, mended


def up(pair: Pair) -> None:
    """The third member has nothing, and says so at once."""
    for side in (pair.one, pair.other):
        third = next(p for p in side.peers if p not in (pair.one.me, pair.other.me))
        side.home.owners = tuple(
            tuple(owner for owner in owners if owner != third) for owners in side.home.owners
        )


def test_what_cannot_be_read_is_brought_back_and_then_read_again() -> None:
    pair, mended = pair_with_rot()
    up(pair)
    pair.run(8.0)
    assert mended == [e.Mend(ranges(row(3), row(4)))]
    assert pair.equal
    assert pair.one.count("partitions_mended") == 1
    assert not pair.one.home.forest.unreadable


def test_damage_that_shows_later_is_brought_back_at_once_as_well() -> None:
    """Long after everything was compared, and long before it is again."""
    pair = Pair(some(20), some(20))
    up(pair)
    pair.run(8.0)
    mended = rot(pair.one, row(3), row(4))
    pair.one.home.damaged_read([row(3)])
    pair.run(2.0)
    assert mended == [e.Mend(ranges(row(3), row(4)))]
    assert pair.equal


def test_not_before_all_other_owners_gave_what_they_have() -> None:
    pair, mended = pair_with_rot()
    pair.run(8.0)
    assert not mended, "the third one is down"
    assert pair.one.count("repaired_by_exchange_fetched") == 2
    assert pair.one.home.forest.root(3) is None


def test_an_exchange_that_began_before_more_was_lost_does_not_count() -> None:
    pair, mended = pair_with_rot()
    up(pair)
    talks, lost = pair.one.node.exchanges.talks, ranges(row(3), row(4))
    pair.one.store.quarantined = lambda: lost
    under_way = list[Talk]()
    while not under_way:
        pair.round()
        under_way = [each for each in talks.values() if each.damage and not each.at_the_root]
    [talk] = under_way
    lost += ranges(row(7))
    while not talk.over:
        pair.round()
    assert pair.one.count("repaired_by_exchange_fetched") == 2, "it came to its end"
    assert not mended
    pair.run(8.0)
    assert mended == [e.Mend(lost)]


def test_what_was_written_again_and_is_lost_again_is_another_damage() -> None:
    """Nobody need have read it in between."""
    lone = Lone()
    lost = ranges(row(1))
    lone.store.quarantined = lambda: lost
    lone.home.load.pressure.spend(0.0, 1 << 40)
    lone.home.damaged_read([row(1)])
    [again] = lost
    damage = lone.home.forest.unreadable[3]
    lost.clear()
    lone.after(limits.EXCHANGE_BEAT_SECONDS)
    lost.append(again)
    lone.after(limits.EXCHANGE_BEAT_SECONDS)
    assert lone.home.forest.unreadable[3] is not damage


def test_who_gave_under_another_ring_is_asked_again() -> None:
    pair, _ = pair_with_rot()
    pair.run(5.0)
    one, other = pair.one, pair.other.me
    damage = one.home.forest.unreadable[3]
    assert damage.given == {other}
    one.receive(other, m.Announce(replace(one.topology, epoch=2).encode()))
    one.after(limits.TREE_STEP_SECONDS)
    assert not damage.given


def test_a_key_that_could_not_be_had_keeps_the_quarantine() -> None:
    pair, mended = pair_with_rot()
    up(pair)

    def damaged(key: bytes) -> bytes | None:
        if key == row(4):
            raise CorruptionError("block 7 is damaged")
        return pair.other.store.disk.get(key)

    pair.other.store.visible = damaged  # type: ignore[method-assign]
    pair.run(5.0)
    assert not mended
    pair.other.store.visible = pair.other.store.disk.get  # type: ignore[method-assign]
    pair.run(limits.TREE_RETRY_SECONDS_MAX)
    assert mended == [e.Mend(ranges(row(3), row(4)))], "long before the slow round"


def test_two_who_cannot_read_everything_tell_each_other_what_they_can() -> None:
    pair, mended = pair_with_rot()
    others = rot(pair.other, row(7))
    up(pair)
    pair.run(10.0)
    assert mended == [e.Mend(ranges(row(3), row(4)))]
    assert others == [e.Mend(ranges(row(7)))]
    assert pair.equal
    assert pair.one.rows.keys() == some(20).keys()


def test_a_damaged_read_makes_its_partition_unreadable() -> None:
    lone = Lone()
    forest = lone.home.forest
    lone.home.damaged_read([row(1), row(2, partition=5)])
    assert forest.unreadable.keys() == {3, 5}
    assert list(forest.fresh) == [3, 5]
    assert forest.root(3) is None
    lone.home.damaged_read([row(1)])
    assert list(forest.fresh) == [3, 5], "it is known already"
    lone.after(1.0)
    assert not forest.unreadable, "it could be read after all"
    forest.adopt(lone.topology, [0], lone.home.actor)
    lone.home.damaged_read([row(1)])
    assert not forest.unreadable, "it is not this member's"


def test_a_partition_that_goes_takes_its_damage_along() -> None:
    lone = Lone()
    lone.home.damaged_read([row(1)])
    lone.home.forest.adopt(lone.topology, [0], lone.home.actor)
    assert not lone.home.forest.unreadable


def test_one_who_cannot_read_everything_answers_only_another_such_one() -> None:
    lone = Lone()
    lone.home.load.pressure.spend(0.0, 1 << 40)
    lone.home.damaged_read([row(1)])
    peer = lone.peers[0]
    whole = lone.receive(peer, CompareRoot(7, 1, 3, b"not an empty one"))
    assert sent(m.Refused, whole)
    effects = lone.receive(peer, CompareRoot(8, 1, 3, bytes(16)))
    assert sent(Branches, effects)[peer].sums != bytes(512)
    leaves = CompareLeaves(9, 1, 3, [0, 2], bytes(1024))
    [differing] = sent(Differing, lone.receive(peer, leaves)).values()
    assert differing.leaves == [*range(FAN_OUT), *range(2 * FAN_OUT, 3 * FAN_OUT)]


@pytest.mark.parametrize("why", ["stamp", "poison", "fence"])
def test_a_key_that_is_not_taken_in_keeps_the_quarantine(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as brought back, and was given up with the rest of its range."""
    pair, mended = pair_with_rot()
    up(pair)
    home = pair.one.home

    def refused(key: bytes, incoming: bytes) -> bytes | KeptOut | None:
        if why == "stamp":
            raise ClockDrift("an hour ahead")
        if why == "poison":
            raise ValueError("no record")
        return KeptOut.FENCED

    with monkeypatch.context() as patched:
        patched.setattr(home, "take_in", refused)
        pair.run(5.0)
        assert not mended
        assert home.counters["exchange_keys_skipped"] >= 2
    pair.run(limits.TREE_RETRY_SECONDS_MAX)
    assert mended == [e.Mend(ranges(row(3), row(4)))]
    pair.run(limits.TREE_RETRY_SECONDS_MAX)
    assert pair.equal
