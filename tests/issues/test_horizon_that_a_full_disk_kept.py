"""A doubtful horizon stayed in the store when the disk refused to take it away, and nobody tried
again. What was taken in from below it after that was, after a restart, what it said was known.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.wire import messages as m
from tests.protocol.lone import Lone, of
from tests.protocol.state.test_horizons import HORIZON, OLD, Member


def doubting() -> tuple[Member, bytes]:
    """A member whose disk is full while it doubts a horizon; the row of that."""
    member = Member()
    key, row = member.home.horizons.adopt(member.partition, HORIZON)
    assert row is not None
    member.store.rows[key] = row
    member.home.horizons.doubt(member.partition)
    member.after(1.0)
    assert rows_of(member.last) == [(key, None)]
    member.durable(failing="full")
    assert member.store.rows[key] == row
    return member, key


def rows_of(effects: list[e.Effect]) -> list[tuple[bytes, bytes | None]]:
    return [row for write in of(e.Write, effects) for row in write.rows]


def started_again(member: Member) -> dict[int, int]:
    """The horizons of its next life."""
    return Lone(store=member.store).home.horizons.adopted


def test_it_goes_with_whatever_is_written_next() -> None:
    member, key = doubting()
    member.replicate(OLD)
    assert rows_of(member.last)[0] == (key, None)
    member.durable()
    assert member.store.rows[member.row] == OLD
    assert member.partition not in started_again(member)
    # And that was all.
    assert key not in dict(rows_of(member.put()))


def test_it_stays_while_nothing_else_is_written() -> None:
    """So a disk that is full is not asked again and again, and what it says is still true."""
    member, key = doubting()
    for _ in range(5):
        assert rows_of(member.after(1.0)) != [(key, None)]


def test_it_is_refused_with_what_was_to_be_taken_in() -> None:
    member, key = doubting()
    for id in range(3):
        member.replicate(OLD, id=10 + id)
        assert key in dict(rows_of(member.last))
        member.durable(failing="full")
    assert member.row not in member.store.rows


def test_a_new_horizon_is_not_taken_away() -> None:
    member, _ = doubting()
    later = HORIZON + 5
    row = member.home.horizons.adopt(member.partition, later)
    member.step(e.Tick())
    member.store.write(e.Write([row]))
    member.receive(member.peers[0], m.Replicate(9, 1, 500, [member.row], [OLD]))
    member.durable()
    assert started_again(member)[member.partition] == later


def test_a_doubt_that_came_later_is_another_one() -> None:
    member, key = doubting()
    first, _ = of(e.Write, member.replicate(OLD))
    member.home.horizons.adopt(member.partition, HORIZON + 5)
    member.home.horizons.doubt(member.partition)
    assert isinstance(first.then, e.HorizonsGone)
    assert rows_of(member.step(first.then)) == [(key, None)], "at once"
    assert rows_of(member.put())[0] == (key, None), "and until that is applied"
