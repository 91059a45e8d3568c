"""``batch_get("user")`` asked for the keys "u", "s", "e" and "r", since a text is an iterable of
texts, and answered None for each. It is now refused, as is one key given as bytes."""

from __future__ import annotations

import pytest

import dynamokv


@pytest.mark.parametrize("keys", ["user", b"user"])
def test_one_key_is_no_batch(keys: str | bytes) -> None:
    with dynamokv.join("127.0.0.1:0") as kv:
        with pytest.raises(dynamokv.UsageError, match="several keys"):
            kv.batch_get(keys)  # type: ignore[arg-type]
        with pytest.raises(dynamokv.UsageError, match="several keys"):
            kv.batch_delete(keys)  # type: ignore[arg-type]
        assert kv.batch_get(["user"]) == {"user": None}
