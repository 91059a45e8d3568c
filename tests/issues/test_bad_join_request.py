"""One join request with a weight of 0 stopped a ring from growing for ever.

The record refuses such a member, with an exception in the middle of the decision: the driver went
on believing that it was deciding.
"""

from __future__ import annotations

from typing import Any

import pytest

from dynamokv.wire.messages import JoinReason
from tests.protocol.joining import ROUTE, answered, decided, request, seeking
from tests.protocol.lone import Lone

BAD: list[dict[str, Any]] = [{"weight": 0}, {"weight": 2**63}, {"address": ""}]


@pytest.mark.parametrize("changes", BAD)
def test_the_next_one_is_taken_in(changes: dict[str, Any]) -> None:
    lone = Lone(2)
    assert answered(lone.receive(ROUTE, request(7, **changes)))[0] == JoinReason.MISMATCH
    assert decided(lone.receive(ROUTE, request(7)))


@pytest.mark.parametrize("changes", BAD)
def test_a_founder_says_no_as_well(changes: dict[str, Any]) -> None:
    bench = seeking(expect_members=2)
    assert answered(bench.receive(ROUTE, request(7, **changes)))[0] == JoinReason.MISMATCH
