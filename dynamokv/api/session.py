"""A face's hold on its running process: opened once, closed once, refused after a fork.

``request`` and ``requests`` are for the loop that the runtime lives on; ``call`` and ``call_all``
for any other thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from dynamokv.errors import ClosedError, ForkedError, Indeterminate, ReadFailed, UsageError
from dynamokv.protocol.batch import group
from dynamokv.runtime.loop import Runtime
from dynamokv.runtime.thread import Handoff
from dynamokv.wire import messages as m

ANSWER_GRACE_SECONDS = 2.0
"""The loop answers every request by its deadline; a thread waits so much longer before it gives the
loop up for stuck."""


class Session:
    """One process in the ring, as its face uses it."""

    def __init__(self, opener: Callable[[], Awaitable[Runtime]], hint: str) -> None:
        self._opener = opener
        self._hint = hint
        self._pid = os.getpid()
        self._runtime: Runtime | None = None
        self._opening: asyncio.Lock | None = None
        self._closed = False

    # --- life -------------------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether the runtime was opened, and not closed since."""
        return self._runtime is not None

    def running(self) -> Runtime:
        """The runtime. Raises ``ForkedError`` or ``ClosedError`` when there is none to use."""
        if os.getpid() != self._pid:
            raise ForkedError(
                "this handle was opened before fork(), and threads and sockets do not survive a "
                "fork: open a new one in the child (with gunicorn --preload: in post_fork; with "
                "multiprocessing: use 'spawn', or open it there)"
            )
        if self._runtime is None:
            raise ClosedError(
                "this handle was closed: open a new one" if self._closed else self._hint
            )
        return self._runtime

    async def open(self) -> Runtime:
        """Open, if nobody has; on the running loop."""
        if self._closed or os.getpid() != self._pid:
            return self.running()
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._runtime is None:
                self._runtime = await self._opener()
        return self._runtime

    async def close(self) -> None:
        """Close; a second call does nothing. In a forked child there is nothing to close."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await runtime.close()

    # --- for calls --------------------------------------------------------------------------------

    def read_here(self, name: bytes) -> bytes | None:
        """This process's own copy, ``b""`` for none; ``None`` when it owns no copy. Any thread."""
        runtime = self.running()
        home = runtime.home
        key, owners = home.locate(name)
        if home.node_id not in owners:
            return None
        return home.reader.visible(key) or b""

    def group(self, names: list[bytes], sizes: list[int]) -> list[list[int]]:
        """Positions of the names, grouped by their owners. Any thread."""
        return group(self.running().home, names, sizes)

    # --- on the loop ------------------------------------------------------------------------------

    async def request(self, message: Any) -> Any:
        """Run one request. Cancelled, it is forgotten: no later caller gets its reply."""
        runtime = self._here()
        future: asyncio.Future[m.Message] = runtime.loop.create_future()
        ticket = runtime.submit(message, future)
        try:
            return await future
        except asyncio.CancelledError:
            runtime.forget(ticket)
            raise

    async def requests(self, messages: list[Any]) -> list[Any]:
        """Run requests together."""
        runtime = self._here()
        futures: list[asyncio.Future[m.Message]] = [runtime.loop.create_future() for _ in messages]
        tickets = [runtime.submit(*pair) for pair in zip(messages, futures, strict=True)]
        try:
            return [await future for future in futures]
        finally:
            for ticket, future in zip(tickets, futures, strict=True):
                if not future.done():
                    future.cancel()
                    runtime.forget(ticket)

    def _here(self) -> Runtime:
        runtime = self.running()
        if asyncio.get_running_loop() is not runtime.loop:
            raise UsageError(
                "this handle belongs to another event loop: open one on each loop that uses it"
            )
        return runtime

    # --- from another thread ----------------------------------------------------------------------

    def call(self, message: Any) -> Any:
        """Run one request and wait for it."""
        return self.call_all([message])[0]

    def call_all(self, messages: list[Any]) -> list[Any]:
        """Run requests together and wait for all."""
        runtime = self.running()
        handoffs = [Handoff() for _ in messages]
        try:
            runtime.loop.call_soon_threadsafe(_submit_all, runtime, messages, handoffs)
        except RuntimeError as error:
            raise ClosedError("this handle was closed: open a new one") from error
        try:
            return [
                handoff.wait(message.budget_ms / 1000 + ANSWER_GRACE_SECONDS)
                for message, handoff in zip(messages, handoffs, strict=True)
            ]
        except TimeoutError as error:
            if isinstance(error, (Indeterminate, ReadFailed)):
                raise
            kind = Indeterminate if isinstance(messages[0], m.PutRequest) else ReadFailed
            raise kind(
                1, 0, (), "this process's own loop did not answer: is something holding the GIL?"
            ) from error
        except BaseException:
            runtime.loop.call_soon_threadsafe(_forget_all, runtime, handoffs)
            raise


def _submit_all(runtime: Runtime, messages: list[Any], handoffs: list[Handoff]) -> None:
    for message, handoff in zip(messages, handoffs, strict=True):
        handoff.ticket = runtime.submit(message, handoff)


def _forget_all(runtime: Runtime, handoffs: list[Handoff]) -> None:
    for handoff in handoffs:
        runtime.forget(handoff.ticket)
