"""A value that was accepted and could never be read again: sets, nested a hundred deep.

CBOR has a set as a tag around a list, which counts twice in the depth that the decoder allows, and
so do some atoms. The limit for writing and the limit for reading were not the same limit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import dynamokv
from dynamokv import limits


@pytest.mark.parametrize("innermost", [1, Decimal("1.5"), 2**70])
def test_the_deepest_value_comes_back(innermost: Any) -> None:
    value: Any = innermost
    for _ in range(limits.VALUE_DEPTH_MAX - 1):
        value = frozenset([value])
    with dynamokv.join(durability="os") as kv:
        kv.put("k", {value})
        assert kv.get("k") == {value}
        with pytest.raises(dynamokv.SerializationError, match="nested deeper"):
            kv.put("k", [{value}])
