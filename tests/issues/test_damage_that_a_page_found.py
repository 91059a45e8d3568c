"""A giver that could not read a row for a page refused it, and did not note which partition cannot
be read: nobody brought the row back, and each page of it was refused until a slow check of the
trees came by, hours later with many partitions."""

from __future__ import annotations

import pytest

from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.keys import name_of, row_key
from tests.protocol.lone import ELSE, NOW, Lone, only, record

ROW = row_key(5, name_of(b"", b"key"))


@pytest.mark.parametrize("how", ["list", "read"])
def test_its_partition_is_unreadable_at_once(how: str) -> None:
    lone = Lone()
    lone.store.rows[ROW] = record((ELSE, NOW - 9, b"v"))
    if how == "list":
        lone.store.disk.damaged.add(ROW)
    else:
        lone.node.giver.listed[lone.peers[0]] = 5, [ROW]
        lone.store.disk.damaged.add(ROW)
    start = row_keys.FIRST_DATA_ROW if how == "list" else ROW
    refused = only(m.Refused, lone.receive(lone.peers[0], m.Scan(7, 1, start)))
    assert refused.reason == m.RefusedReason.STORAGE
    assert lone.home.forest.unreadable.keys() == {5}
    assert lone.home.counters["damaged_reads"] == 1
