"""``for key in kv`` asked for the keys 0, 1, 2 and so on, and complained about the type of 0."""

from __future__ import annotations

import pytest

from dynamokv import UsageError
from dynamokv.testing.ring import Ring


def test_keys_cannot_be_listed() -> None:
    with Ring(1) as ring:
        for store in (ring[0], ring[0].bucket("b")):
            with pytest.raises(UsageError, match="keys cannot be listed"):
                list(store)
