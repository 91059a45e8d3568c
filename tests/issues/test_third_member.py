"""A ring of two with one member down takes no third in, though it could; and who tries is stuck in
it.

A newcomer waits until it has read a majority of the others to the end, here both. One is enough:
what was acknowledged at QUORUM in a ring of two is at both. In general, ``ceil(others / 2)`` of
them hold every write that a majority acknowledged (``Fill.whole`` in ``protocol/transfer.py``).
"""

from __future__ import annotations

import pytest

import dynamokv


@pytest.mark.xfail(
    strict=True, raises=dynamokv.JoinTimeout, reason="a newcomer waits for a majority of the others"
)
def test_a_third_member_joins_while_one_of_two_is_down() -> None:
    with dynamokv.join("127.0.0.1:0") as a:
        b = dynamokv.join("127.0.0.1:0", seeds=[a.address])
        a.put("k", "v")
        b.close()
        with dynamokv.join("127.0.0.1:0", seeds=[a.address], timeout=3.0) as c:
            assert c.get("k") == "v"
