"""``timeout=float("inf")`` raised ``OverflowError``, and so did any of more than 300 years.

Neither is a mistake of the caller: it is how people write "wait as long as it takes". ``ttl`` had
the same fault. Both are now cut to what a message can carry, 557 years.
"""

from __future__ import annotations

import pytest

import dynamokv

LONG = [1e9, 1e10, 1e11, 1e300, float("inf"), 10**400]


@pytest.mark.parametrize("seconds", LONG, ids=lambda value: str(value)[:8])
def test_long_is_long(seconds: float) -> None:
    with dynamokv.join(timeout=seconds, durability="os") as kv:
        kv.put("k", 1, timeout=seconds, ttl=seconds)
        assert kv.get("k", timeout=seconds) == 1
        assert kv.bucket("b", ttl=seconds, timeout=seconds).get("k") is None
        with dynamokv.connect([kv.address], timeout=seconds) as client:
            assert client.get("k", timeout=seconds) == 1
