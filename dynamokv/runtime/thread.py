"""A loop on a thread of its own, for the blocking faces, and the way a call gets there and back.

The hand-over is one ``call_soon_threadsafe`` and one lock: three times cheaper than
``run_coroutine_threadsafe``, which makes a task, two futures and a condition for every call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from dynamokv.errors import ClosedError
from dynamokv.wire.messages import Message

T = TypeVar("T")


class Handoff:
    """A future for one waiting thread."""

    __slots__ = ("_error", "_lock", "_result", "ticket")

    def __init__(self) -> None:
        self.ticket = 0
        self._lock = threading.Lock()
        self._lock.acquire()
        self._result: Message | None = None
        self._error: Exception | None = None

    def done(self) -> bool:
        """Whether a result is there."""
        return not self._lock.locked()

    def set_result(self, result: Message, /) -> None:
        """Called on the loop's thread."""
        self._result = result
        self._lock.release()

    def set_exception(self, exception: Exception, /) -> None:
        """Called on the loop's thread."""
        self._error = exception
        self._lock.release()

    def wait(self, seconds: float) -> Message:
        """Called by the waiting thread. Raises ``TimeoutError`` when the loop does not answer."""
        if not self._lock.acquire(timeout=seconds):
            raise TimeoutError
        self._lock.release()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class LoopThread:
    """A daemon thread that runs one loop until ``stop``."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and wait for it."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()
        except RuntimeError as error:
            coroutine.close()
            raise ClosedError("this handle was closed: open a new one") from error

    @property
    def alive(self) -> bool:
        """Whether there is a loop to hand work to; not in a forked child."""
        return self._thread.is_alive()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a plain function there, and wait for it."""

        async def run() -> T:
            return function(*arguments)

        return self.run(run())

    def stop(self) -> None:
        """End the loop and the thread."""
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
