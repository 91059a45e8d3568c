"""dynamokv: a leaderless key-value store that lives inside Python applications."""

import importlib as _importlib
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

if _typing.TYPE_CHECKING:
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

# Imported when first asked for, because worker processes of the store import this package too, and
# need neither sockets nor event loops: half of their memory, and of the time that they take to
# start.
_HOMES = {
    "asynchronous": ("AsyncBucket",),
    "blocking": ("Bucket",),
    "client": ("Client", "DistributedKVStore", "connect"),
    "node": ("AsyncNode", "Node", "join", "join_async"),
    "receipts": ("BatchResult", "Entry", "Receipt"),
}


def __getattr__(name: str) -> _typing.Any:
    for home, names in _HOMES.items():
        if name in names:
            module = _importlib.import_module(f"dynamokv.api.{home}")
            globals().update({name: getattr(module, name) for name in names})
            return globals()[name]
    raise AttributeError(f"module 'dynamokv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
