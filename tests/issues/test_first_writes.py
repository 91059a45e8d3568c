"""Two first writes of a key, each of which had seen that there was nothing, and one of them was
gone.

The context of a key that was never written was ``b""``, and a put with an empty context counted as
one without: it replaced what it had not seen. ``update()`` on a new key lost a concurrent write in
the same way, although it promises to keep it. Such a read now gives a context that has seen
nothing.
"""

from __future__ import annotations

from typing import Any

import dynamokv


def test_two_first_writes_are_siblings() -> None:
    with dynamokv.join("127.0.0.1:0") as kv:
        context = kv.read("k").context
        kv.put("k", "one", context=context)
        kv.put("k", "two", context=context)
        assert sorted(kv.read("k").values) == ["one", "two"]


def test_an_update_of_a_new_key_keeps_a_concurrent_write() -> None:
    with dynamokv.join("127.0.0.1:0") as kv:

        def change(_: Any) -> str:
            kv.put("k", "meanwhile")
            return "mine"

        kv.update("k", change)
        assert sorted(kv.read("k").values) == ["meanwhile", "mine"]
