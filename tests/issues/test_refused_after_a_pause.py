"""A client whose machine was suspended, or stood still for a moment, had all its requests refused
as expired or overloaded for half a minute afterwards. So had a stranger who came an hour after
somebody who was late."""

from __future__ import annotations

from dynamokv.protocol.load.transit import Transit
from tests.protocol.load.test_transit import Way


def test_a_stranger_does_not_stand_in_a_queue_of_an_hour_ago() -> None:
    transit = Transit()
    old, new = Way(transit), Way(transit, b"other")
    old.arrive(100.0, 1)
    old.arrive(101.0, 500)
    new.arrive(3700.0, 1)
    assert not transit.is_behind(3700.0)


def test_after_its_machine_slept_a_sender_is_served_within_two_seconds() -> None:
    transit = Transit()
    way = Way(transit)
    for second in range(20):
        way.arrive(100.0 + second, 1)
    way.offset_ms -= 60_000
    refused = []
    for second in range(60):
        way.arrive(180.0 + second, 1)
        if transit.is_over(b"peer", 5000):
            refused.append(second)
    assert refused in ([0], [0, 1])


def test_a_pause_of_the_only_client_is_no_queue() -> None:
    transit = Transit()
    way = Way(transit)
    for tenth in range(200):
        way.arrive(100.0 + tenth / 10, 1)
    way.offset_ms -= 150
    refused = 0
    for tenth in range(600):
        way.arrive(120.15 + tenth / 10, 1)
        refused += transit.is_behind(120.15 + tenth / 10)
    assert refused < 20
