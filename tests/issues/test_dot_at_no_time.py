"""A record with a dot at time 0 was accepted, though no context covers such a dot by an entry and
every context covers it by having none: joined with a replica that knew nothing, it disappeared.
"""

from __future__ import annotations

import pytest

from dynamokv.causality.versions import Dot, KeyState, Version
from dynamokv.types import Actor
from dynamokv.wire import record as records

A, B = Actor(b"a" * 8), Actor(b"b" * 8)


@pytest.mark.parametrize("context", [{}, {A: 5}, {B: 5}])
def test_refused(context: dict[Actor, int]) -> None:
    record = records.encode(KeyState((Version(Dot(A, 0), b"value"),), context))
    with pytest.raises(ValueError, match="outside of its context"):
        records.decode(record)
    with pytest.raises(ValueError, match="outside of its context"):
        records.join_records(None, record)
