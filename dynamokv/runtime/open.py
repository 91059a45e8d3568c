"""Putting a member or a client together from its configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dynamokv import limits
from dynamokv.config import CLUSTER_WIDE, ClientConfig, NodeConfig
from dynamokv.errors import ClusterMismatch
from dynamokv.ports import StorageEngine
from dynamokv.protocol.state.home import Settings
from dynamokv.ring.topology import Topology
from dynamokv.runtime import boot, status
from dynamokv.runtime.clocks import SystemClock, SystemRng
from dynamokv.runtime.committer import Committer
from dynamokv.runtime.loop import Runtime
from dynamokv.runtime.thread import in_thread
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.storage.memory import MemoryEngine
from dynamokv.transport.zeromq import ZeroMQTransport
from dynamokv.types import Durability


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
    # Given up while it opens, the store closes as soon as it is open; whoever closed this member
    # may want the directory for another one.
    engine = await in_thread(
        "dynamokv-open",
        lambda: open_engine(config),
        lambda it: it.close(),
        patience=limits.CLOSE_SECONDS_MAX / 2,
    )
    try:
        clock, rng = SystemClock(), SystemRng()
        identity, topology = boot.remembered(engine, rng)
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
    node = boot.member(
        identity,
        topology,
        _settings(config, config.advertise or bound),
        reader=committer,
        clock=clock,
        rng=rng,
        clock_drift_max_ms=round(config.max_clock_drift * 1000),
        forgot=engine.forgot,
    )
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
        in_flight_bytes_max=config.in_flight_bytes_max,
    )
    core = boot.client(settings, clock=SystemClock(), rng=SystemRng())
    runtime = Runtime(loop, core, ZeroMQTransport(loop), None, lambda _: b"")
    return await _started(runtime, timeout)


async def _started(runtime: Runtime, timeout: float) -> Runtime:
    try:
        await runtime.start(timeout)
    except BaseException:
        await runtime.close()
        raise
    return runtime


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
        tree_check_interval=config.tree_check_interval,
        tombstone_grace=config.tombstone_grace,
        in_flight_max=config.in_flight_max,
        in_flight_bytes_max=config.in_flight_bytes_max,
        background_bytes_per_second=config.background_bytes_per_second,
        hint_bytes=config.hint_bytes,
        hint_bytes_per_target=config.hint_bytes_per_target,
    )
