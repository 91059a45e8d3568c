"""A ring of two with one member down took no third in, though it could.

A newcomer waited until it had read a majority of the others to the end, here both. One is enough:
what was acknowledged at QUORUM in a ring of two is at both. In general, ``ceil(others / 2)`` of
them hold every write that a majority acknowledged (``Fill.whole`` in
``protocol/membership/transfer.py``).
"""

from __future__ import annotations

import dynamokv


def test_a_third_member_joins_while_one_of_two_is_down() -> None:
    with dynamokv.join("127.0.0.1:0") as a:
        b = dynamokv.join("127.0.0.1:0", seeds=[a.address])
        a.put("k", "v")
        b.close()
        with dynamokv.join("127.0.0.1:0", seeds=[a.address], timeout=3.0) as c:
            assert c.get("k") == "v"
