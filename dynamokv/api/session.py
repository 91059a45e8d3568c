"""A face's hold on its running process: opened once, closed once, refused after a fork.

``request`` and ``requests`` are for the loop that the runtime lives on; ``call`` and ``call_all``
for any other thread.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any

from dynamokv.errors import (
    ClosedError,
    ForkedError,
    Indeterminate,
    ReadFailed,
    StorageError,
    UsageError,
)
from dynamokv.protocol.requests.batch import group
from dynamokv.runtime.loop import Runtime
from dynamokv.runtime.status import Process
from dynamokv.runtime.thread import CLOSED, Handover, LoopThread
from dynamokv.wire import messages as m

ANSWER_GRACE_SECONDS = 2.0
"""The loop answers every request by its deadline; a thread waits so much longer before it gives the
loop up for stuck."""


class Access(abc.ABC):
    """What faces ask of their process, whoever drives it: ``Session`` has it run on a loop, the
    simulator (``testing``) in virtual time."""

    @property
    @abc.abstractmethod
    def opened(self) -> bool:
        """Whether the process was opened, and not closed since."""

    @abc.abstractmethod
    def running(self) -> Process:
        """The process. Raises a ``HandleError`` when there is none to use."""

    def read_here(self, name: bytes) -> bytes | None:
        """This process's own copy, ``b""`` for none; ``None`` when it owns no copy, or cannot read
        it. Any thread."""
        home = self.running().home
        key, owners = home.locate(name)
        if home.node_id not in owners:
            return None
        try:
            return home.reader.visible(key) or b""
        except StorageError:
            # Another owner has it. The store has said what is wrong with it.
            return None

    def group(self, names: list[bytes], sizes: list[int], *, writes: bool) -> list[list[int]]:
        """Positions of the names, grouped by who serves them together. Any thread."""
        return group(self.running().home, names, sizes, writes=writes)

    async def request(self, message: Any) -> Any:
        """Run one request. Cancelled, it is forgotten: no later caller gets its reply."""
        return (await self.requests([message]))[0]

    @abc.abstractmethod
    async def requests(self, messages: list[Any]) -> list[Any]:
        """Run requests together. The first error is raised when all are over."""

    def call(self, message: Any) -> Any:
        """Run one request and wait for it."""
        return self.call_all([message])[0]

    @abc.abstractmethod
    def call_all(self, messages: list[Any]) -> list[Any]:
        """Run requests together and wait for all."""


class Session(Access):
    """One process in the ring, as its face uses it. ``thread`` runs the loop of a blocking face."""

    def __init__(
        self,
        opener: Callable[[], Coroutine[Any, Any, Runtime]],
        hint: str,
        thread: LoopThread | None = None,
    ) -> None:
        self._opener = opener
        self._hint = hint
        self._thread = thread
        self._pid = os.getpid()
        self._runtime: Runtime | None = None
        self._turn: asyncio.Lock | None = None
        self._attempt: asyncio.Task[Runtime] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closed = False

    # --- life -------------------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether the runtime was opened, and not closed since."""
        return self._runtime is not None

    def running(self) -> Runtime:
        """The runtime. Raises ``ForkedError`` or ``ClosedError`` when there is none to use."""
        if self._runtime is None:
            raise ClosedError(CLOSED if self._closed else self._hint)
        if os.getpid() != self._pid:
            raise ForkedError(
                "this handle was opened before fork(), and threads and sockets do not survive a "
                "fork: open a new one in the child (with gunicorn --preload: in post_fork; with "
                "multiprocessing: use 'spawn', or open it there)"
            )
        return self._runtime

    async def open(self) -> Runtime:
        """Open, if nobody has; on the running loop. Closed meanwhile, it raises ``ClosedError``."""
        if self._closed or self._runtime is not None:
            return self.running()
        if self._turn is None or os.getpid() != self._pid:
            # A handle that was only made before a fork belongs to whoever opens it.
            self._turn, self._pid = asyncio.Lock(), os.getpid()
        async with self._turn:
            if self._runtime is None and not self._closed:
                self._attempt = asyncio.create_task(self._opener())
                try:
                    self._runtime = await self._attempt
                except asyncio.CancelledError:
                    if not self._closed:
                        raise
                finally:
                    self._attempt = None
        return self.running()

    async def close(self) -> None:
        """Close, also while it opens; every call returns when all is closed. In a forked child
        there is nothing to close."""
        if self._runtime is not None and os.getpid() != self._pid:
            return
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
        if self._turn is not None and self._turn.locked():
            async with self._turn:
                pass
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            if runtime.loop.is_closed():
                await runtime.abandon()
                return
            if runtime.loop is not asyncio.get_running_loop():
                self._runtime, self._closed = runtime, False
                raise UsageError("this handle belongs to another event loop: close it there")
            self._ending = asyncio.create_task(runtime.close())
        if self._ending is not None and not self._ending.done():
            # Also when this call is given up, the rest is closed.
            await asyncio.shield(self._ending)

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
        """Run requests together. The first error is raised when all are over."""
        runtime = self._here()
        futures: list[asyncio.Future[m.Message]] = [runtime.loop.create_future() for _ in messages]
        tickets = [runtime.submit(*pair) for pair in zip(messages, futures, strict=True)]
        try:
            replies = await asyncio.gather(*futures, return_exceptions=True)
        except asyncio.CancelledError:
            for ticket in tickets:
                runtime.forget(ticket)
            raise
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies

    def _here(self) -> Runtime:
        runtime = self.running()
        if asyncio.get_running_loop() is not runtime.loop:
            raise UsageError(
                "this handle belongs to another event loop: open one on each loop that uses it"
            )
        return runtime

    # --- from another thread ----------------------------------------------------------------------

    def call_all(self, messages: list[Any]) -> list[Any]:
        """Run requests together and wait for all."""
        runtime, thread = self.running(), self._thread
        assert thread is not None, "only blocking faces call from other threads"
        handovers = [Handover() for _ in messages]
        thread.post(_submit_all, runtime, messages, handovers)
        try:
            return [
                handover.wait(message.budget_ms / 1000 + ANSWER_GRACE_SECONDS)
                for message, handover in zip(messages, handovers, strict=True)
            ]
        except BaseException as error:
            # Closed meanwhile, there is nothing to forget.
            with contextlib.suppress(ClosedError):
                thread.post(_forget_all, runtime, handovers)
            if type(error) is not TimeoutError:
                raise
            kind = Indeterminate if isinstance(messages[0], m.PutRequest) else ReadFailed
            text = "this process's own loop did not answer: is something holding the GIL?"
            raise kind(1, 0, (), text) from None


def _submit_all(runtime: Runtime, messages: list[Any], handovers: list[Handover]) -> None:
    for message, handover in zip(messages, handovers, strict=True):
        handover.ticket = runtime.submit(message, handover)


def _forget_all(runtime: Runtime, handovers: list[Handover]) -> None:
    for handover in handovers:
        runtime.forget(handover.ticket)
