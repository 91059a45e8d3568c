"""A read had taken its own copy when it began, and held what another owner showed against that when
the horizon of their partition had risen meanwhile. A value that had come to it in between was below
that horizon, and not in the copy: the read took it for deleted, and its repair deleted it, though
it was acknowledged and nobody had seen it.

Seed 585: the answer that a read waited for was late by a second.
"""

from __future__ import annotations

from dynamokv.testing.campaign.plan import Plan
from dynamokv.testing.campaign.run import replay
from dynamokv.wire import messages as m
from dynamokv.wire.keys import partition_of
from tests.protocol.lone import ELSE, NOW, Lone, record, reply, sent

VALUE = record((ELSE, NOW, b"acknowledged by the others"))


def test_what_came_before_the_horizon_rose_is_not_deleted() -> None:
    lone = Lone()
    ((peer, asked),) = sent(m.Fetch, lone.get()).items()
    lone.hold(VALUE)
    lone.home.horizons.adopt(partition_of(lone.row), NOW + 1)
    assert reply(lone.receive(peer, m.Fetched(asked.id, [VALUE]))).records == [VALUE]


def test_seed_585() -> None:
    replay(
        Plan(
            seed=585,
            clients=3,
            hedge_after=1.0,
            tombstone_grace=0.3,
            hot_keys=2,
            cold_keys=10,
            seconds=2.2,
            families=(("very late", 3.0),),
        )
    )
