"""One hint that could not be read held up all others for the same member, also those before it: a
member that came back missed writes until somebody compared."""

from __future__ import annotations

from dynamokv.wire.keys import partition_of
from tests.protocol.healing.holding import Holder


def test_the_others_are_delivered() -> None:
    holder = Holder()
    holder.keep(5)
    other = next(
        partition
        for partition, row in enumerate(holder.home.owners)
        if partition > holder.partition and holder.target in row and holder.me not in row
    )
    mine = [holder.row_of(number) for number in range(5)]
    holder.partition = other
    holder.keep(2)
    holder.store.disk.damaged.add(holder.kept()[2])
    holder.store.disk.quarantines = False
    delivered = holder.delivered()
    assert delivered == {*mine[:2], holder.row_of(0), holder.row_of(1)}
    assert holder.home.hints.holds(partition_of(mine[0]))
