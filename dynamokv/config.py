"""Settings: one frozen dataclass for a member, one for a client, each field with its unit, default
and trade-off.

Order of precedence: explicit argument > ``DYNAMOKV_<FIELD>`` in the environment > TOML file >
default. An unknown name, in any of the three, is a ``ConfigError`` that says so and names the
nearest known one: a misspelt option that is silently ignored is found in production.

The TOML file is named by ``config=`` or ``DYNAMOKV_CONFIG`` and holds the fields at its top level::

    seeds = ["10.0.0.1:7401", "10.0.0.2:7401"]
    data_dir = "/var/lib/app/ring"
    durability = "interval"
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from dynamokv import limits
from dynamokv.errors import ConfigError, UsageError
from dynamokv.parsing import (
    address,
    addresses,
    check_address,
    check_name,
    check_range,
    consistency,
    durability,
    flag,
    integer,
    number,
    optional_address,
    optional_integer,
    optional_text,
    path,
    text,
)
from dynamokv.ports import Serializer, StorageEngine
from dynamokv.types import Consistency, Durability

ENV_PREFIX = "DYNAMOKV_"
ENV_CONFIG_FILE = "DYNAMOKV_CONFIG"
ENV_OF_TOOLS = frozenset({ENV_CONFIG_FILE, "DYNAMOKV_LOG_LEVEL"})
"""Variables with our prefix that are no fields, so that they are not refused as misspelt ones."""

CLUSTER_WIDE = ("partitions", "n")
"""Fields fixed for ever by the founder; a joiner that disagrees is refused."""

LOOPBACK_HOSTS = frozenset({"localhost", "::1"})

_Config = TypeVar("_Config", "NodeConfig", "ClientConfig")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeConfig:
    """How one member runs. Build it directly, or let ``join`` load it."""

    address: str = "127.0.0.1:0"
    """``host:port`` to bind. Port 0 picks a free one (see ``Node.address``); fix it where others
    list it as a seed."""

    advertise: str | None = None
    """``host:port`` that others reach this member at. Default: ``address``. Set it behind NAT, or
    when binding 0.0.0.0."""

    seeds: tuple[str, ...] = ()
    """Addresses to find the ring by, the same on every member, in any order. The least of them, as
    text, founds the ring. Default: a ring of one."""

    data_dir: Path | None = None
    """Where identity and data live. Default: memory only, so that every start is with nothing, and
    the others have to fill this member again."""

    cluster: str = "dynamokv"
    """Name of the ring, checked at join. Give each ring of one network its own."""

    zone: str | None = None
    """Failure domain (host, rack, availability zone). Copies of a key go to distinct zones while
    there are enough."""

    weight: int = 1
    """Relative share of the data, 1 to 100. A machine with twice the disk takes 2."""

    insecure: bool = False
    """Allow a bind beyond loopback without keys: everyone who reaches the port can then read and
    write everything."""

    durability: Durability = Durability.FSYNC
    """``fsync`` (default), ``interval`` or ``os``: see ``types.Durability``. Weaker is faster, and
    only a power cut differs."""

    fsync_interval: float = 0.1
    """Seconds between two fsyncs at durability ``interval``: what a power cut may cost this
    member's own copy."""

    consistency: int = Consistency.QUORUM
    """Default level of every call. ONE reads locally and may be stale; ALL stops when one owner is
    down."""

    request_timeout: float = 5.0
    """Seconds a call may take unless it says otherwise. Shorter fails sooner, longer rides out a
    pause of a peer."""

    hedge_after: float = 0.03
    """Seconds before a read that still waits asks one more owner, at the latest: sooner when its
    answers usually come sooner. Longer saves work, and hedges are a tenth of the reads at most."""

    partitions: int = limits.PARTITIONS_DEFAULT
    """Equal parts of the key space, a power of two, fixed for ever. More for rings that may pass
    100 members."""

    n: int = 3
    """Copies of each key, fixed for ever. 3 survives one lost member with quorums, 5 survives two.
    """

    expect_members: int | None = None
    """Members to wait for before the ring is founded and serves. Set it where more than ``n``
    members start together. Default: one seed founds alone, once more than half of the seeds
    run; with 1 it does so whoever else runs."""

    sibling_cap: int = limits.SIBLINGS_MAX
    """Siblings of one key beyond which a put with an old context is refused: somebody writes and
    never merges."""

    max_clock_drift: float = limits.CLOCK_DRIFT_MAX_MS / 1000
    """Seconds a peer's stamp may be ahead before its message is refused and counted."""

    in_flight_max: int = limits.IN_FLIGHT_MAX
    """Requests under way at once; beyond it calls raise ``Overloaded`` before any work."""

    in_flight_bytes_max: int = limits.IN_FLIGHT_BYTES_MAX
    """Bytes that the requests under way hold, names, values and answers together; beyond it calls
    raise ``Overloaded`` as well. Raise it, with the memory, for many large values at once."""

    background_bytes_per_second: int = limits.BACKGROUND_BYTES_PER_SECOND
    """Bytes a second that repair, hints and transfers may move while nobody is hindered, where each
    row counts for 2 KiB more than it has; less, down to an eighth, while requests or the event loop
    are slow. More heals sooner."""

    tree_check_interval: float = limits.TREE_CHECK_SECONDS
    """Seconds between two partitions that are read whole and compared with what is known of them.
    Shorter finds rot on the disk sooner, longer reads less."""

    hint_bytes: int = limits.HINT_BYTES
    """Bytes on this member's disk for what other members miss. More covers longer outages."""

    hint_bytes_per_target: int = limits.HINT_BYTES_PER_TARGET
    """The same for one such member; beyond it, what is missed is found by comparing the copies."""
    tombstone_grace: float = limits.TOMBSTONE_GRACE_SECONDS
    """Seconds before a delete, or the end of a time to live, may be forgotten, once all members
    agree. Above any clock difference and any request's timeout; shorter frees room sooner."""

    memtable_bytes: int = 32 * limits.MiB
    """Bytes of new rows in memory before they become a table; up to three times that are held.
    Smaller restarts faster, larger writes less."""

    cache_bytes: int = 64 * limits.MiB
    """Bytes of memory for rows and blocks read from disk, and for the indexes of tables. Raise it
    when ``cache_hit_rate`` is low."""

    engine: Callable[[Path], StorageEngine] | None = None
    """Your own storage engine, given the data directory. Default: the durable one, or memory
    without ``data_dir``."""

    serializer: Serializer | None = None
    """Your own encoding of values. Default: CBOR. Every member and client of a ring must use the
    same."""

    def __post_init__(self) -> None:
        _settle(self, _NODE_PARSERS)
        check_address("address", self.address, port_zero=True)
        if self.advertise is not None:
            check_address("advertise", self.advertise)
        for seed in self.seeds:
            check_address("seeds", seed)
        check_name("cluster", self.cluster)
        if self.zone is not None:
            check_name("zone", self.zone)
        check_range("weight", self.weight, 1, 100)
        check_range("fsync_interval", self.fsync_interval, 0.001, 60.0)
        check_range("request_timeout", self.request_timeout, 0.001, 3600.0)
        check_range("hedge_after", self.hedge_after, 0.001, 3600.0)
        check_range("partitions", self.partitions, 1, limits.PARTITIONS_MAX)
        if self.partitions & (self.partitions - 1):
            raise ConfigError(f"partitions must be a power of two, not {self.partitions}")
        check_range("n", self.n, 1, limits.REPLICAS_MAX)
        if self.expect_members is not None:
            check_range("expect_members", self.expect_members, 1, limits.MEMBERS_MAX)
        check_range("sibling_cap", self.sibling_cap, 1, 10_000)
        check_range("max_clock_drift", self.max_clock_drift, 0.1, 3600.0)
        check_range("in_flight_max", self.in_flight_max, 1, 1_000_000)
        check_range("in_flight_bytes_max", self.in_flight_bytes_max, limits.MiB, 1 << 40)
        check_range("background_bytes_per_second", self.background_bytes_per_second, 1024, 1 << 40)
        check_range("tree_check_interval", self.tree_check_interval, 0.001, 1_000_000.0)
        check_range("hint_bytes", self.hint_bytes, 0, 1 << 40)
        check_range("hint_bytes_per_target", self.hint_bytes_per_target, 0, 1 << 40)
        check_range("tombstone_grace", self.tombstone_grace, 0.1, 1_000_000_000.0)
        check_range("memtable_bytes", self.memtable_bytes, 64 * limits.KiB, 1 << 40)
        check_range("cache_bytes", self.cache_bytes, 0, 1 << 40)
        if (
            self.consistency not in (Consistency.QUORUM, Consistency.ALL)
            and self.consistency > self.n
        ):
            raise ConfigError(
                f"consistency={self.consistency} cannot be met: the ring keeps n={self.n} copies"
            )
        host = split_address(self.address)[0]
        if not self.insecure and not is_loopback(host):
            raise ConfigError(
                f"address {self.address} is reachable from other machines and this member has no "
                "keys: bind 127.0.0.1, or pass insecure=True if everyone on that network may read "
                "and write everything"
            )
        if self.engine is not None and not callable(self.engine):
            raise ConfigError(
                "engine takes a class or a function that is called with the data directory, such "
                f"as dynamokv.storage.rocksdb.RocksDBEngine, not {self.engine!r}"
            )
        if self.engine is not None and self.data_dir is None:
            raise ConfigError("engine needs data_dir: that is what your engine is opened with")
        if self.advertise is None and host in ("0.0.0.0", "::"):
            raise ConfigError(
                f"address {self.address} is not one that peers can reach: pass "
                "advertise='host:port'"
            )

    @classmethod
    def load(cls, source: NodeConfig | str | Path | None = None, **explicit: Any) -> NodeConfig:
        """Settings by precedence. ``source`` is a finished ``NodeConfig`` (then only ``explicit``
        changes it) or a TOML file."""
        return _load(cls, source, explicit)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientConfig:
    """How a client that is no member runs."""

    nodes: tuple[str, ...] = ()
    """Addresses of members to start from, kept as seeds for ever. List two or more, so that one may
    be down."""

    cluster: str = "dynamokv"
    """Name of the ring, checked at connect."""

    consistency: int = Consistency.QUORUM
    """Default level of every call."""

    request_timeout: float = 5.0
    """Seconds a call may take unless it says otherwise."""

    in_flight_max: int = limits.IN_FLIGHT_MAX
    """Requests under way at once; beyond it calls raise ``Overloaded`` before any work."""

    in_flight_bytes_max: int = limits.IN_FLIGHT_BYTES_MAX
    """Bytes that the requests under way hold, names, values and answers together; beyond it calls
    raise ``Overloaded`` as well. Raise it, with the memory, for many large values at once."""

    serializer: Serializer | None = None
    """Your own encoding of values. Default: CBOR. Every member and client of a ring must use the
    same."""

    def __post_init__(self) -> None:
        _settle(self, _CLIENT_PARSERS)
        if not self.nodes:
            raise ConfigError(
                "nodes is empty: give the address of at least one member, as 'host:port'"
            )
        for node in self.nodes:
            check_address("nodes", node)
        check_name("cluster", self.cluster)
        check_range("request_timeout", self.request_timeout, 0.001, 3600.0)
        check_range("in_flight_max", self.in_flight_max, 1, 1_000_000)
        check_range("in_flight_bytes_max", self.in_flight_bytes_max, limits.MiB, 1 << 40)

    @classmethod
    def load(cls, source: ClientConfig | str | Path | None = None, **explicit: Any) -> ClientConfig:
        """Settings by precedence, as ``NodeConfig.load``."""
        return _load(cls, source, explicit)


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` taken apart; an IPv6 host stands in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    return host in LOOPBACK_HOSTS or (host.startswith("127.") and host.count(".") == 3)


def _load(
    cls: type[_Config], source: _Config | str | Path | None, explicit: Mapping[str, Any]
) -> _Config:
    known = {f.name for f in fields(cls)}
    _refuse_unknown(explicit, known, "option")
    if isinstance(source, cls):
        return replace(source, **explicit)
    if not isinstance(source, (str, Path, type(None))):
        kind = type(source).__name__
        raise ConfigError(f"config must be a {cls.__name__} or a TOML file's path, not {kind}")
    values: dict[str, Any] = {}
    path = source if isinstance(source, (str, Path)) else os.environ.get(ENV_CONFIG_FILE)
    if path:
        values.update(_read_toml(Path(path), known))
    values.update(_read_environment(known))
    values.update(explicit)
    return cls(**values)


def _read_toml(path: Path, known: set[str]) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    _refuse_unknown(table, known | _OTHER_FACE_FIELDS, f"option in {path}:")
    return {name: value for name, value in table.items() if name in known}


def _read_environment(known: set[str]) -> dict[str, str]:
    found = {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in sorted(os.environ.items())
        if name.startswith(ENV_PREFIX) and name not in ENV_OF_TOOLS
    }
    _refuse_unknown(found, known | _OTHER_FACE_FIELDS, f"environment variable {ENV_PREFIX}")
    return {name: value for name, value in found.items() if name in known}


def _refuse_unknown(given: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            environment = where.endswith(ENV_PREFIX)
            shown = [f"{ENV_PREFIX}{each.upper()}" if environment else each for each in near]
            others = f"; known are {', '.join(sorted(known))}"
            hint = f"; did you mean {shown[0]}?" if shown else others
            given_as = name.upper() if environment else f" {name}"
            raise ConfigError(f"unknown {where}{given_as}{hint}")


def _settle(config: NodeConfig | ClientConfig, parsers: Mapping[str, Callable[[Any], Any]]) -> None:
    """Bring every field to its own type; text comes from the environment, plain values from TOML
    and callers."""
    for name, parse in parsers.items():
        value = getattr(config, name)
        try:
            object.__setattr__(config, name, parse(value))
        except UsageError as error:
            raise ConfigError(f"{name}: {error}") from error
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{name}={value!r} is not valid: {error}") from error


_SHARED_PARSERS: dict[str, Callable[[Any], Any]] = {
    "cluster": text,
    "consistency": consistency,
    "request_timeout": number,
    "in_flight_max": integer,
    "in_flight_bytes_max": integer,
}
_CLIENT_PARSERS: dict[str, Callable[[Any], Any]] = {**_SHARED_PARSERS, "nodes": addresses}
_NODE_PARSERS: dict[str, Callable[[Any], Any]] = {
    **_SHARED_PARSERS,
    "address": address,
    "advertise": optional_address,
    "seeds": addresses,
    "data_dir": path,
    "zone": optional_text,
    "weight": integer,
    "insecure": flag,
    "durability": durability,
    "fsync_interval": number,
    "hedge_after": number,
    "partitions": integer,
    "n": integer,
    "expect_members": optional_integer,
    "sibling_cap": integer,
    "tree_check_interval": number,
    "tombstone_grace": number,
    "max_clock_drift": number,
    "background_bytes_per_second": integer,
    "hint_bytes": integer,
    "hint_bytes_per_target": integer,
    "memtable_bytes": integer,
    "cache_bytes": integer,
}
_OTHER_FACE_FIELDS = {f.name for cls in (NodeConfig, ClientConfig) for f in fields(cls)}
"""A file or an environment may serve a member and a client of one application; each takes the
fields it knows."""
