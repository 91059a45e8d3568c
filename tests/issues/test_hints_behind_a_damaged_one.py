"""Hints behind one that could not be read were not delivered, and no tombstone went any more.

They waited in the same partition until the owners compared. A count that met something damaged
said of every partition that somebody misses something there, so no collecting round took it,
until a restart, and then again.
"""

from __future__ import annotations

from dynamokv.protocol.healing.handoff import LOOK_AGAIN_SECONDS
from tests.protocol.healing.holding import LATER, Holder


def holder_with(count: int, damaged: int) -> Holder:
    """It keeps so many hints, of which this one cannot be read, and has just started."""
    holder = Holder()
    holder.keep(count)
    holder.store.disk.damaged.add(holder.kept()[damaged])
    holder.node.handoff.recount()
    for _ in range(60):
        holder.after(LATER)
    return holder


def test_those_behind_it_are_delivered() -> None:
    holder = holder_with(5, damaged=2)
    delivered = holder.delivered()
    assert delivered == {holder.row_of(number) for number in (0, 1, 3, 4)}
    assert holder.home.hints.holds(holder.partition)


def test_other_partitions_may_be_collected() -> None:
    holder = holder_with(3, damaged=1)
    hints = holder.home.hints
    held = {partition for partition in range(8) if hints.holds(partition)}
    assert held == {holder.partition}


def test_what_can_be_read_again_is_counted_again() -> None:
    holder = holder_with(3, damaged=0)
    hints = holder.home.hints
    assert hints.doubtful == {holder.partition}
    holder.store.disk.damaged.clear()
    holder.after(LOOK_AGAIN_SECONDS)
    for _ in range(60):
        holder.after(LATER)
    assert hints.doubtful == set()
    assert sum(account.keys for account in hints.accounts.values()) == 3
