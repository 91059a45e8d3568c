"""dynamokv: a leaderless key-value store that lives inside Python applications."""

import os as _os
import sys as _sys
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

# Sockets and event loops come with the package, so that no first call is held up by an import. Two
# import it without using it: worker processes of the store (without these names, half of their
# memory, and of the time that they take to start), and pytest, which loads the plug-in of every
# installed package in every run. There they come at their first use.
if _typing.TYPE_CHECKING or not ("_DYNAMOKV_WORKER" in _os.environ or "pytest" in _sys.modules):
    from dynamokv.api.public import (
        AsyncBucket,
        AsyncNode,
        BatchResult,
        Bucket,
        Client,
        DistributedKVStore,
        Entry,
        Node,
        Receipt,
        connect,
        join,
        join_async,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from dynamokv.api import public

        for known in public.__all__:
            # A test may have put something in the place of one of them.
            globals().setdefault(known, getattr(public, known))
        return globals()[name]

    def __dir__() -> list[str]:
        # What makes a double of a module (``create_autospec``) looks here first.
        return sorted({*globals(), *__all__})


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
