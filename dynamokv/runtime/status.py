"""Status, ring and metrics of a process as plain data, ready for JSON."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, Protocol

from dynamokv.causality.hlc import wall_ms_of
from dynamokv.config import NodeConfig
from dynamokv.ports import Stat
from dynamokv.protocol.membership.reachability import loop_lag_of, standing
from dynamokv.protocol.node import Node
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Member, Topology
from dynamokv.runtime.latency import Window, percentile
from dynamokv.runtime.loop import Runtime
from dynamokv.wire import codec

WATCHED = (
    "read_repairs", "damaged_reads", "partitions_mended", "amnesia",
    "clock_drift_refused", "wrong_cluster",
    "overloaded", "overloaded_requests", "overloaded_bytes", "overloaded_queue",
    "overloaded_owners", "expired", "credit_refused", "hedges_refused", "retries_refused",
    "peers_up", "peers_slow", "peers_down", "members_replaced",
    "hints_delivered", "hints_dropped", "hints_refused",
    "trees_compared", "exchanges", "exchanges_given_up", "tree_mismatches",
    "repaired_by_exchange_fetched", "repaired_by_exchange_pushed",
    "rounds", "rounds_given_up", "collected", "below_horizon", "rebuilt_rows",
    "promises_recalled",
    "sibling_cap_refused", "frames_rejected",
)  # fmt: skip
"""Counters that operators watch: there from the start, not only when they have counted."""


class Process(Protocol):
    """A core that runs, whoever drives it."""

    @property
    def home(self) -> Home:
        """What it knows of the ring, and its own copies."""
        ...


def ring(process: Process) -> dict[str, Any]:
    """Who owns what: for each partition its owners, the primary first, and each member's count."""
    home = process.home
    owners = [[owner.hex() for owner in row] for row in home.owners]
    counts: dict[str, int] = {}
    for row in owners:
        for owner in row:
            counts[owner] = counts.get(owner, 0) + 1
    return {"epoch": home.epoch, "partitions": len(owners), "owners": owners, "owned": counts}


def members(home: Home) -> dict[str, dict[str, Any]]:
    """Every member by its id, and whether this process would send it a request."""
    if home.topology is None:
        return {}
    return {
        member.node_id.hex(): _member(home, home.topology, member)
        for member in home.topology.members
    }


def _member(home: Home, topology: Topology, member: Member) -> dict[str, Any]:
    verdict, why, since = standing(home, member.node_id)
    return {
        "address": member.address,
        "zone": member.zone,
        "weight": member.weight,
        "self": member.node_id == home.node_id,
        "state": verdict.value,
        "why": why,
        "state_seconds": home.clock.monotonic() - since,
        "loop_lag": loop_lag_of(home, member.node_id),
        "filling": member.node_id == topology.change,
    }


def trees(home: Home) -> dict[str, Any]:
    """What this process knows of its partitions: how many trees there are, how many are still to
    be built, and how many seconds ago a round through all of them ended, of those that compare them
    with the store and with other owners."""
    forest, now = home.forest, home.clock.monotonic()
    checked, compared = forest.checked_at, forest.compared_at
    return {
        "known": len(forest.plots),
        "unknown": len(forest.unknown),
        "rows": sum(plot.rows for plot in forest.plots.values()),
        "passing": sum(plot.passing for plot in forest.plots.values()),
        "checked_ago": None if checked is None else now - checked,
        "compared_ago": None if compared is None else now - compared,
    }


def horizons(home: Home) -> dict[str, Any]:
    """Of how many partitions all that is older than a moment is known to be here, the oldest of
    these moments, in seconds ago, and how many rows wait to be forgotten, or to expire."""
    adopted = home.horizons.adopted.values()
    lowest_ms = wall_ms_of(min(adopted)) if adopted else None
    return {
        "partitions": len(adopted),
        "lowest_ago": None if lowest_ms is None else (home.clock.wall_ms() - lowest_ms) / 1000,
        "passing": sum(plot.passing for plot in home.forest.plots.values()),
    }


def node_status(runtime: Runtime, config: NodeConfig) -> dict[str, Any]:
    """What a member knows of itself and its peers."""
    core = runtime.core
    assert isinstance(core, Node)
    assert runtime.committer is not None
    return status_of(
        core,
        config,
        state="closed" if runtime.closed else state_of(core),
        sound=runtime.background.healthy,
        disk_error=runtime.committer.last_error,
        storage=runtime.committer.engine.stats(),
    )


def state_of(core: Node) -> str:
    """What a member does."""
    if core.life.replaced:
        return "replaced"
    return "serving" if core.ready else "joining"


def filling(core: Node) -> dict[str, Any] | None:
    """How far this member's copy has come; None when it is whole."""
    fill = core.life.newcomer.fill
    if fill is None:
        return None
    seconds = core.home.clock.monotonic() - fill.began
    done = fill.done()
    return {
        "replaces": core.home.replacement == core.home.node_id,
        "rows": fill.rows,
        "rows_per_second": fill.rows / seconds if seconds > 0 else 0.0,
        "seconds": seconds,
        "sources": {peer.hex(): peer in done for peer in fill.sources},
        "damaged": {peer.hex(): what for peer, what in fill.damaged().items()},
    }


def cannot_give(core: Node) -> str:
    """What this member cannot read, and the one that is being filled waits for."""
    topology = core.home.topology
    change = topology.change if topology is not None else None
    return core.giver.damaged.get(change, "") if change is not None else ""


def status_of(
    core: Node,
    config: NodeConfig,
    *,
    state: str,
    sound: bool,
    disk_error: str,
    storage: Mapping[str, Stat],
) -> dict[str, Any]:
    """``node_status`` of a member of which this is known."""
    home, topology = core.home, core.home.topology
    quarantined = storage.get("quarantined")
    return {
        "node_id": home.node_id.hex(),
        "address": home.settings.address,
        "cluster": home.settings.cluster,
        "cluster_id": topology.cluster_id.hex() if topology else "",
        "state": state,
        "healthy": state == "serving" and sound and not disk_error and not quarantined,
        "disk_error": disk_error,
        "durability": config.durability.value,
        "epoch": home.epoch,
        "partitions": topology.partitions if topology else home.settings.partitions,
        "n": topology.n if topology else home.settings.n,
        "replicas": topology.replicas if topology else 0,
        "members": members(home),
        "trees": {**trees(home), "waiting": core.exchanges.waiting},
        "horizons": horizons(home),
        "hints": home.hints.status(),
        "filling": filling(core),
        "cannot_give": cannot_give(core),
        "storage": dict(storage),
    }


def node_metrics(runtime: Runtime, config: NodeConfig) -> dict[str, Any]:
    """The five essential figures, and the rest."""
    assert runtime.committer is not None
    storage = runtime.committer.engine.stats()
    return metrics_of(
        runtime.home,
        reads=runtime.reads,
        writes=runtime.writes,
        storage=storage,
        fraction=_fraction(config, _bytes(storage)),
        loop_lag=runtime.background.loop_lag,
        in_flight=in_flight(runtime),
        counters=counters(runtime),
    )


def metrics_of(
    home: Home,
    *,
    reads: Window,
    writes: Window,
    storage: Mapping[str, Stat],
    fraction: float | None,
    loop_lag: float,
    in_flight: int,
    counters: dict[str, int],
) -> dict[str, Any]:
    """``node_metrics`` of a member of which this is known."""
    hit_rate = storage.get("cache_hit_rate", 1.0)
    assert isinstance(hit_rate, int | float)
    return {
        "node_id": home.node_id.hex(),
        "read_latency_p99": reads.percentile(0.99),
        "write_latency_p99": writes.percentile(0.99),
        "cache_hit_rate": float(hit_rate),
        "storage_used": _bytes(storage),
        "storage_used_fraction": fraction,
        "replication_lag": percentile(list(home.lags_ms), 0.99) / 1000,
        "loop_lag": loop_lag,
        "in_flight": in_flight,
        **home.load.figures(),
        "hinted_keys": sum(account.keys for account in home.hints.accounts.values()),
        "hinted_bytes": home.hints.size,
        "counters": counters,
        "trees": trees(home),
        "horizons": horizons(home),
        "storage": dict(storage),
        "peers": {key: _peer(home, key, value) for key, value in members(home).items()},
    }


def _peer(home: Home, key: str, member: dict[str, Any]) -> dict[str, Any]:
    messages, size_bytes = home.load.credit.outstanding(bytes.fromhex(key))
    return {
        **{name: member[name] for name in ("state", "state_seconds", "loop_lag")},
        "up": member["state"] != "down",
        "outstanding": messages,
        "outstanding_bytes": size_bytes,
    }


def counters(runtime: Runtime) -> dict[str, int]:
    """Everything that was counted, by name."""
    transport, committer = runtime.transport, runtime.committer
    merged = {
        **dict.fromkeys(WATCHED, 0),
        **runtime.home.load.counters(),
        **runtime.home.counters,
        **runtime.executor.counters,
    }
    merged["frames_rejected"] = merged.get("frames_rejected", 0) + transport.frames_rejected
    merged["frames_too_large"] = transport.frames_too_large
    merged["handshakes_failed"] = transport.handshakes_failed
    if committer is not None:
        merged["commits"] = committer.commits
        merged["commit_failures"] = committer.failures
    return merged


def in_flight(runtime: Runtime) -> int:
    """Requests of this process under way."""
    core: Any = runtime.core
    return len(core.table.operations)


def document(runtime: Runtime, config: NodeConfig) -> bytes:
    """All of it, for a client that asks."""
    return codec.encode(
        {"status": node_status(runtime, config), "metrics": node_metrics(runtime, config)}
    )


def _bytes(storage: Mapping[str, Stat]) -> int:
    used = storage.get("storage_bytes", 0)
    assert isinstance(used, int | float)
    return int(used)


def _fraction(config: NodeConfig, used: int) -> float | None:
    """Share of the volume that the data directory may grow into; None without one."""
    if config.data_dir is None:
        return None
    free = shutil.disk_usage(config.data_dir).free
    return used / (used + free) if used + free else 0.0
