"""A context from ``SiblingsError`` at level ONE was refused by the put that it was for.

The short cut for local reads has no checksum to give, so with the resolver ``keep_all`` the context
in the error was worthless: ``InvalidContext``, "not given by this ring for this key". Such reads
now take the long way.
"""

from __future__ import annotations

import pytest

import dynamokv


def test_siblings_met_at_one_can_be_merged() -> None:
    with dynamokv.join("127.0.0.1:0") as kv:
        strict = kv.bucket("strict", resolver="keep_all")
        strict.put("k", 1)
        context = strict.read("k").context
        strict.put("k", 2, context=context)
        strict.put("k", 3, context=context)
        with pytest.raises(dynamokv.SiblingsError) as met:
            strict.get("k", consistency="ONE")
        strict.put("k", sum(met.value.values), context=met.value.context)
        assert strict.get("k", consistency="ONE") == 5
