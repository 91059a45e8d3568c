"""Every call, once: from the caller's arguments to requests, and from replies to results.

A call is a generator. It yields a request, or a list of requests to run together, and is sent the
replies; what it returns is the result. So the blocking and the asyncio faces differ only in how
they wait, and hold no logic of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeVar

from dynamokv import errors, limits
from dynamokv.api.receipts import Entry, Receipt
from dynamokv.api.resolvers import Resolver, keep_all, latest, resolver_of
from dynamokv.api.values import CBOR, decode_value, encode_value
from dynamokv.config import ClientConfig, NodeConfig
from dynamokv.ports import Clock, Serializer
from dynamokv.runtime.clocks import SystemClock
from dynamokv.types import Consistency
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.context import SEAL_BYTES, token_of

Key: TypeAlias = str | bytes
Level: TypeAlias = Consistency | str | int
Items: TypeAlias = (
    Mapping[str, Any] | Mapping[bytes, Any] | Mapping[Key, Any] | Iterable[tuple[Key, Any]]
)
"""A mapping is invariant in its keys, so each kind has to be named."""

T = TypeVar("T")

Call: TypeAlias = Generator[Any, Any, T]

NO_SEAL = bytes(SEAL_BYTES)
SYSTEM_CLOCK = SystemClock()


class Session(Protocol):
    """What a call needs of the process it runs in; any thread may ask."""

    def read_here(self, name: bytes) -> bytes | None:
        """This process's own copy, ``b""`` for none; ``None`` when it owns no copy."""
        ...

    def group(self, names: list[bytes], sizes: list[int], *, writes: bool) -> list[list[int]]:
        """Positions of the names, grouped by their owners."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A bucket as calls see it: its name, its defaults, and the time that values lapse by."""

    bucket: bytes = b""
    resolver: Resolver = latest
    ttl_ms: int = 0
    level: int = Consistency.QUORUM
    budget_ms: int = 5000
    serializer: Serializer = field(default=CBOR)
    clock: Clock = SYSTEM_CLOCK

    def name(self, key: Key) -> bytes:
        """The key with its bucket, as it is hashed and stored.

        Raises:
            InvalidKey, KeyTooLarge: it cannot be a key.
        """
        if isinstance(key, str):
            try:
                key = key.encode()
            except UnicodeEncodeError:
                raise errors.InvalidKey(f"the key {key!r} is not valid text: pass bytes") from None
        elif not isinstance(key, bytes):
            raise errors.InvalidKey(f"a key is str or bytes, not {type(key).__name__}")
        if not 0 < len(key) <= limits.KEY_BYTES_MAX:
            if not key:
                raise errors.InvalidKey("the key is empty: 1 to 1,024 bytes are needed")
            raise errors.KeyTooLarge(
                f"the key has {len(key):,} bytes, the limit is {limits.KEY_BYTES_MAX:,}: "
                "hash it, or shorten it"
            )
        return row_keys.name_of(self.bucket, key)

    def level_of(self, consistency: Level | None) -> int:
        """The level of a call."""
        return self.level if consistency is None else Consistency.parse(consistency)

    def budget_of(self, timeout: float | None) -> int:
        """The milliseconds of a call."""
        if timeout is None:
            return self.budget_ms
        return milliseconds("timeout", timeout)

    def show(self, values: list[Any], context: bytes) -> Any:
        """Siblings as the bucket's resolver shows them."""
        if len(values) > 1 and self.resolver is keep_all:
            raise errors.SiblingsError(values, context)
        return values[0] if len(values) == 1 else self.resolver(values)

    def within(
        self,
        name: Key,
        resolver: str | Resolver | None,
        ttl: float | None,
        consistency: Level | None,
        timeout: float | None,
    ) -> Scope:
        """A bucket inside this one's settings; what is not given is taken over."""
        bucket = _bucket_bytes(name)
        if not 0 < len(bucket) <= limits.BUCKET_NAME_BYTES_MAX:
            raise errors.UsageError(
                f"a bucket's name has 1 to {limits.BUCKET_NAME_BYTES_MAX} bytes, not {len(bucket)}"
            )
        return replace(
            self,
            bucket=bucket,
            resolver=self.resolver if resolver is None else resolver_of(resolver),
            ttl_ms=self.ttl_ms if ttl is None else milliseconds("ttl", ttl),
            level=self.level_of(consistency),
            budget_ms=self.budget_of(timeout),
        )


def scope_of(config: NodeConfig | ClientConfig, clock: Clock = SYSTEM_CLOCK) -> Scope:
    """The defaults of a member or a client."""
    return Scope(
        level=config.consistency,
        budget_ms=max(1, round(config.request_timeout * 1000)),
        serializer=config.serializer or CBOR,
        clock=clock,
    )


# --- reading --------------------------------------------------------------------------------------


def get(
    session: Session,
    scope: Scope,
    key: Key,
    default: Any,
    consistency: Level | None,
    timeout: float | None,
) -> Call[Any]:
    """The value, siblings resolved."""
    name = scope.name(key)
    level = scope.level_of(consistency)
    # Only ``keep_all`` hands a context out, and the local short cut has none to give.
    sealed = scope.resolver is keep_all
    if level == Consistency.ONE and not sealed:
        record = session.read_here(name)
        if record is not None:
            return value_of(scope, record, default, NO_SEAL)
    reply = yield m.GetRequest(0, 0, scope.budget_of(timeout), level, sealed, [name])
    if type(reply) is not m.GetDone:
        raise error_of(reply)
    return value_of(scope, reply.records[0], default, reply.seals[0] if reply.seals else NO_SEAL)


def read(
    scope: Scope, key: Key, default: Any, consistency: Level | None, timeout: float | None
) -> Call[Entry]:
    """The value with everything that is known about it."""
    level, budget_ms = scope.level_of(consistency), scope.budget_of(timeout)
    started = scope.clock.monotonic()
    reply = yield m.GetRequest(0, 0, budget_ms, level, True, [scope.name(key)])
    if type(reply) is not m.GetDone:
        raise error_of(reply)
    record, seal = reply.records[0], reply.seals[0]
    receipt = Receipt(
        context=token_of(record, seal),
        needed=reply.needed,
        replicas=_hex(reply.replicas),
        epoch=reply.epoch,
        duration=scope.clock.monotonic() - started,
    )
    wall_ms = scope.clock.wall_ms()
    return Entry(
        values=_live(scope, record, wall_ms),
        ttl=_remaining(record, wall_ms),
        receipt=receipt,
        resolve=scope.show,
        default=default,
    )


def value_of(scope: Scope, record: bytes, default: Any, seal: bytes) -> Any:
    """The value in a record as the bucket's resolver shows it, or the default."""
    if not record:
        return default
    values = records.live_values(record, scope.clock.wall_ms())
    if len(values) == 1:
        return decode_value(values[0], scope.serializer)
    if not values:
        return default
    decoded = [decode_value(value, scope.serializer) for value in values]
    return scope.show(decoded, token_of(record, seal))


def _live(scope: Scope, record: bytes, wall_ms: int) -> list[Any]:
    if not record:
        return []
    values = records.live_values(record, wall_ms)
    return [decode_value(value, scope.serializer) for value in values]


def _remaining(record: bytes, wall_ms: int) -> float | None:
    """Seconds until the last of the live values lapses; None where one stays, or there is none."""
    versions = records.decode(record).versions if record else ()
    ends = [version.expires_ms for version in versions if version.alive(wall_ms)]
    return (max(ends) - wall_ms) / 1000 if ends and all(ends) else None


# --- writing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Writing:
    """The options that all writes share, checked."""

    scope: Scope
    ttl_ms: int
    level: int
    sloppy: bool
    budget_ms: int
    delete: bool = False

    def request(
        self, names: list[bytes], values: list[bytes], contexts: list[bytes]
    ) -> m.PutRequest:
        """The request for these names."""
        return m.PutRequest(
            0,
            0,
            self.budget_ms,
            self.level,
            self.sloppy,
            self.delete,
            self.ttl_ms,
            names,
            values,
            contexts,
        )


def writing(
    scope: Scope,
    ttl: float | None,
    consistency: Level | None,
    sloppy: bool | None,
    timeout: float | None,
) -> Writing:
    """Check the options of a write."""
    ttl_ms = scope.ttl_ms if ttl is None else milliseconds("ttl", ttl)
    level, budget_ms = scope.level_of(consistency), scope.budget_of(timeout)
    if sloppy not in (None, True, False):
        raise errors.UsageError(f"sloppy must be True, False or None, not {sloppy!r}")
    return Writing(scope, ttl_ms, level, sloppy is None or bool(sloppy), budget_ms)


def put(options: Writing, key: Key, value: Any, context: bytes | None) -> Call[Receipt]:
    """Write a value."""
    name = options.scope.name(key)
    data = encode_value(value, options.scope.serializer)
    return (yield from _write(options, name, data, context))


def delete(options: Writing, key: Key, context: bytes | None) -> Call[Receipt]:
    """Write a tombstone."""
    options = replace(options, delete=True, ttl_ms=0)
    return (yield from _write(options, options.scope.name(key), b"", context))


def update(options: Writing, key: Key, change: Callable[[Any], Any], default: Any) -> Call[Receipt]:
    """Read, change, write with the context that was read. What was to lapse still does, then."""
    scope = replace(options.scope, level=options.level, budget_ms=options.budget_ms)
    entry = yield from read(scope, key, default, None, None)
    value = change(entry.value)
    if entry.ttl is not None and not options.ttl_ms:
        options = replace(options, ttl_ms=milliseconds("ttl", entry.ttl))
    return (yield from put(options, key, value, entry.context))


def _write(options: Writing, name: bytes, data: bytes, context: bytes | None) -> Call[Receipt]:
    started = options.scope.clock.monotonic()
    contexts = [] if context is None else [_checked_context(context)]
    reply = yield options.request([name], [data], contexts)
    if type(reply) is not m.PutDone:
        raise error_of(reply)
    if reply.errors:
        raise put_error(reply.errors[0])
    return receipt_of(reply, 0, options.scope.clock.monotonic() - started)


def _checked_context(context: object) -> bytes:
    if not isinstance(context, bytes):
        raise errors.InvalidContext(
            f"a context is bytes from read() or a receipt, not {type(context).__name__}"
        )
    if not context:
        raise errors.InvalidContext("the context is empty: read() gives one also where nothing is")
    return context


# --- the ring -------------------------------------------------------------------------------------


def ask(budget_ms: int, part: str) -> Call[dict[str, Any]]:
    """A part of the status document of some member."""
    reply = yield m.StatusRequest(0, 0, budget_ms)
    if type(reply) is not m.StatusReply:
        raise error_of(reply)
    found: dict[str, Any] = codec.decode(reply.document)[part]
    return found


# --- replies --------------------------------------------------------------------------------------


def error_of(failed: m.Failed) -> errors.DynamoKVError:
    """The exception that a failed request becomes."""
    quorum: type[errors.QuorumError]
    if failed.code == m.FailedCode.OVERLOADED:
        return errors.Overloaded(failed.detail)
    if failed.code == m.FailedCode.USAGE:
        return errors.UsageError(failed.detail)
    if failed.code == m.FailedCode.INDETERMINATE:
        quorum = errors.Indeterminate
    elif failed.code == m.FailedCode.READ_FAILED:
        quorum = errors.ReadFailed
    else:
        quorum = errors.Unavailable
    return quorum(failed.needed, failed.got, failed.failed, failed.detail)


def put_error(code: int) -> errors.UsageError:
    """The exception that a refused name becomes."""
    if code == m.PutError.SIBLINGS:
        return errors.TooManySiblings(
            "this key has reached its sibling cap: read() it, merge .values, and put the result "
            "with the new .context"
        )
    return errors.InvalidContext(
        "this context was not given by this ring for this key: pass .context of a read() or of "
        "a receipt, unchanged"
    )


def receipt_of(reply: m.PutDone, position: int, duration: float) -> Receipt:
    """The receipt of one name of a write."""
    return Receipt(
        context=reply.contexts[position],
        needed=reply.needed,
        replicas=_hex(reply.replicas),
        sloppy=reply.sloppy,
        hinted=_hex(reply.hinted),
        epoch=reply.epoch,
        duration=duration,
    )


def _hex(ids: list[bytes]) -> tuple[str, ...]:
    return tuple(node_id.hex() for node_id in ids)


def milliseconds(name: str, seconds: float) -> int:
    """A duration of a caller, as it travels. Raises ``UsageError`` for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise errors.UsageError(f"{name} must be a positive number of seconds, not {seconds!r}")
    return max(1, round(min(seconds * 1000, limits.DURATION_MS_MAX)))


def _bucket_bytes(name: object) -> bytes:
    if isinstance(name, bytes):
        return name
    if not isinstance(name, str):
        raise errors.UsageError(f"a bucket's name is str or bytes, not {type(name).__name__}")
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise errors.UsageError(f"the name {name!r} is not valid text: pass bytes") from None
