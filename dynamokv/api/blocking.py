"""The blocking face of a store. The asyncio twin is ``asynchronous.py``; a test compares their
signatures.

It is also a mapping over single keys: ``kv["k"]``, ``kv["k"] = v``, ``del kv["k"]``, ``"k" in kv``.
Any thread may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

from dynamokv.api import batches, calls
from dynamokv.api.calls import Call, Items, Key, Level, Scope
from dynamokv.api.receipts import BatchResult, Entry, Receipt
from dynamokv.api.resolvers import Resolver
from dynamokv.api.session import Access
from dynamokv.errors import UsageError

T = TypeVar("T")

_MISSING = object()


class BlockingStore:
    """The calls, waiting for each. Any thread may call."""

    _scope: Scope
    _session: Access

    def get(
        self,
        key: Key,
        default: Any = None,
        *,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The value of a key, siblings resolved, or ``default``.

        Raises:
            ReadFailed, Unavailable: not enough replicas answered.
            SiblingsError: the resolver is ``keep_all`` and there are several values.
        """
        return self._run(calls.get(self._session, self._scope, key, default, consistency, timeout))

    def read(
        self,
        key: Key,
        default: Any = None,
        *,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> Entry:
        """The key with all its siblings, its context and a receipt."""
        return self._run(calls.read(self._scope, key, default, consistency, timeout))

    def put(
        self,
        key: Key,
        value: Any,
        *,
        context: bytes | None = None,
        ttl: float | None = None,
        consistency: Level | None = None,
        sloppy: bool | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Write a value: over all that the coordinator holds, or, with ``context``, over what that
        has seen.

        Args:
            ttl: seconds until the value counts as deleted.
            sloppy: False refuses to count stand-ins for owners that are down.

        Raises:
            Indeterminate: it may or may not take effect.
            Unavailable, UsageError, Overloaded: not applied.
        """
        options = calls.writing(self._scope, ttl, consistency, sloppy, timeout)
        return self._run(calls.put(options, key, value, context))

    def delete(
        self,
        key: Key,
        *,
        context: bytes | None = None,
        consistency: Level | None = None,
        sloppy: bool | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Delete a key, as ``put`` writes it. Deleting what is not there is no error."""
        options = calls.writing(self._scope, None, consistency, sloppy, timeout)
        return self._run(calls.delete(options, key, context))

    def update(
        self,
        key: Key,
        fn: Callable[[Any], Any],
        *,
        default: Any = None,
        ttl: float | None = None,
        consistency: Level | None = None,
        sloppy: bool | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Read, ``fn(value)``, put what it returns with the context read: a concurrent write is
        kept as a sibling, not lost.

        Args:
            fn: gets the value, siblings resolved, or ``default``; not a coroutine function.
            ttl: as of ``put``. Without one, and without one of the bucket, what was to lapse lapses
                when it would have.
        """
        options = calls.writing(self._scope, ttl, consistency, sloppy, timeout)
        return self._run(calls.update(options, key, fn, default))

    def batch_get(
        self,
        keys: Iterable[Key],
        default: Any = None,
        *,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> BatchResult[Any]:
        """The values of many keys; a key that fails stands in ``.errors`` and fails alone."""
        return self._run(
            batches.batch_get(self._session, self._scope, keys, default, consistency, timeout)
        )

    def batch_put(
        self,
        items: Items,
        *,
        ttl: float | None = None,
        consistency: Level | None = None,
        sloppy: bool | None = None,
        timeout: float | None = None,
    ) -> BatchResult[Receipt]:
        """Write many keys, a mapping or pairs; a key that fails stands in ``.errors`` and fails
        alone."""
        options = calls.writing(self._scope, ttl, consistency, sloppy, timeout)
        return self._run(batches.batch_put(self._session, options, items))

    def batch_delete(
        self,
        keys: Iterable[Key],
        *,
        consistency: Level | None = None,
        sloppy: bool | None = None,
        timeout: float | None = None,
    ) -> BatchResult[Receipt]:
        """Delete many keys; a key that fails stands in ``.errors`` and fails alone."""
        options = calls.writing(self._scope, None, consistency, sloppy, timeout)
        return self._run(batches.batch_delete(self._session, options, keys))

    def bucket(
        self,
        name: Key,
        *,
        resolver: str | Resolver | None = None,
        ttl: float | None = None,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> Bucket:
        """A namespace with defaults of its own. Cheap; keep it or make it anew."""
        return Bucket(self, self._scope.within(name, resolver, ttl, consistency, timeout))

    def __getitem__(self, key: Key) -> Any:
        """``get``, and ``KeyError`` where there is nothing."""
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Key, value: Any) -> None:
        """``put``."""
        self.put(key, value)

    def __delitem__(self, key: Key) -> None:
        """``delete`` of what is there, and ``KeyError`` where there is nothing."""
        entry = self.read(key)
        if not entry.exists:
            raise KeyError(key)
        self.delete(key, context=entry.context)

    def __contains__(self, key: Key) -> bool:
        """Whether there is a value."""
        return self.read(key).exists

    def __iter__(self) -> NoReturn:
        """Refused: without it, Python would ask for the keys 0, 1, 2."""
        raise UsageError(
            "keys cannot be listed: the application has to know them, or to keep a list of them "
            "under a key of its own"
        )

    def _run(self, call: Call[T]) -> T:
        session = self._session
        session.running()
        try:
            request = next(call)
            while True:
                if type(request) is list:
                    request = call.send(session.call_all(request))
                else:
                    request = call.send(session.call(request))
        except StopIteration as done:
            result: T = done.value
            return result


class Bucket(BlockingStore):
    """A bucket of a blocking store: the same calls, with keys and defaults of its own."""

    def __init__(self, parent: BlockingStore, scope: Scope) -> None:
        self._session = parent._session
        self._scope = scope
