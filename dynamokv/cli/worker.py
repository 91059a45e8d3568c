"""A member that does what its parent says: the child's side of ``process.py``.

    python -m dynamokv.cli.worker ADDRESS DATA_DIR [SEED]

One JSON object a line. On stdin ``{"call": name, "arguments": {...}}``, on stdout
``{"result": {...}}`` or ``{"error": kind, "message": text}``, one for each call and in its order;
the first line on stdout tells that the member is ready. When stdin ends, for whatever reason, the
member stops: it does not outlive its parent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from dynamokv import DynamoKVError, Entry, Node, NodeConfig, Receipt
from dynamokv.runtime.latency import percentile

Result = dict[str, Any]


class Worker:
    """The calls that a parent may make, by name."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.calls: dict[str, Callable[..., Result]] = {
            "ring": self.ring,
            "put": self.put,
            "read": self.read,
            "read_all": self.read_all,
            "add_to_cart": self.add_to_cart,
            "measure_get": self.measure_get,
            "measure_put": self.measure_put,
        }

    def ring(self) -> Result:
        """Who is there, and for how many partitions each member comes first."""
        ring, status = self.node.ring(), self.node.status()
        firsts = [owners[0] for owners in ring["owners"]]
        return {
            "partitions": ring["partitions"],
            "replicas": status["replicas"],
            "owned": ring["owned"],
            "first": {node_id: firsts.count(node_id) for node_id in ring["owned"]},
            "states": {key: member["state"] for key, member in status["members"].items()},
        }

    def put(self, key: str, value: Any, level: str, context: str = "") -> Result:
        """Write; ``context`` in hex."""
        seen = bytes.fromhex(context) or None
        return _told(self.node.put(key, value, consistency=level, context=seen))

    def read(self, key: str, level: str) -> Result:
        """The value and its siblings. ``put``'s twin; ``get`` is what ``measure_get`` measures."""
        entry: Entry = self.node.read(key, consistency=level)
        return {**_told(entry.receipt), "value": entry.value, "values": entry.values}

    def read_all(self, keys: list[str], level: str) -> Result:
        """Many keys at once."""
        found = self.node.batch_get(keys, consistency=level)
        found.raise_for_errors()
        return {"values": [found[key] for key in keys]}

    def add_to_cart(self, key: str, item: str, level: str) -> Result:
        """Read, see all siblings as one list, add to it, write with the context of the read."""

        def add(items: Any) -> Any:
            return [*items, item]

        carts = self.node.bucket("carts", resolver="union")
        return _told(carts.update(key, add, consistency=level))

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
