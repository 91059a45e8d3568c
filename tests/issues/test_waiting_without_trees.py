"""A member that was just started had compared nothing, and ``waiting`` was 0 as soon as its peers
were there and its trees were not: who waited for that read old copies."""

from __future__ import annotations

from dynamokv.testing.ring import Ring


def test_what_has_no_tree_yet_waits() -> None:
    with Ring(3) as ring:
        ring[0].put("key", 0)
        ring.crash(2)
        ring[0].put("key", 1)
        ring.restart(2)
        looks = 0
        while (trees := ring[2].status()["trees"])["unknown"]:
            assert trees["waiting"] > 0
            looks += 1
            ring.advance(0.01)
        assert looks
        for _ in range(1000):
            if not ring[2].status()["trees"]["waiting"]:
                break
            ring.advance(0.01)
        assert ring[2].get("key", consistency="ONE") == 1
