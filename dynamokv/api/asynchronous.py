"""The asyncio face of a store. The blocking twin is ``blocking.py``; a test compares their
signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from dynamokv.api import batches, calls
from dynamokv.api.calls import Call, Items, Key, Level, Scope
from dynamokv.api.receipts import BatchResult, Entry, Receipt
from dynamokv.api.resolvers import Resolver
from dynamokv.api.session import Access

T = TypeVar("T")


class AsyncStore:
    """The calls, awaited. One loop only: the one that the store was opened on."""

    _scope: Scope
    _session: Access

    async def get(
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
        return await self._run(
            calls.get(self._session, self._scope, key, default, consistency, timeout)
        )

    async def read(
        self,
        key: Key,
        default: Any = None,
        *,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> Entry:
        """The key with all its siblings, its context and a receipt."""
        return await self._run(calls.read(self._scope, key, default, consistency, timeout))

    async def put(
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
        return await self._run(calls.put(options, key, value, context))

    async def delete(
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
        return await self._run(calls.delete(options, key, context))

    async def update(
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
        return await self._run(calls.update(options, key, fn, default))

    async def batch_get(
        self,
        keys: Iterable[Key],
        default: Any = None,
        *,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> BatchResult[Any]:
        """The values of many keys; a key that fails stands in ``.errors`` and fails alone."""
        return await self._run(
            batches.batch_get(self._session, self._scope, keys, default, consistency, timeout)
        )

    async def batch_put(
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
        return await self._run(batches.batch_put(self._session, options, items))

    async def batch_delete(
        self,
        keys: Iterable[Key],
        *,
        consistency: Level | None = None,
        sloppy: bool | None = None,
        timeout: float | None = None,
    ) -> BatchResult[Receipt]:
        """Delete many keys; a key that fails stands in ``.errors`` and fails alone."""
        options = calls.writing(self._scope, None, consistency, sloppy, timeout)
        return await self._run(batches.batch_delete(self._session, options, keys))

    def bucket(
        self,
        name: Key,
        *,
        resolver: str | Resolver | None = None,
        ttl: float | None = None,
        consistency: Level | None = None,
        timeout: float | None = None,
    ) -> AsyncBucket:
        """A namespace with defaults of its own. Cheap; keep it or make it anew."""
        return AsyncBucket(self, self._scope.within(name, resolver, ttl, consistency, timeout))

    async def _run(self, call: Call[T]) -> T:
        session = self._session
        if not session.opened:
            await self._open()
        try:
            request = next(call)
            while True:
                if type(request) is list:
                    request = call.send(await session.requests(request))
                else:
                    request = call.send(await session.request(request))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _open(self) -> None:
        """What the first call does on a face that is not open."""
        self._session.running()


class AsyncBucket(AsyncStore):
    """A bucket of an asyncio store: the same calls, with keys and defaults of its own."""

    def __init__(self, parent: AsyncStore, scope: Scope) -> None:
        self._parent = parent
        self._session = parent._session
        self._scope = scope

    async def _open(self) -> None:
        await self._parent._open()
