"""An asyncio handle dropped without ``aclose()`` hung its process in the garbage collector.

Its ZeroMQ context was collected before its sockets, and a context waits for its sockets. Where that
did not happen, libzmq's own thread went on answering heartbeats, so that peers took the process for
alive. Now the sockets are closed with the handle, and a ``ResourceWarning`` says who forgot it.
"""

from __future__ import annotations

import asyncio
import gc
import warnings

import dynamokv
from tests.transport.ends import native_threads
from tests.waiting import until


def test_it_is_closed_when_it_is_collected() -> None:
    with dynamokv.join() as node:
        threads = native_threads()

        async def forgetful() -> None:
            kv = dynamokv.DistributedKVStore([node.address])
            await kv.put("k", 1)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            asyncio.run(forgetful())
            gc.collect()
            until(lambda: native_threads() <= threads, "libzmq's threads are gone")
        assert any("dropped without being closed" in str(found.message) for found in caught)
