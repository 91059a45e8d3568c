"""The figures of the ring workload: what each is called, what it means, and what it should be. The
bounds of the storage workload, too, whose figures are in ``storage_figures``.

Rules:
    - A name is for ever: results of different days are compared by it.
    - A bound stands in ``TARGETS`` with its reason, and nowhere else.
    - A bound on time is a ratio to something measured in the same round wherever that makes sense.
      Absolute bounds are for a machine like the one the project is developed on (two cores), at
      rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, NamedTuple


class Figure(NamedTuple):
    """One row of the table."""

    group: str
    label: str
    unit: str


@dataclass(frozen=True, slots=True)
class Target:
    """A bound: the median may not be above ``at_most``, or not be below ``at_least``."""

    reason: str
    at_most: float | None = None
    at_least: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        if self.at_most is not None and value > self.at_most:
            return False
        return self.at_least is None or value >= self.at_least

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:,g}"
        return f">= {self.at_least:,g}"


STORAGE_SIZES: Final = {"100B": 100, "1KB": 1000}
"""Values that the storage workload puts, in bytes."""


def _storage_targets(size: str) -> dict[str, Target]:
    ratios = {
        "put": (1.0, "one append and one dict are no more work than a call into C++"),
        "hot": (3.0, "a hot key is one look into a dict"),
        "random": (0.7, "most of the time is the reading, the checking and Python's, in both"),
        "absent": (0.7, "a filter answers nearly all of them without a block"),
        "scan": (0.3, "rows are taken apart by Python here, and by C++ there"),
    }
    name = f"storage.{size}"
    return {
        **{
            f"{name}.{workload}.over_rocksdict": Target(at_least=least, reason=reason)
            for workload, (least, reason) in ratios.items()
        },
        **{
            f"{name}.overwritten.lsm.{call}.over_idle": Target(
                at_most=5.0,
                reason="merges run in another process, and writes that they hold up wait a little "
                "each",
            )
            for call in ("put", "get")
        },
        f"{name}.overwritten.lsm.working": Target(
            at_least=10.0, reason="latencies under compaction are worth something only under some"
        ),
        f"{name}.overwritten.lsm.amplification": Target(
            at_most=12.0, reason="the log, the first table, and about four rewrites of two levels"
        ),
        f"{name}.overwritten.lsm.open": Target(
            at_most=2000.0, reason="opening reads the manifest and one log, and no table"
        ),
    }


TARGETS: Final[dict[str, Target]] = {
    "sequential.get.over_blocking": Target(
        at_most=2.0,
        reason="a quorum read is one round trip to one peer, so all that this library does at both "
        "ends may cost no more than the trip itself",
    ),
    "concurrent.get": Target(
        at_least=20_000,
        reason="callers of one round share a frame, so what is left is 50 us of Python for a read, "
        "which one core has to manage",
    ),
    "concurrent.put": Target(
        at_least=12_000,
        reason="a write is work for three members on two cores: 160 us of both cores, all told",
    ),
    "local.blocking": Target(
        at_most=5.0,
        reason="at an owner, a read at ONE is a function call: no socket, no other thread",
    ),
    **{name: target for size in STORAGE_SIZES for name, target in _storage_targets(size).items()},
    "overload.after.over_before": Target(
        at_least=0.95,
        reason="a ring that had too much to do for a while serves as before once it is over",
    ),
    "overload.recovery": Target(at_most=10.0, reason="as above, and so soon"),
    "overload.memory.growth": Target(
        at_most=256.0,
        reason="a memtable or two, requests of 64 MiB, and 32 MiB for each peer are all that may "
        "come on top",
    ),
    "healing.missed.whole": Target(
        at_most=10.0, reason="hints are a page of rows and an acknowledgement, some 40 times"
    ),
    "healing.wiped.whole": Target(
        at_most=60.0, reason="a copy is read, sent and written in pages, beside the foreground"
    ),
    "healing.wiped.busy.over_idle": Target(
        at_most=3.0, reason="background work yields to the foreground"
    ),
    **{
        f"healing.simulated.{part}.whole": Target(
            at_most=60.0, reason="repair is at work at once, and pages follow each other"
        )
        for part in ("missed", "wiped")
    },
    "healing.simulated.repairs": Target(
        at_most=0.0, reason="what is equal needs no repair: else repair would never end"
    ),
    **{
        f"trees.{work}.cost": Target(
            at_most=10.0, reason="a digest of a hundred bytes and two sums are little beside a put"
        )
        for work in ("put", "batch")
    },
    "storage.memory.lsm.over_bound": Target(
        at_most=1.2, reason="what a store may hold is a setting, and a setting is a promise"
    ),
}
"""Figure to bound. The reason is printed when the bound is missed."""

WORKLOADS: Final = ("sequential.get", "sequential.put", "concurrent.get", "concurrent.put")
MEMBERS: Final = ("a", "b", "c")

ECHO: Final = "raw pyzmq echo of 1 KB over TCP loopback, DEALER to ROUTER"
SEQUENTIAL: Final = "AsyncNode at QUORUM, one call after the other"
CONCURRENT: Final = "AsyncNode at QUORUM, many calls at once"
LOCAL: Final = "get at ONE on an owner, its own copy"
BLOCKING: Final = "blocking Node at QUORUM, from another process"
CLIENT: Final = "DistributedKVStore at QUORUM, a client in a process of its own"
COST: Final = "CPU time for one operation: member a coordinates, b and c are replicas"


def _percentiles(name: str, group: str, label: str) -> dict[str, Figure]:
    return {
        f"{name}.p50": Figure(group, f"{label}, p50", "us"),
        f"{name}.p99": Figure(group, f"{label}, p99", "us"),
    }


def _sequential(call: str) -> dict[str, Figure]:
    return {
        **_percentiles(f"sequential.{call}", SEQUENTIAL, call),
        f"sequential.{call}.over_blocking": Figure(
            SEQUENTIAL, f"{call} p50 / echo p50, blocking", "x"
        ),
        f"sequential.{call}.over_asyncio": Figure(
            SEQUENTIAL, f"{call} p50 / echo p50, add_reader", "x"
        ),
    }


FIGURES: Final[dict[str, Figure]] = {
    **_percentiles("echo.blocking", ECHO, "blocking send and recv"),
    **_percentiles("echo.asyncio", ECHO, "asyncio add_reader, both sides"),
    "echo.asyncio.over_blocking": Figure(ECHO, "p50 / p50, add_reader / blocking", "x"),
    **_sequential("get"),
    **_sequential("put"),
    "concurrent.get": Figure(CONCURRENT, "get, 64 at once", "ops/s"),
    "concurrent.put": Figure(CONCURRENT, "put, 64 at once", "ops/s"),
    "batch.put": Figure(CONCURRENT, "batch_put of 1,000 keys", "keys/s"),
    "batch.get": Figure(CONCURRENT, "batch_get of 1,000 keys", "keys/s"),
    "local.asyncio": Figure(LOCAL, "AsyncNode, awaited; best of 5", "us"),
    "local.blocking": Figure(LOCAL, "blocking Node, called; best of 5", "us"),
    **_percentiles("blocking.get", BLOCKING, "get"),
    "blocking.get.threads": Figure(BLOCKING, "get, 8 threads", "ops/s"),
    **_percentiles("client.get", CLIENT, "get"),
    **_percentiles("client.put", CLIENT, "put"),
    "client.get.concurrent": Figure(CLIENT, "get, 64 at once", "ops/s"),
    "client.put.concurrent": Figure(CLIENT, "put, 64 at once", "ops/s"),
    **{
        f"cpu.{workload}.{member}": Figure(COST, f"{workload.replace('.', ' ')}, {member}", "us")
        for workload in WORKLOADS
        for member in MEMBERS
    },
    "cpu.client.get": Figure(COST, "client, concurrent get, the client itself", "us"),
    "cpu.client.put": Figure(COST, "client, concurrent put, the client itself", "us"),
}
"""Every figure of the ring workload, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure as it was measured.

    Attributes:
        values: one for each round; of a micro-benchmark the fastest, the median and the third
            quartile of its rounds.
    """

    name: str
    figure: Figure
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What the row states, and what its bound is held against."""
        return median(self.values)

    @property
    def target(self) -> Target | None:
        """The bound, where there is one."""
        return TARGETS.get(self.name)

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``at best`` when only some rounds met it, ``""`` without a bound."""
        if self.target is None:
            return ""
        if self.target.met_by(self.median):
            return "met"
        return "at best" if any(map(self.target.met_by, self.values)) else "missed"

    def document(self) -> dict[str, Any]:
        """As plain data."""
        target = self.target
        return {
            "name": self.name,
            **self.figure._asdict(),
            "median": self.median,
            "low": min(self.values),
            "high": max(self.values),
            "values": list(self.values),
            "target": str(target) if target else None,
            "verdict": self.verdict or None,
        }


class Samples:
    """What was measured so far: for each of the figures one value a round."""

    def __init__(self, figures: Mapping[str, Figure] = FIGURES) -> None:
        self._figures = figures
        self._values: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """One round's value of a figure that is known."""
        assert name in self._figures, name
        self._values.setdefault(name, []).append(value)

    def rows(self) -> list[Row]:
        """The rows of the table; none for what this machine does not tell."""
        return [
            Row(name, figure, tuple(self._values[name]))
            for name, figure in self._figures.items()
            if name in self._values
        ]
