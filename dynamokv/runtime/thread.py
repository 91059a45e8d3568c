"""Threads: a loop on one of its own for the blocking faces, the way a call gets there and back, and
jobs that may block.

Rules:
    - The hand-over is one ``call_soon_threadsafe`` and one lock: three times cheaper than
      ``run_coroutine_threadsafe``, which makes a task, two futures and a condition for every call.
    - What is handed over before ``stop`` runs before the loop ends; whoever comes later is told so.
      Nobody waits for a loop that is gone.
    - Jobs that may block get a daemon thread each, never asyncio's pool: that one refuses work once
      the interpreter shuts down, which is when a member that was not closed closes, and the
      application's ``asyncio.run`` would wait for it for as long as a disk is stuck.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from dynamokv import limits
from dynamokv.errors import ClosedError
from dynamokv.wire.messages import Message

T = TypeVar("T")

log = logging.getLogger("dynamokv.runtime")

CLOSED = "this handle was closed: open a new one"


class Handover:
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
        if not self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
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
        self._gate = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether there is a loop to hand work to; not in a forked child."""
        return self._thread.is_alive()

    def post(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Have the loop call this soon. Raises ``ClosedError`` after ``stop``."""
        with self._gate:
            if self._stopping:
                raise ClosedError(CLOSED)
            self.loop.call_soon_threadsafe(callback, *arguments)

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Run a coroutine there, and wait for it, or for so long. Given up (Ctrl-C, or
        ``TimeoutError``), it is cancelled there."""
        try:
            with self._gate:
                if self._stopping:
                    raise ClosedError(CLOSED)
                future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except ClosedError:
            coroutine.close()
            raise
        try:
            return future.result(seconds)
        except concurrent.futures.CancelledError:
            raise ClosedError(CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a plain function there, and wait for it."""

        async def run() -> T:
            return function(*arguments)

        return self.run(run())

    def end(self, last: Coroutine[Any, Any, None]) -> None:
        """Run a last coroutine, and stop. A loop that something holds is left to itself."""
        until = time.monotonic() + limits.CLOSE_SECONDS_MAX
        try:
            with contextlib.suppress(ClosedError):  # another thread is at it
                self.run(last, limits.CLOSE_SECONDS_MAX)
        except TimeoutError:
            log.warning("closing goes on by itself: something holds the loop, or the GIL")
        finally:
            self.stop(max(0.0, until - time.monotonic()))

    def stop(self, seconds: float = limits.CLOSE_SECONDS_MAX) -> None:
        """End the loop and the thread, and wait for that, or for so long; whatever still runs there
        is cancelled."""
        if not self._thread.is_alive():
            return
        with self._gate:
            if not self._stopping:
                self._stopping = True
                self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


async def in_thread(
    name: str,
    job: Callable[[], T],
    abandoned: Callable[[T], None] = lambda _: None,
    *,
    patience: float = 0.0,
) -> T:
    """Run what may block in a thread of its own. Cancelled, it goes on by itself, and its result
    goes to ``abandoned``; that is waited for so many seconds, before the cancellation goes on."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    over = asyncio.Event()

    def give_up(result: T) -> None:
        try:
            abandoned(result)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is gone by now
                loop.call_soon_threadsafe(over.set)

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            if error is None:
                _start("dynamokv-abandoned", lambda: give_up(result))  # type: ignore[arg-type]
            else:
                over.set()
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = job()
        except BaseException as raised:  # whoever waits for the job gets it
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop is gone, and with it whoever waited
            if error is None:
                abandoned(result)  # type: ignore[arg-type]

    _start(name, work)
    try:
        return await done
    except asyncio.CancelledError:
        if done.done() and not done.cancelled() and done.exception() is None:
            # It came in the very moment of the cancellation.
            _start("dynamokv-abandoned", lambda: give_up(done.result()))
        if patience:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await over.wait()
        raise


def _start(name: str, job: Callable[[], None]) -> None:
    try:
        threading.Thread(target=job, name=name, daemon=True).start()
    except RuntimeError:
        # From Python 3.12 on, an interpreter that shuts down starts no more threads.
        with contextlib.suppress(Exception):
            job()
