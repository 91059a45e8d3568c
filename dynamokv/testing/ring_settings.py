"""What a simulated ring is made of: the settings of its members, and the speed of its world.

Knows: which settings of ``NodeConfig`` mean something in a simulation, and where each of them goes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from dynamokv import limits
from dynamokv.config import ClientConfig, NodeConfig
from dynamokv.errors import ConfigError, UsageError
from dynamokv.protocol.state.home import Settings
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.testing.simulation.cluster import Cluster
from dynamokv.testing.simulation.machine import Machine

LATENCY_NS: Final = (100_000, 5_000_000, 4)
"""Of a message: of a local network, 0.1 ms to 5 ms and mostly below one, so that each seed has its
own order of things."""

COMMIT_NS: Final = (100_000, 10_000_000, 4)
"""Of an fsync, likewise."""

PARTITIONS: Final = 32
"""Unless a test says otherwise. Owners compare each of them with each other one every minute, which
is most of what an idle ring does; a test has few keys, and hours to pass."""

_OURS: Final = frozenset(
    {"address", "advertise", "seeds", "data_dir", "engine", "expect_members", "insecure"}
)
"""Settings about where a member runs and what it finds there: here, in the simulation."""


def checked_count(members: object) -> int:
    """How many members a ring shall have. Raises ``UsageError`` for what no ring has."""
    if isinstance(members, bool) or not isinstance(members, int):
        raise UsageError(f"a ring has a number of members, not {members!r}")
    if not 1 <= members <= limits.MEMBERS_MAX:
        raise UsageError(f"a ring has 1 to {limits.MEMBERS_MAX:,} members, not {members}")
    return members


def checked_seed(seed: object) -> int:
    """A seed. Raises ``UsageError`` for what is none."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UsageError(f"a seed is a whole number, not {seed!r}")
    return seed


def checked_seconds(seconds: object) -> float:
    """A span of time. Raises ``UsageError`` for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise UsageError(f"a positive number of seconds is needed, not {seconds!r}")
    if not 0 < seconds < limits.DURATION_MS_MAX / 1000:
        raise UsageError(f"a positive number of seconds is needed, not {seconds!r}")
    return seconds


def config_of(settings: dict[str, Any]) -> NodeConfig:
    """The configuration of every member. Raises ``ConfigError`` as ``dynamokv.join`` does."""
    ours = sorted(_OURS & settings.keys())
    if ours:
        raise ConfigError(f"{', '.join(ours)} is not for a simulated ring, which runs nowhere")
    return NodeConfig.load(NodeConfig(partitions=PARTITIONS), **settings)


def core_settings(config: NodeConfig, addresses: list[str]) -> dict[str, Any]:
    """What the core wants to know of a configuration."""
    names = {field.name for field in fields(NodeConfig)} & {
        field.name for field in fields(Settings)
    }
    given = {name: getattr(config, name) for name in sorted(names)}
    del given["address"]
    return {
        **given,
        "zone": config.zone or "",
        "seeds": tuple(addresses),
        "expect_members": len(addresses),
    }


def client_settings(config: ClientConfig) -> dict[str, Any]:
    """The same of a client."""
    return {
        "cluster": config.cluster,
        "in_flight_max": config.in_flight_max,
        "in_flight_bytes_max": config.in_flight_bytes_max,
        "hedge_after": Settings().hedge_after,
    }


def machine_of(cluster: Cluster, name: str, config: NodeConfig) -> Machine:
    """A machine for a member of this configuration."""
    options = LSMOptions(memtable_bytes=config.memtable_bytes, cache_bytes=config.cache_bytes)
    machine = cluster.machine(name, options=options, durability=config.durability)
    machine.commit_latency.set(*COMMIT_NS)
    machine.fsync_interval_seconds = config.fsync_interval
    machine.clock_drift_max_ms = round(config.max_clock_drift * 1000)
    return machine
