"""Clients, which own no data: ``Client`` and ``DistributedKVStore``, and ``connect``."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from dynamokv.api import calls
from dynamokv.api.asynchronous import AsyncStore
from dynamokv.api.blocking import BlockingStore
from dynamokv.api.closing import AsyncClosing, Closing
from dynamokv.api.defaults import DEFAULT_CLUSTER, NO_ADDRESSES, given
from dynamokv.api.session import Session
from dynamokv.config import ClientConfig
from dynamokv.errors import DynamoKVError
from dynamokv.runtime import status
from dynamokv.runtime.open import open_client
from dynamokv.runtime.thread import LoopThread

CONNECT_SECONDS = 10.0

_open_clients: set[Client] = set()
"""Closed at exit."""


def load_config(
    nodes: Sequence[str],
    cluster: str,
    config: ClientConfig | str | Path | None,
    overrides: dict[str, Any],
) -> ClientConfig:
    """The settings of a client, from the arguments that were given."""
    explicit = given({"nodes": nodes, "cluster": cluster})
    return ClientConfig.load(config, **explicit, **overrides)


class DistributedKVStore(AsyncStore, AsyncClosing):
    """The asyncio client: routes each call to an owner, keeps its seeds for ever, and fails over.

    It connects at its first call, or with ``async with``.

    Args:
        nodes: addresses of members; two or more, so that one may be down.
        cluster: the ring's name.
        config: a ``ClientConfig``, or the path of a TOML file.
        timeout: seconds to find the ring.
        overrides: any other field of ``ClientConfig``.
    """

    _session: Session

    def __init__(
        self,
        nodes: Sequence[str] = NO_ADDRESSES,
        *,
        cluster: str = DEFAULT_CLUSTER,
        config: ClientConfig | str | Path | None = None,
        timeout: float = CONNECT_SECONDS,
        **overrides: Any,
    ) -> None:
        self.config = load_config(nodes, cluster, config, overrides)
        self._scope = calls.scope_of(self.config)
        seconds = calls.milliseconds("timeout", timeout) / 1000
        self._session = Session(
            lambda: open_client(self.config, seconds), "this client is not connected"
        )

    async def start(self) -> Self:
        """Find the ring now instead of at the first call."""
        await self._session.open()
        return self

    async def aclose(self) -> None:
        """Close, within 2 s."""
        await self._session.close()

    async def status(self) -> dict[str, Any]:
        """The status of some member that answers."""
        return await self._run(calls.ask(self._scope.budget_ms, "status"))

    async def metrics(self) -> dict[str, Any]:
        """The metrics of some member that answers."""
        return await self._run(calls.ask(self._scope.budget_ms, "metrics"))

    async def ring(self) -> dict[str, Any]:
        """Who owns what, as this client knows it."""
        return status.ring(await self._session.open())

    async def _open(self) -> None:
        await self._session.open()


class Client(BlockingStore, Closing):
    """The blocking client: what ``connect`` returns. Any thread may use it.

    Args: as ``DistributedKVStore``. Unlike that, it connects at once.
    """

    _session: Session

    def __init__(
        self,
        nodes: Sequence[str] = NO_ADDRESSES,
        *,
        cluster: str = DEFAULT_CLUSTER,
        config: ClientConfig | str | Path | None = None,
        timeout: float = CONNECT_SECONDS,
        **overrides: Any,
    ) -> None:
        self.config = load_config(nodes, cluster, config, overrides)
        self._scope = calls.scope_of(self.config)
        seconds = calls.milliseconds("timeout", timeout) / 1000
        self._thread = LoopThread("dynamokv-client")
        self._session = Session(
            lambda: open_client(self.config, seconds), "this client is not connected", self._thread
        )
        try:
            self._thread.run(self._session.open())
        except BaseException:
            self._thread.stop()
            raise
        _open_clients.add(self)

    def close(self) -> None:
        """Close, within 2 s."""
        if self._thread.alive:
            self._thread.end(self._session.close())
        _open_clients.discard(self)

    def status(self) -> dict[str, Any]:
        """The status of some member that answers."""
        return self._run(calls.ask(self._scope.budget_ms, "status"))

    def metrics(self) -> dict[str, Any]:
        """The metrics of some member that answers."""
        return self._run(calls.ask(self._scope.budget_ms, "metrics"))

    def ring(self) -> dict[str, Any]:
        """Who owns what, as this client knows it."""
        return self._thread.call(status.ring, self._session.running())


def connect(
    nodes: Sequence[str] = NO_ADDRESSES,
    *,
    cluster: str = DEFAULT_CLUSTER,
    config: ClientConfig | str | Path | None = None,
    timeout: float = CONNECT_SECONDS,
    **overrides: Any,
) -> Client:
    """A blocking client of the ring that these members belong to.

    Raises:
        ConfigError: a setting is wrong; the message names it.
        JoinError: no member answered, or it belongs to another ring.
    """
    return Client(nodes, cluster=cluster, config=config, timeout=timeout, **overrides)


@atexit.register
def _close_open_clients() -> None:
    for client in list(_open_clients):
        with contextlib.suppress(
            DynamoKVError
        ):  # one that does not end well must not stop the rest
            client.close()
