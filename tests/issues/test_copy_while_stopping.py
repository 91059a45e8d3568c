"""A copy that a member took while it was being closed, before its last words, was in its store and
in none of the trees that it kept."""

from __future__ import annotations

from dynamokv.protocol import effects as e
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.protocol.lone import ELSE, NOW, Lone, only, record


def test_no_copy_is_taken_from_the_stop_on() -> None:
    lone = Lone()
    for _ in range(50):
        lone.after(0.1)
        lone.durable()
    partition = row_keys.partition_of(lone.row)
    lone.step(e.Stop())
    lone.store.begin()
    late = record((ELSE, NOW - 9, b"late"))
    copy = m.Replicate(5, lone.home.epoch, 5000, [lone.row], [late])
    refused = only(m.Refused, lone.receive(lone.peers[0], copy))
    assert refused == (5, m.RefusedReason.NOT_READY, "closing")
    for after in lone.store.finish():
        assert not isinstance(after, e.Send)
        lone.step(after)
    lone.durable()
    assert lone.row not in lone.store.rows
    assert row_keys.tree_row(partition) in lone.store.rows
