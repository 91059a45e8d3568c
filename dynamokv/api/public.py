"""What ``import dynamokv`` offers of this package, in one place for the two ways in which it gets
there (``dynamokv/__init__.py``)."""

from __future__ import annotations

from dynamokv.api.asynchronous import AsyncBucket
from dynamokv.api.blocking import Bucket
from dynamokv.api.client import Client, DistributedKVStore, connect
from dynamokv.api.node import AsyncNode, Node, join, join_async
from dynamokv.api.receipts import BatchResult, Entry, Receipt

__all__ = [
    "AsyncBucket",
    "AsyncNode",
    "BatchResult",
    "Bucket",
    "Client",
    "DistributedKVStore",
    "Entry",
    "Node",
    "Receipt",
    "connect",
    "join",
    "join_async",
]
