"""What a call tells about itself: receipts, entries, and the results of batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How a request was served."""

    context: bytes
    """What this request has seen, and, after a write, done. Opaque; pass it to the next ``put`` of
    the key."""

    needed: int
    """Replicas that had to answer."""

    replicas: tuple[str, ...]
    """Node ids, in hex, of the replicas that had answered when the request was done; stand-ins
    among them where ``sloppy`` says so."""

    sloppy: bool = False
    """Whether a stand-in's answer was needed: durable, but no promise that the next read meets it.
    """

    hinted: tuple[str, ...] = ()
    """Node ids of the owners that were away, and will be given this write when they are back."""

    epoch: int = 0
    """The topology that the request was served under."""

    duration: float = 0.0
    """Seconds from call to answer."""

    @property
    def acks(self) -> int:
        """How many replicas had answered."""
        return len(self.replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key as a read found it."""

    values: list[Any]
    """Every sibling, newest first; empty when there is nothing."""

    receipt: Receipt
    """How the read was served."""

    ttl: float | None = None
    """Seconds until the last of the values counts as deleted; None where one of them stays, or
    nothing is there."""

    resolve: Callable[[list[Any], bytes], Any] = field(repr=False)
    default: Any = None

    @property
    def exists(self) -> bool:
        """Whether there is a value."""
        return bool(self.values)

    @property
    def context(self) -> bytes:
        """Pass it to ``put`` to replace exactly what was read."""
        return self.receipt.context

    @property
    def value(self) -> Any:
        """The value, siblings resolved. Raises ``SiblingsError`` if the resolver is ``keep_all``
        and there are several."""
        return self.resolve(self.values, self.context) if self.values else self.default


class BatchResult(dict[str | bytes, V], Generic[V]):
    """Result by key, for the keys that went well; ``errors`` has the others.

    Attributes:
        errors: what each failed key would have raised on its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str | bytes, Exception] = {}

    @property
    def ok(self) -> bool:
        """Whether every key went well."""
        return not self.errors

    def raise_for_errors(self) -> None:
        """Raise the first error, if there is one."""
        for error in self.errors.values():
            raise error
