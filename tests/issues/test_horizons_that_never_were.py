"""Every write carried a deletion of every horizon that there could be, some 33000, for a while.

The store had forgotten something, and its disk was slow or full, so the first of these writes was
not applied. Only those horizons have to go that are in the store, or may be.
"""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.protocol.fakes import Store
from tests.protocol.lone import Bench, Lone, of
from tests.protocol.state.test_horizons import HORIZON, NEW

IN_STORE, UNREADABLE = 3, 5


def written(store: Store) -> list[tuple[bytes, bytes | None]]:
    """What a member writes for one row, while nothing that it wrote at its start is applied;
    without that row."""
    lone = Lone()
    bench = Bench(lone.me, lone.topology, store=store, forgot=True)
    bench.step(e.PeerUp(lone.peers[0]))
    effects = bench.receive(lone.peers[0], m.Replicate(7, 1, 500, [lone.row], [NEW]))
    rows = [row for write in of(e.Write, effects) for row in write.rows]
    assert rows.pop() == (lone.row, NEW)
    return rows


def test_a_store_without_horizons_has_none_to_delete() -> None:
    assert written(Store()) == []


def test_what_is_there_or_cannot_be_read_is_deleted() -> None:
    store, horizons = Store(), Lone().home.horizons
    for partition in (IN_STORE, UNREADABLE):
        key, row = horizons.adopt(partition, HORIZON)
        assert row is not None
        store.rows[key] = row
    store.disk.damaged.add(row_keys.horizon_row(UNREADABLE))
    assert written(store) == [(row_keys.horizon_row(p), None) for p in (IN_STORE, UNREADABLE)]
