"""A start that was cancelled in the very moment in which its store was open left the store open:
its threads ran on, and its directory stayed locked."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dynamokv.runtime.thread import in_thread
from tests.waiting import until_async


@pytest.mark.asyncio
async def test_what_nobody_took_is_given_up() -> None:
    given_up: list[str] = []
    task = asyncio.create_task(in_thread("opening", lambda: "store", given_up.append))
    await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name == "opening":
            # The loop rests meanwhile, so that the result waits in its queue.
            thread.join()
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_async(lambda: given_up, "it is given up")
    assert given_up == ["store"]
