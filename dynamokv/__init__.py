"""dynamokv: a leaderless key-value store that lives inside Python applications."""

import os as _os
import typing as _typing

from dynamokv.config import ClientConfig, NodeConfig
from dynamokv.errors import (
    AddressInUse,
    AuthenticationError,
    ClosedError,
    ClusterMismatch,
    ConfigError,
    CorruptionError,
    DataDirLocked,
    DiskFull,
    DynamoKVError,
    ForkedError,
    HandleError,
    Indeterminate,
    InvalidContext,
    InvalidKey,
    JoinError,
    JoinRefused,
    JoinTimeout,
    KeyTooLarge,
    Overloaded,
    QuorumError,
    RateLimited,
    ReadFailed,
    SerializationError,
    SiblingsError,
    StorageError,
    TooManySiblings,
    Unavailable,
    UsageError,
    ValueTooLarge,
)
from dynamokv.types import Consistency, Durability

# Worker processes of the store import this package too, and need neither sockets nor event loops:
# without these, half of their memory, and of the time that they take to start.
if _typing.TYPE_CHECKING or "_DYNAMOKV_WORKER" not in _os.environ:
    from dynamokv.api.asynchronous import AsyncBucket
    from dynamokv.api.blocking import Bucket
    from dynamokv.api.client import Client, DistributedKVStore, connect
    from dynamokv.api.node import AsyncNode, Node, join, join_async
    from dynamokv.api.receipts import BatchResult, Entry, Receipt

__version__ = "0.1.0"

__all__ = [
    "AddressInUse",
    "AsyncBucket",
    "AsyncNode",
    "AuthenticationError",
    "BatchResult",
    "Bucket",
    "Client",
    "ClientConfig",
    "ClosedError",
    "ClusterMismatch",
    "ConfigError",
    "Consistency",
    "CorruptionError",
    "DataDirLocked",
    "DiskFull",
    "DistributedKVStore",
    "Durability",
    "DynamoKVError",
    "Entry",
    "ForkedError",
    "HandleError",
    "Indeterminate",
    "InvalidContext",
    "InvalidKey",
    "JoinError",
    "JoinRefused",
    "JoinTimeout",
    "KeyTooLarge",
    "Node",
    "NodeConfig",
    "Overloaded",
    "QuorumError",
    "RateLimited",
    "ReadFailed",
    "Receipt",
    "SerializationError",
    "SiblingsError",
    "StorageError",
    "TooManySiblings",
    "Unavailable",
    "UsageError",
    "ValueTooLarge",
    "connect",
    "join",
    "join_async",
]
