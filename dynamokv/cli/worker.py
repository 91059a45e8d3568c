"""A member that does what its parent says: the child's side of ``process.py``.

    python -m dynamokv.cli.worker ADDRESS DATA_DIR [SEED]

One JSON object a line. On stdin ``{"call": name, "arguments": {...}}``, on stdout
``{"result": {...}}`` or ``{"error": kind, "message": text}``, one for each call and in its order;
the first line on stdout tells that the member is ready, or why not. When stdin ends, for whatever
reason, the member stops: it does not outlive its parent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dynamokv import Bucket, DynamoKVError, Node, NodeConfig, Receipt
from dynamokv.runtime.latency import percentile

Result = dict[str, Any]


class Worker:
    """The calls that a parent may make, by name. Bytes travel in hex."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.calls: dict[str, Callable[..., Result]] = {
            "ring": self.ring,
            "put": self.put,
            "read": self.read,
            "read_many": self.read_many,
            "append": self.append,
            "hints": self.hints,
            "measure_get": self.measure_get,
            "measure_put": self.measure_put,
        }

    def ring(self) -> Result:
        """Who is there, and how many partitions each owns, and comes first for."""
        ring, status = self.node.ring(), self.node.status()
        firsts = [owners[0] for owners in ring["owners"]]
        return {
            "partitions": ring["partitions"],
            "replicas": status["replicas"],
            "owned": ring["owned"],
            "first": {node_id: firsts.count(node_id) for node_id in ring["owned"]},
            "states": {key: member["state"] for key, member in status["members"].items()},
        }

    def put(self, key: str, value: Any, level: str, context: str = "", bucket: str = "") -> Result:
        """Write a value."""
        seen = bytes.fromhex(context) or None
        return _told(self._store(bucket).put(key, value, consistency=level, context=seen))

    def read(self, key: str, level: str, bucket: str = "") -> Result:
        """The value, its siblings and the context."""
        entry = self._store(bucket).read(key, consistency=level)
        return {**_told(entry.receipt), "value": entry.value, "values": entry.values}

    def read_many(self, keys: list[str], level: str) -> Result:
        """Many keys at once."""
        found = self.node.batch_get(keys, consistency=level)
        found.raise_for_errors()
        return {"values": [found[key] for key in keys]}

    def append(self, key: str, item: str, level: str, bucket: str) -> Result:
        """Read, siblings resolved, and write the list with one item more, over all of them."""
        return _told(
            self._store(bucket).update(key, lambda items: [*items, item], consistency=level)
        )

    def hints(self) -> Result:
        """How many writes this member keeps for each one that missed them."""
        kept = self.node.status()["hints"]
        return {"counts": {target: entry["keys"] for target, entry in kept.items()}}

    def measure_get(self, keys: list[str], level: str, count: int, seconds: float) -> Result:
        """Latencies of ``get``, one call after the other."""
        return _measured(
            lambda turn: self.node.get(keys[turn % len(keys)], consistency=level), count, seconds
        )

    def measure_put(self, keys: list[str], level: str, count: int, seconds: float) -> Result:
        """Latencies of ``put``, one call after the other."""
        value = "x" * 100
        return _measured(
            lambda turn: self.node.put(keys[turn % len(keys)], value, consistency=level),
            count,
            seconds,
        )

    def _store(self, bucket: str) -> Node | Bucket:
        return self.node.bucket(bucket, resolver="union") if bucket else self.node


def _told(receipt: Receipt) -> Result:
    return {
        "context": receipt.context.hex(),
        "needed": receipt.needed,
        "acks": receipt.acks,
        "hinted": list(receipt.hinted),
        "seconds": receipt.duration,
    }


def _measured(call: Callable[[int], object], count: int, seconds: float) -> Result:
    """At most ``count`` calls, and after ``seconds`` no more than the hundred that p99 needs."""
    durations: list[float] = []
    ends = time.perf_counter() + seconds
    while len(durations) < count and (len(durations) < 100 or time.perf_counter() < ends):
        started = time.perf_counter()
        call(len(durations))
        durations.append(time.perf_counter() - started)
    return {
        "calls": len(durations),
        "p50": percentile(durations, 0.50),
        "p99": percentile(durations, 0.99),
    }


def _answer(document: Result) -> None:
    print(json.dumps(document), flush=True)


def main(arguments: Sequence[str]) -> int:
    """Join, answer calls until stdin ends, and stop cleanly."""
    address, data_dir, *seeds = arguments
    # A finished configuration: settings in the environment are meant for the user's own members.
    config = NodeConfig(address=address, data_dir=Path(data_dir), seeds=tuple(seeds))
    try:
        node = Node(config=config)
    except DynamoKVError as error:
        _answer({"error": type(error).__name__, "message": str(error)})
        return 1
    with node:
        worker = Worker(node)
        _answer({"result": {"node_id": node.node_id, "address": node.address}})
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                _answer({"result": worker.calls[asked["call"]](**asked["arguments"])})
            except DynamoKVError as error:
                _answer({"error": type(error).__name__, "message": str(error)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
