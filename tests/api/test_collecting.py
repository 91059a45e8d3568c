"""A deleted key leaves nothing behind, in a ring of real members; and their status shows it."""

from __future__ import annotations

import dynamokv
from tests.waiting import until


def test_what_was_deleted_goes_from_all_stores() -> None:
    seed = "127.0.0.1:0"
    first = dynamokv.join(seed, n=2, expect_members=1, tombstone_grace=0.2)
    second = dynamokv.join("127.0.0.1:0", seeds=(first.address,), n=2, tombstone_grace=0.2)
    with first, second:
        first.put("gone", 1)
        first.delete("gone")
        first.put("ends", 1, ttl=0.1)
        first.put("stays", 1)

        def only_one_is_left() -> bool:
            both = first, second
            gone = [member.metrics()["counters"].get("collected", 0) for member in both]
            return gone == [2, 2] and [it.status()["trees"]["rows"] for it in both] == [1, 1]

        until(only_one_is_left, "the rows of both deleted keys are gone", seconds=60.0)
        assert first.get("stays") == second.get("stays") == 1
        assert second.get("gone", None) is None
        assert first.status()["horizons"]["partitions"] >= 1
        assert first.metrics()["counters"]["collected"] == 2
