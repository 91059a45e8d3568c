"""Two threads that closed one handle at the same time: one of them waited for ever.

The second one stopped the loop in the middle of the first one's close, whose coroutine then never
ended. A call that came at that moment could hang in the same way, for its timeout and two seconds
more. What is handed to the loop before its end is now served, and whoever comes later is told.
"""

from __future__ import annotations

import threading

import dynamokv


def test_both_return() -> None:
    for _ in range(20):
        kv = dynamokv.join(durability="os")
        threads = [threading.Thread(target=kv.close) for _ in range(4)]
        threads += [threading.Thread(target=ask, args=(kv,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20.0)
            assert not thread.is_alive()


def ask(kv: dynamokv.Node) -> None:
    try:
        while True:
            kv.status()
            kv.put("k", 1)
    except dynamokv.ClosedError:
        pass
