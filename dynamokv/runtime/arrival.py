"""The way of a process from its start to its place in the ring, as those who wait for it see it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

from dynamokv.errors import ClusterMismatch, JoinRefused, JoinTimeout
from dynamokv.protocol.state.home import Home
from dynamokv.runtime.executor import Core
from dynamokv.wire.messages import JoinReason

log = logging.getLogger("dynamokv.runtime")

LINKS_GRACE_SECONDS = 1.0
"""How long a process that is ready waits for links to its peers, so that its first request finds
them."""

PATIENCE_SECONDS = 3.0
"""A process that is not ready after so long says in the log what it waits for, once."""


def all_linked(home: Home, *, member: bool) -> bool:
    """Whether a process that is ready reaches all of its peers. ``member``: as in ``Arrival``."""
    assert home.topology is not None
    peers = [one.node_id for one in home.topology.members]
    linked = (home.linked & home.greeted_by) - home.slow if member else home.linked
    return all(peer in linked or peer == home.node_id for peer in peers)


class Arriving(Core, Protocol):
    """A core that can say what it waits for."""

    def why_not_ready(self) -> str:
        """The same, for people."""
        ...


class Arrival:
    """Whether a core can serve yet. ``member``: peers must have linked back, and
    answered, too."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: Arriving, *, member: bool) -> None:
        self.loop = loop
        self.core = core
        self.home = core.home
        self.member = member
        self._ready: asyncio.Future[None] = loop.create_future()
        self._changed = asyncio.Event()

    @property
    def done(self) -> bool:
        """Whether it arrived, or never will."""
        return self._ready.done()

    def succeed(self) -> None:
        """The core can serve."""
        if not self._ready.done():
            self._ready.set_result(None)

    def fail(self, reason: int, text: str) -> None:
        """The ring refused this process."""
        kind = ClusterMismatch if reason == JoinReason.MISMATCH else JoinRefused
        if not self._ready.done():
            self._ready.set_exception(kind(text))
        else:
            log.error("the ring refuses this member: %s", text)

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._ready.cancel()

    def look(self) -> None:
        """Something came in, or a link changed."""
        self._changed.set()

    def _say(self) -> None:
        log.warning(
            "not ready after %g s, and waiting: %s", PATIENCE_SECONDS, self.core.why_not_ready()
        )

    async def wait(self, timeout: float) -> None:
        """Return when the core can serve and its peers are linked, or were given up on.

        Raises:
            JoinTimeout: nobody took this process in within ``timeout`` seconds.
            JoinError: somebody refused to, and said why.
        """
        waits = self.loop.call_later(PATIENCE_SECONDS, self._say)
        try:
            async with asyncio.timeout(timeout):
                await self._ready
        except TimeoutError:
            text = f"not ready within {timeout} s: {self.core.why_not_ready()}"
            raise JoinTimeout(text) from None
        finally:
            waits.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINKS_GRACE_SECONDS):
                while not all_linked(self.home, member=self.member):
                    self._changed.clear()
                    await self._changed.wait()
