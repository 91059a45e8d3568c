"""A member without a data directory, closed and joined again at its address, was refused.

The README said so: it could not come back. Its place was that of its former self, for ever.
"""

from __future__ import annotations

import pytest

import dynamokv


def test_it_comes_back_and_is_filled() -> None:
    a = dynamokv.join("127.0.0.1:0")
    b = dynamokv.join("127.0.0.1:0", seeds=[a.address])
    c = dynamokv.join("127.0.0.1:0", seeds=[a.address])
    try:
        for number in range(100):
            a.put(f"key-{number}", number)
        address, old_id = c.address, c.node_id
        c.close()
        a.put("meanwhile", "yes")
        c = dynamokv.join(address, seeds=[a.address])
        assert c.node_id != old_id
        assert [c.get(f"key-{number}", consistency="ONE") for number in range(100)] == list(
            range(100)
        )
        assert c.get("meanwhile", consistency="ONE") == "yes"
        assert c.put("after", 1, consistency="ALL").acks == 3
        assert len(a.status()["members"]) == 3
    finally:
        for member in (a, b, c):
            member.close()


def test_who_is_not_where_it_says_gets_no_place_and_hears_why() -> None:
    with dynamokv.join("127.0.0.1:0") as a, dynamokv.join("127.0.0.1:0", seeds=[a.address]) as b:
        gone, node_id = b.address, b.node_id
        b.close()
        with pytest.raises(dynamokv.JoinTimeout, match=f"asking who is at {gone}"):
            dynamokv.join("127.0.0.1:0", advertise=gone, seeds=[a.address], timeout=1.5)
        assert node_id in a.status()["members"]
