"""One process's part in the ring, on one asyncio loop: core, transport, store and timers put
together.

Everything here runs on the loop's thread, except what says otherwise. ``api`` talks to it through
``submit``; a blocking face does so from another thread with ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from dynamokv import limits
from dynamokv.errors import ClosedError
from dynamokv.protocol import effects as e
from dynamokv.protocol.state.home import Home
from dynamokv.runtime.alarm import Alarm
from dynamokv.runtime.arrival import Arrival, Arriving
from dynamokv.runtime.background import Background
from dynamokv.runtime.committer import Committer
from dynamokv.runtime.executor import Executor
from dynamokv.runtime.latency import Window
from dynamokv.runtime.thread import in_thread
from dynamokv.transport.zeromq import ZeroMQTransport
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message

log = logging.getLogger("dynamokv.runtime")


class Waiter(Protocol):
    """Who waits for a reply: an asyncio future, or its blocking twin."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Message, /) -> None:
        """Hand over."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Fail."""
        ...


class Runtime:
    """A running core. ``committer`` is None for a client."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        core: Arriving,
        transport: ZeroMQTransport,
        committer: Committer | None,
        describe: Callable[[Runtime], bytes],
    ) -> None:
        self.loop = loop
        self.core = core
        self.home: Home = core.home
        self.committer = committer
        self.background = Background(loop)
        self.reads = Window()
        self.writes = Window()
        self.closed = False
        self._describe = describe
        self.arrival = Arrival(loop, core, member=committer is not None)
        self.alarm = Alarm(loop, self._tick)
        self._waiters: dict[int, tuple[Waiter, float, Window]] = {}
        self._ticket = 0
        self._flushing = False
        self.transport = transport
        self.executor = Executor(core, transport, committer, self)
        transport.listener = self
        if committer is not None:
            committer.release = self.release
            committer.account = self.home.forest

    # --- life -------------------------------------------------------------------------------------

    async def start(self, timeout: float) -> None:
        """Run until the core can serve.

        Raises:
            JoinTimeout: nobody took this process in within ``timeout`` seconds.
            JoinError: somebody refused to, and said why.
        """
        self.background.watch_lag()
        self.executor.perform(self.core.start())
        self.flush()
        await self.arrival.wait(timeout)

    async def close(self) -> None:
        """Stop within ``CLOSE_SECONDS_MAX``, whatever the peers and the disk do."""
        if self.closed:
            return
        self.closed = True
        deadline = self.loop.time() + limits.CLOSE_SECONDS_MAX * 0.75
        for waiter, _, _ in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(ClosedError("closed while the request was under way"))
        self._waiters.clear()
        self.background.stop()
        # First of all: a step of the background would come in between the last words.
        self.alarm.cancel()
        if self.committer is not None and self.arrival.done:
            self.executor.step(e.Stop())
            self.flush()
            await self._drain(self.committer, deadline)
        self.arrival.give_up()
        self.transport.close_sockets()
        await self._in_thread(self._end, deadline)

    async def _drain(self, committer: Committer, deadline: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await committer.wait_idle()

    async def _in_thread(self, job: Callable[[], None], deadline: float) -> None:
        """Do what may block in a thread of its own, and wait for it only so long."""
        try:
            async with asyncio.timeout(max(0.1, deadline - self.loop.time())):
                await in_thread("dynamokv-close", job)
        except TimeoutError:
            log.warning("closing goes on in the background: the disk or a peer is slow")

    async def abandon(self) -> None:
        """Close what is left when the loop ended first: ``asyncio.run`` was over before
        ``aclose``."""
        self.closed = True
        self._waiters.clear()
        self.transport.close_sockets()
        await in_thread("dynamokv-close", self._end)

    def _end(self) -> None:
        self.transport.end()
        if self.committer is not None:
            self.committer.close()

    # --- requests ---------------------------------------------------------------------------------

    def submit(self, request: Any, waiter: Waiter) -> int:
        """Start a request; the waiter gets its answer. Returns the ticket for ``forget``."""
        if self.closed:
            waiter.set_exception(ClosedError("this handle was closed: open a new one"))
            return 0
        self._ticket = ticket = self._ticket + 1
        window = self.writes if type(request) is m.PutRequest else self.reads
        self._waiters[ticket] = (waiter, time.perf_counter(), window)
        self.executor.step(e.Request(ticket, request))
        # Alone, a request gains nothing from waiting for company in its frame.
        if len(self._waiters) <= 1:
            self.flush()
        else:
            self._flush_soon()
        return ticket

    def forget(self, ticket: int) -> None:
        """Nobody waits for this ticket any more."""
        if self._waiters.pop(ticket, None) is not None:
            self.executor.step(e.Forget(ticket))

    def flush(self) -> None:
        """The end of a round: everything that came up leaves."""
        self._flushing = False
        self.executor.flush()
        if not self.alarm.soon and not self.closed:
            self.alarm.within(self.core.next_deadline() - self.home.clock.monotonic())

    # --- what the executor and the transport report -----------------------------------------------

    def on_reply(self, ticket: int, message: Message) -> None:
        """The answer to a request of this process."""
        found = self._waiters.pop(ticket, None)
        if found is None:
            return
        waiter, started, window = found
        window.add(time.perf_counter() - started)
        if not waiter.done():
            waiter.set_result(message)

    def on_ready(self) -> None:
        """The core can serve."""
        self.arrival.succeed()

    def on_join_failed(self, reason: int, text: str) -> None:
        """The ring refused this process."""
        self.arrival.fail(reason, text)

    def describe(self) -> bytes:
        """This node's status, for a client."""
        return self._describe(self)

    def on_frame(self, source: bytes, frame: bytes) -> None:
        """A frame arrived. Also while this process closes, until its sockets do: the core takes
        nothing in any more, and says so to those who would wait for an answer."""
        self.executor.on_frame(source, frame)

    def on_drained(self) -> None:
        """A socket has no more frames for now."""
        self.arrival.look()
        if self.executor.pending:
            self.flush()

    def on_link(self, peer: bytes, up: bool) -> None:
        """A link works, or broke."""
        if self.closed:
            return
        self.executor.step(e.PeerUp(peer) if up else e.PeerDown(peer))
        self.arrival.look()
        self.flush()

    def release(self, released: list[e.After]) -> None:
        """Writes were decided."""
        self.executor.release(released)
        self._flush_soon()

    # --- inside -----------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self.flush)

    def _tick(self) -> None:
        self.executor.step(e.Tick(self.background.loop_lag))
        self.flush()
