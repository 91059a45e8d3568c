"""``dynamokv status``: the members of a running ring, their five essential metrics, and what they
have to do for each other.

It asks as a client. A client cannot choose who answers, but asks the members in turn; each answer
says whose it is. So it asks until the member answers whose address was given.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import dynamokv
from dynamokv.cli.text import duration, milliseconds, size, table
from dynamokv.parsing import addresses

HELP = "show the members of a running ring, and how they do"
HEADINGS = (
    "member", "address", "state", "read p99", "write p99", "cache hits", "storage used",
    "replication lag",
)  # fmt: skip
HEALING = (
    "member", "hints for others", "in bytes", "trees", "compared", "horizons", "oldest",
    "rows to forget",
)  # fmt: skip

_PAUSE_SECONDS = 0.01
"""Between two questions."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "addresses",
        nargs="+",
        metavar="ADDRESS",
        help="host:port of the member to ask; several: any of them",
    )
    parser.add_argument("--cluster", default="dynamokv", metavar="NAME", help="name of the ring")
    parser.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="to find the ring, and to wait for its answer; default: 5",
    )
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print."""
    with dynamokv.connect(
        arguments.addresses, cluster=arguments.cluster, timeout=arguments.timeout
    ) as client:
        status = status_of(client, arguments.addresses, arguments.timeout)
        metrics = metrics_of_members(client, status)
    if arguments.json:
        print(json.dumps({"status": status, "metrics": metrics}, indent=2))
        return 0
    print(
        f"ring {status['cluster']!r}, id {status['cluster_id'][:8]}, epoch {status['epoch']}: "
        f"{len(status['members'])} members, {status['replicas']} copies of each key, "
        f"{status['partitions']} partitions"
    )
    health = "healthy" if status["healthy"] else "not healthy"
    print(f"as seen by {status['node_id'][:8]} ({status['state']}, {health})\n")
    rows: list[tuple[str, ...]] = [HEADINGS]
    for node_id, member in status["members"].items():
        rows.append(_row(node_id, member, metrics.get(node_id)))
    print("\n".join(table(rows)))
    print("\n".join(["", *table([HEALING, *(_healing(*each) for each in metrics.items())])]))
    for target, hints in status["hints"].items():
        keys, oldest = hints["keys"], duration(hints["oldest_seconds"])
        print(f"{status['node_id'][:8]} keeps {keys} hints for {target[:8]}, {oldest} old")
    return 0


def status_of(client: dynamokv.Client, given: list[str], timeout: float) -> dict[str, Any]:
    """The status that a member at one of these addresses tells; of any, where the ring knows nobody
    there, because its members advertise other addresses.

    Raises:
        JoinTimeout: none of them answers in time, and others do.
    """
    wanted, deadline = set(addresses(given)), time.monotonic() + timeout
    while True:
        status = client.status()
        members = status["members"]
        if members[status["node_id"]]["address"] in wanted:
            return status
        if wanted.isdisjoint(member["address"] for member in members.values()):
            return status
        if time.monotonic() > deadline:
            other = members[status["node_id"]]["address"]
            raise dynamokv.JoinTimeout(
                f"nobody at {', '.join(sorted(wanted))} said its status within {timeout:g} s; the "
                f"ring is there: ask {other}"
            )
        time.sleep(_PAUSE_SECONDS)


def metrics_of_members(
    client: dynamokv.Client, status: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The metrics of every member that answers, by its id."""
    up = {node_id for node_id, member in status["members"].items() if member["state"] != "down"}
    found: dict[str, dict[str, Any]] = {}
    for _ in range(2 * len(status["members"])):
        answer = client.metrics()
        found[answer["node_id"]] = answer
        if up <= found.keys():
            break
    return found


def _row(node_id: str, member: dict[str, Any], metrics: dict[str, Any] | None) -> tuple[str, ...]:
    state = "filling" if member["filling"] else str(member["state"])
    known = (node_id[:8], str(member["address"]), state)
    if metrics is None:
        return (*known, "-", "-", "-", "-", "-")
    return (
        *known,
        _latency(metrics["read_latency_p99"]),
        _latency(metrics["write_latency_p99"]),
        f"{metrics['cache_hit_rate']:.0%}",
        size(metrics["storage_used"]),
        milliseconds(metrics["replication_lag"]),
    )


def _healing(node_id: str, metrics: dict[str, Any]) -> tuple[str, ...]:
    """What waits to be given to others, to be compared with them, and to be forgotten."""
    trees, horizons = metrics["trees"], metrics["horizons"]
    return (
        node_id[:8],
        str(metrics["hinted_keys"]),
        size(metrics["hinted_bytes"]),
        f"{trees['known']} of {trees['known'] + trees['unknown']}",
        _ago(trees["compared_ago"]),
        f"{horizons['partitions']} of {trees['known'] + trees['unknown']}",
        _ago(horizons["lowest_ago"]),
        str(horizons["passing"]),
    )


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{duration(max(0.0, seconds))} ago"


def _latency(seconds: float) -> str:
    """Zero stands for "no calls yet"."""
    return milliseconds(seconds) if seconds else "-"
