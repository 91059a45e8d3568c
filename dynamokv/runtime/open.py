"""Putting a member or a client together from its configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from dynamokv.causality.hlc import HybridClock
from dynamokv.config import CLUSTER_WIDE, ClientConfig, NodeConfig
from dynamokv.errors import ClusterMismatch, CorruptionError
from dynamokv.ports import Rng, StorageEngine
from dynamokv.protocol.client import ClientNode
from dynamokv.protocol.home import Home, Settings
from dynamokv.protocol.identity import Identity, next_life
from dynamokv.protocol.node import Node
from dynamokv.ring.topology import Topology
from dynamokv.runtime import status
from dynamokv.runtime.clocks import SystemClock, SystemRng
from dynamokv.runtime.committer import Committer
from dynamokv.runtime.loop import Runtime
from dynamokv.runtime.thread import in_thread
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.storage.memory import MemoryEngine
from dynamokv.transport.zeromq import ZeroMQTransport
from dynamokv.types import Actor, Durability, NodeId
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys


def open_engine(config: NodeConfig) -> StorageEngine:
    """The store of a member; may read a lot, so call it off the loop."""
    if config.data_dir is None:
        return MemoryEngine()
    if config.engine is not None:
        return config.engine(Path(config.data_dir))
    options = LSMOptions(memtable_bytes=config.memtable_bytes, cache_bytes=config.cache_bytes)
    return LSMEngine(Path(config.data_dir), options)


async def open_node(config: NodeConfig, timeout: float) -> Runtime:
    """A member that is ready to serve. Whatever fails, nothing is left open.

    Raises:
        JoinError, StorageError, ConfigError: as their names say.
    """
    loop = asyncio.get_running_loop()
    # Given up while it opens, the store closes as soon as it is open.
    engine = await in_thread("dynamokv-open", lambda: open_engine(config), lambda it: it.close())
    try:
        clock, rng = SystemClock(), SystemRng()
        identity, topology = _remembered(engine, rng)
        _compare(config, topology)
        transport = ZeroMQTransport(loop)
        try:
            bound = transport.bind(config.address)
        except BaseException:
            transport.close()
            raise
    except BaseException:
        engine.close()
        raise
    committer = Committer(engine, config.durability, loop)
    home = Home(
        node_id=identity.node_id,
        actor=identity.actor,
        settings=_settings(config, config.advertise or bound),
        reader=committer,
        clock=clock,
        rng=rng,
        hybrid=HybridClock(
            last=identity.ceiling, drift_max_ms=round(config.max_clock_drift * 1000)
        ),
    )
    node = Node(home, topology)
    runtime = Runtime(
        loop, node, transport, committer, lambda running: status.document(running, config)
    )
    if config.durability is Durability.INTERVAL:
        runtime.background.every("fsync", config.fsync_interval, committer.flush_soon)
    return await _started(runtime, timeout)


async def open_client(config: ClientConfig, timeout: float) -> Runtime:
    """A client that knows its ring. Raises ``JoinError`` when there is none, or it refuses."""
    loop = asyncio.get_running_loop()
    settings = Settings(
        cluster=config.cluster,
        seeds=config.nodes,
        in_flight_max=config.in_flight_max,
    )
    home = Home(
        node_id=NodeId(b""),
        actor=Actor(b""),
        settings=settings,
        reader=NoStore(),
        clock=SystemClock(),
        rng=SystemRng(),
        hybrid=HybridClock(last=0, drift_max_ms=0),
    )
    runtime = Runtime(loop, ClientNode(home), ZeroMQTransport(loop), None, lambda _: b"")
    return await _started(runtime, timeout)


class NoStore:
    """``ports.Reader`` of a process that owns nothing."""

    def visible(self, key: bytes) -> bytes | None:
        """Nothing."""
        return None

    def newest(self, key: bytes) -> bytes | None:
        """Nothing."""
        return None

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Nothing."""
        return iter(())


async def _started(runtime: Runtime, timeout: float) -> Runtime:
    try:
        await runtime.start(timeout)
    except BaseException:
        await runtime.close()
        raise
    return runtime


def _remembered(engine: StorageEngine, rng: Rng) -> tuple[Identity, Topology | None]:
    """Who this node is, and the last ring it knew."""
    try:
        identity = next_life(_own_row(engine, row_keys.IDENTITY_ROW), forgot=engine.forgot, rng=rng)
        stored = _own_row(engine, row_keys.TOPOLOGY_ROW)
        topology = Topology.decode(codec.decode(stored)) if stored else None
    except ValueError as error:
        raise CorruptionError(
            f"the store's own rows are damaged ({error}): move the data directory aside and "
            "join anew"
        ) from error
    return identity, topology


def _own_row(engine: StorageEngine, key: bytes) -> bytes | None:
    """A row that the store keeps for the node itself. Of these an older state does as well: peers
    know a newer ring, and what the store forgot is told by ``forgot``.

    Raises:
        CorruptionError: nothing is left of it. To go on would be to begin another ring over the
            data of this one.
    """
    try:
        return engine.get(key)
    except CorruptionError as error:
        remains = engine.remains(key) if isinstance(engine, LSMEngine) else None
        if remains is None:
            raise CorruptionError(
                f"this member's identity is lost: {error}. If the damaged or missing file can be "
                "had, put it back; otherwise restore the whole data directory from a copy"
            ) from error
        return remains


def _compare(config: NodeConfig, topology: Topology | None) -> None:
    """Refuse settings that the ring on this disk was not founded with."""
    if topology is None:
        return
    for name in ("cluster", *CLUSTER_WIDE):
        here, there = getattr(config, name), getattr(topology, name)
        if here != there:
            raise ClusterMismatch(
                f"{name} is {there!r} in the ring that this data directory belongs to, and "
                f"{here!r} in this process's settings: it is fixed when a ring is founded"
            )


def _settings(config: NodeConfig, address: str) -> Settings:
    return Settings(
        cluster=config.cluster,
        address=address,
        zone=config.zone or "",
        weight=config.weight,
        seeds=config.seeds,
        partitions=config.partitions,
        n=config.n,
        expect_members=config.expect_members,
        hedge_after=config.hedge_after,
        sibling_cap=config.sibling_cap,
        in_flight_max=config.in_flight_max,
    )
