"""Members: ``Node`` and ``AsyncNode``, ``join`` and ``join_async``."""

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
from dynamokv.api.defaults import DEFAULT_CLUSTER, DEFAULT_WEIGHT, NO_ADDRESSES, given
from dynamokv.api.session import Session
from dynamokv.config import NodeConfig
from dynamokv.errors import DynamoKVError
from dynamokv.runtime import status
from dynamokv.runtime.loop import Runtime
from dynamokv.runtime.open import open_node
from dynamokv.runtime.thread import LoopThread

JOIN_SECONDS = 30.0

_open_nodes: set[Node] = set()
"""Closed at exit, so that their stores know of a clean stop. Also those whose handle nobody kept: a
process may be a member and nothing more."""


def load_config(
    address: str | None,
    seeds: Sequence[str],
    data_dir: str | Path | None,
    cluster: str,
    zone: str | None,
    weight: int,
    config: NodeConfig | str | Path | None,
    overrides: dict[str, Any],
) -> NodeConfig:
    """The settings of a member, from the arguments that were given."""
    explicit = given(
        {
            "address": address,
            "seeds": seeds,
            "data_dir": data_dir,
            "cluster": cluster,
            "zone": zone,
            "weight": weight,
        }
    )
    return NodeConfig.load(config, **explicit, **overrides)


class AsyncNode(AsyncStore, AsyncClosing):
    """A member of the ring, on the running asyncio loop: ``async with AsyncNode(...) as kv``.

    Args: as ``join``.
    """

    _session: Session

    def __init__(
        self,
        address: str | None = None,
        *,
        seeds: Sequence[str] = NO_ADDRESSES,
        data_dir: str | Path | None = None,
        cluster: str = DEFAULT_CLUSTER,
        zone: str | None = None,
        weight: int = DEFAULT_WEIGHT,
        config: NodeConfig | str | Path | None = None,
        timeout: float = JOIN_SECONDS,
        **overrides: Any,
    ) -> None:
        self.config = load_config(
            address, seeds, data_dir, cluster, zone, weight, config, overrides
        )
        self._scope = calls.scope_of(self.config)
        seconds = calls.milliseconds("timeout", timeout) / 1000
        self._session = Session(
            lambda: open_node(self.config, seconds),
            "this member was not started: use 'async with', or 'await dynamokv.join_async(...)'",
        )

    async def start(self) -> Self:
        """Join, and return when this member is ready to serve. ``async with`` does it too."""
        await self._session.open()
        return self

    async def aclose(self) -> None:
        """Stop, within 2 s. The member keeps its place in the ring and comes back with its data
        directory."""
        await self._session.close()

    @property
    def address(self) -> str:
        """Where others reach this member, with the real port."""
        return self._session.running().home.settings.address

    @property
    def node_id(self) -> str:
        """This member's id, in hex."""
        return self._session.running().home.node_id.hex()

    def status(self) -> dict[str, Any]:
        """This member, its store, and every member with its state."""
        return status.node_status(self._session.running(), self.config)

    def metrics(self) -> dict[str, Any]:
        """The five essential figures, and the counters."""
        return status.node_metrics(self._session.running(), self.config)

    def ring(self) -> dict[str, Any]:
        """Who owns what."""
        return status.ring(self._session.running())


class Node(BlockingStore, Closing):
    """A member of the ring, on a thread of its own: what ``join`` returns. Any thread may use it.

    Args: as ``join``. Unlike ``AsyncNode``, it joins at once.
    """

    _session: Session

    def __init__(
        self,
        address: str | None = None,
        *,
        seeds: Sequence[str] = NO_ADDRESSES,
        data_dir: str | Path | None = None,
        cluster: str = DEFAULT_CLUSTER,
        zone: str | None = None,
        weight: int = DEFAULT_WEIGHT,
        config: NodeConfig | str | Path | None = None,
        timeout: float = JOIN_SECONDS,
        **overrides: Any,
    ) -> None:
        self.config = load_config(
            address, seeds, data_dir, cluster, zone, weight, config, overrides
        )
        self._scope = calls.scope_of(self.config)
        seconds = calls.milliseconds("timeout", timeout) / 1000
        self._thread = LoopThread("dynamokv-node")
        self._session = Session(
            lambda: open_node(self.config, seconds), "this member was not started", self._thread
        )
        try:
            self._thread.run(self._session.open())
        except BaseException:
            self._thread.stop()
            raise
        _open_nodes.add(self)

    def close(self) -> None:
        """Stop, within 2 s. The member keeps its place in the ring and comes back with its data
        directory."""
        if self._thread.alive:
            self._thread.end(self._session.close())
        _open_nodes.discard(self)

    @property
    def address(self) -> str:
        """Where others reach this member, with the real port."""
        return self._running().home.settings.address

    @property
    def node_id(self) -> str:
        """This member's id, in hex."""
        return self._running().home.node_id.hex()

    def status(self) -> dict[str, Any]:
        """This member, its store, and every member with its state."""
        return self._thread.call(status.node_status, self._running(), self.config)

    def metrics(self) -> dict[str, Any]:
        """The five essential figures, and the counters."""
        return self._thread.call(status.node_metrics, self._running(), self.config)

    def ring(self) -> dict[str, Any]:
        """Who owns what."""
        return self._thread.call(status.ring, self._running())

    def _running(self) -> Runtime:
        return self._session.running()


def join(
    address: str | None = None,
    *,
    seeds: Sequence[str] = NO_ADDRESSES,
    data_dir: str | Path | None = None,
    cluster: str = DEFAULT_CLUSTER,
    zone: str | None = None,
    weight: int = DEFAULT_WEIGHT,
    config: NodeConfig | str | Path | None = None,
    timeout: float = JOIN_SECONDS,
    **overrides: Any,
) -> Node:
    """Make this process a member of the ring, and return when it is ready to serve.

    The least address in ``seeds`` founds the ring if there is none; every other process joins it.
    ``seeds=()`` founds a ring of one.

    Args:
        address: ``host:port`` to bind; port 0 picks a free one.
        seeds: where to find the ring, the same list everywhere.
        data_dir: where identity and data live; None keeps everything in memory.
        cluster: the ring's name.
        zone: failure domain of this member; copies go to distinct zones.
        weight: relative share of the data.
        config: a ``NodeConfig``, or the path of a TOML file.
        timeout: seconds to wait until ready.
        overrides: any other field of ``NodeConfig``, ``durability="interval"`` for one.

    Raises:
        ConfigError: a setting is wrong; the message names it.
        JoinError: no ring, another ring, or a refusal; the message says which.
        StorageError: the data directory cannot be used.
    """
    return Node(
        address,
        seeds=seeds,
        data_dir=data_dir,
        cluster=cluster,
        zone=zone,
        weight=weight,
        config=config,
        timeout=timeout,
        **overrides,
    )


async def join_async(
    address: str | None = None,
    *,
    seeds: Sequence[str] = NO_ADDRESSES,
    data_dir: str | Path | None = None,
    cluster: str = DEFAULT_CLUSTER,
    zone: str | None = None,
    weight: int = DEFAULT_WEIGHT,
    config: NodeConfig | str | Path | None = None,
    timeout: float = JOIN_SECONDS,
    **overrides: Any,
) -> AsyncNode:
    """As ``join``, on the running asyncio loop."""
    node = AsyncNode(
        address,
        seeds=seeds,
        data_dir=data_dir,
        cluster=cluster,
        zone=zone,
        weight=weight,
        config=config,
        timeout=timeout,
        **overrides,
    )
    return await node.start()


@atexit.register
def _close_open_nodes() -> None:
    for node in list(_open_nodes):
        with contextlib.suppress(
            DynamoKVError
        ):  # one that does not end well must not stop the rest
            node.close()
