"""A member that was closed while it collected tombstones swept rows away after it had written down
its trees. Its next life went on with trees that spoke of rows which were not there."""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from tests.protocol.council import X, tombstone
from tests.protocol.council import record as record_of
from tests.protocol.lone import NOW, Lone


def test_a_tick_while_stopping_sweeps_nothing_away() -> None:
    lone = Lone()
    partition = row_keys.partition_of(lone.row)
    lone.store.write(e.Write([(lone.row, record_of(tombstone(X, NOW - 50)))]))
    lone.durable()
    for _ in range(50):
        lone.after(0.1)
        lone.durable()
    lone.home.horizons.adopt(partition, NOW)
    lone.home.horizons.collect(partition, NOW)
    assert lone.home.forest.rows(partition) == 1
    lone.node.collector.sweeper.begin(partition)
    lone.step(e.Stop())
    lone.store.begin()
    assert lone.after(0.02) == [], "the alarm that was set before rings while the disk works"
    for after in lone.store.finish():
        assert not isinstance(after, e.Send)
        lone.step(after)
    lone.durable()
    assert lone.row in lone.store.rows
    assert row_keys.tree_row(partition) in lone.store.rows
    assert lone.after(60.0) == []
    assert lone.node.next_deadline() == float("inf")
