"""A resolver that raised for one key of a batch took the values of the others along."""

from __future__ import annotations

from typing import Any

import pytest

from dynamokv.testing.ring import Ring


def only_numbers(values: list[Any]) -> int:
    return sum(values)


def test_the_other_keys_are_read() -> None:
    with Ring(3) as ring:
        bucket = ring[0].bucket("b", resolver=only_numbers)
        for key, second in (("good", 2), ("bad", "two")):
            context = bucket.read(key).context
            bucket.put(key, 1, context=context)
            bucket.put(key, second, context=context)
        found = bucket.batch_get(["good", "bad"])
        assert found == {"good": 3}
        assert type(found.errors["bad"]) is TypeError
        with pytest.raises(TypeError):
            found.raise_for_errors()
