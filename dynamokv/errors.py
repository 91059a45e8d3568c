"""Every exception that dynamokv raises on purpose, as one tree.

Whose fault it is shows in the type, and the docstring of each leaf says whether the operation may
have been applied. No exception of a library underneath (``zmq.ZMQError``,
``cbor2.CBORDecodeError``, ``OSError`` of our files) reaches a caller.

::

    DynamoKVError
    +-- UsageError (ValueError)            the caller's: fix the call
    |   +-- InvalidKey
    |   |   +-- KeyTooLarge
    |   +-- ValueTooLarge
    |   +-- SerializationError
    |   +-- InvalidContext
    |   +-- TooManySiblings
    |   +-- ConfigError
    +-- QuorumError                        the ring's: needed, got, failed
    |   +-- Unavailable                    nothing was sent
    |   +-- Indeterminate (TimeoutError)   a write that may still take effect
    |   +-- ReadFailed (TimeoutError)      a read that ended without its quorum
    +-- Overloaded                         shed before any work
    |   +-- RateLimited
    +-- SiblingsError                      the resolver "keep_all" met siblings
    +-- StorageError                       this member's disk
    |   +-- CorruptionError
    |   +-- DiskFull
    |   +-- DataDirLocked
    +-- JoinError                          joining or connecting
    |   +-- ClusterMismatch
    |   +-- AuthenticationError
    |   +-- AddressInUse
    |   +-- JoinRefused
    |   +-- JoinTimeout (TimeoutError)
    +-- HandleError                        this handle can no longer be used
        +-- ClosedError
        +-- ForkedError
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DynamoKVError(Exception):
    """The root: ``except DynamoKVError`` catches everything that this library raises on purpose."""


class UsageError(DynamoKVError, ValueError):
    """The call itself is wrong. Nothing was applied; the message says what to change."""


class InvalidKey(UsageError):
    """A key is empty or of a type that is not ``str`` or ``bytes``."""


class KeyTooLarge(InvalidKey):
    """A key is over 1,024 bytes once encoded."""


class ValueTooLarge(UsageError):
    """A value is over 1 MiB once encoded: keep the bytes in a blob store and their address here."""


class SerializationError(UsageError):
    """The serializer cannot carry this value, or cannot read back the stored bytes."""


class InvalidContext(UsageError):
    """A context that this ring never gave for this key: damaged, forged, or of another key."""


class TooManySiblings(UsageError):
    """A put with an old context would push a key past its sibling cap: read, merge, and put with
    the newest context."""


class ConfigError(UsageError):
    """A setting is unknown, misspelt, out of range or unsafe. The message names it."""


class QuorumError(DynamoKVError):
    """A request did not reach its consistency level.

    Attributes:
        needed: replicas that had to answer.
        got: replicas that did.
        failed: what went wrong, one line per replica that did not.
    """

    def __init__(self, needed: int, got: int, failed: Sequence[str] = (), detail: str = "") -> None:
        super().__init__(needed, got, tuple(failed), detail)
        self.needed = needed
        self.got = got
        self.failed = tuple(failed)
        self.detail = detail

    summary = "the request did not reach its consistency level"

    def __str__(self) -> str:
        text = f"{self.summary}: needed {self.needed}, got {self.got}"
        if self.failed:
            text += f"; failed: {', '.join(self.failed)}"
        return f"{text}; {self.detail}" if self.detail else text


class Unavailable(QuorumError):
    """Too few replicas are alive. Nothing was sent, so nothing was applied; it is safe to try
    again."""

    summary = "too few replicas are alive, nothing was sent"


class Indeterminate(QuorumError, TimeoutError):
    """A write ended without its quorum. It may still take effect, and it is never rolled back."""

    summary = "the write may or may not take effect"


class ReadFailed(QuorumError, TimeoutError):
    """A read ended without its quorum."""

    summary = "the read ended without its quorum"


class Overloaded(DynamoKVError):
    """A bounded queue is full, so the request was shed before any work. Not applied; back off and
    try again."""


class RateLimited(Overloaded):
    """A rate limit was hit. Not applied.

    Attributes:
        retry_after: seconds until a token is free.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"rate limit reached, retry after {self.retry_after:.3f} s"


class SiblingsError(DynamoKVError):
    """The resolver ``keep_all`` met more than one value.

    Attributes:
        values: every sibling, newest first.
        context: pass it to ``put`` together with the merged value.
    """

    def __init__(self, values: Sequence[Any], context: bytes) -> None:
        super().__init__(tuple(values), context)
        self.values = list(values)
        self.context = context

    def __str__(self) -> str:
        return f"{len(self.values)} siblings: merge .values and put the result with .context"


class StorageError(DynamoKVError):
    """This member's disk failed. A write that raised it was not acknowledged; it may have reached
    the disk."""


class CorruptionError(StorageError):
    """Bytes on disk fail their checksum or contradict each other."""


class DiskFull(StorageError):
    """No space left for a write. Not applied; reads go on, and writes resume by themselves when
    there is space."""


class DataDirLocked(StorageError):
    """Another process uses this data directory. Nothing was touched."""


class JoinError(DynamoKVError):
    """This process could not become, or find, a member of the ring."""


class ClusterMismatch(JoinError):
    """The peer belongs to another ring, or this process disagrees with a setting fixed when the
    ring was founded."""


class AuthenticationError(JoinError):
    """The peer refused this process's credentials."""


class AddressInUse(JoinError):
    """The address cannot be bound."""


class JoinRefused(JoinError):
    """The ring is there and said no. The message carries its reason."""


class JoinTimeout(JoinError, TimeoutError):
    """No ring answered in time."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "no ring answered in time"


class HandleError(DynamoKVError):
    """This handle can no longer be used. Nothing was applied."""


class ClosedError(HandleError):
    """The handle was closed."""


class ForkedError(HandleError):
    """The handle was opened before ``fork()``. Threads and sockets do not survive a fork: open a
    new one in the child."""
