"""What was read and may be read again, within a number of bytes.

Knows: keys, bytes, and what Python charges for keeping them. Must not know: what they mean. One
class serves rows and blocks.

A cache has two generations. New entries, and old ones that are read again, go to the young one;
once that has half of the budget it becomes the old one, and the old one is forgotten. It
is about as good as least-recently-used (it is its coarsest form, and the "second chance" of page
replacement), and a hit costs one look into a dict, where a linked list costs several writes.

Invariants:

- The entries together, with Python's overhead, are never above the budget.
- What ``get`` returns was put under that key, and was not replaced or discarded before the call.
  Looking is without a lock, because one look into a dict is one step; whatever changes a generation
  holds the lock.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from sys import getsizeof
from threading import Lock
from typing import Final, Generic, TypeAlias, TypeVar

Key = TypeVar("Key", bound=Hashable)

ENTRY_BYTES: Final = 104
"""A slot of a dict: 24 bytes, an index of up to 8, and room to grow by a factor of up to three."""


KEYS_AT_ONCE: Final = 256
"""Keys that are brought up to date while others wait for the lock: some ten microseconds."""


class Cache(Generic[Key]):
    """Bytes by key.

    Attributes:
        hits, misses: calls of ``get``. Exact only while one thread reads.
        budget_bytes: the bound.
    """

    __slots__ = (
        "_gone",
        "_gone_bytes",
        "_lock",
        "_old",
        "_old_bytes",
        "_young",
        "_young_bytes",
        "budget_bytes",
        "hits",
        "misses",
    )

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.hits = 0
        self.misses = 0
        self._lock = Lock()
        self._young: dict[Key, bytes] = {}
        self._old: dict[Key, bytes] = {}
        self._gone: dict[Key, bytes] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        self._gone_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Of all entries, with Python's overhead."""
        return self._young_bytes + self._old_bytes + self._gone_bytes

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Key) -> bytes | None:
        """The value, or ``None`` where there is none."""
        value = self._young.get(key)
        if value is None:
            # Nearly every miss ends here, and without the lock.
            if key in self._old:
                value = self._promote(key)
            if value is None:
                self.misses += 1
                return None
        self.hits += 1
        return value

    def put(self, key: Key, value: bytes) -> None:
        """Keep this value for a while, in place of any other; one that is over half of the budget
        is not kept."""
        with self._lock:
            if key in self._young or key in self._old:
                self._forget(key)
            self._keep(key, value)

    def discard(self, key: Key) -> None:
        """Forget the value of this key."""
        with self._lock:
            self._forget(key)

    def refresh(self, newest: Mapping[Key, bytes | None]) -> None:
        """Bring what is kept of these keys up to date; ``None`` forgets. Keeps no new ones."""
        keys = list(newest)
        for at in range(0, len(keys), KEYS_AT_ONCE):
            # With the lock, or a key on its way from one generation to the other would be missed.
            with self._lock:
                for key in keys[at : at + KEYS_AT_ONCE]:
                    if key in self._young or key in self._old:
                        value = newest[key]
                        self._forget(key)
                        if value is not None:
                            self._keep(key, value)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._young, self._young_bytes = {}, 0
            self._old, self._old_bytes = {}, 0
            self._gone, self._gone_bytes = {}, 0

    def resize(self, budget_bytes: int) -> None:
        """Change the budget; it holds on return."""
        with self._lock:
            self.budget_bytes = budget_bytes
            self._shrink()

    def _promote(self, key: Key) -> bytes | None:
        with self._lock:
            # Another thread may have moved it by now: a miss that need not be, and no wrong value.
            value = self._old.get(key)
            if value is not None:
                self._forget(key)
                self._keep(key, value)
            return value

    def _keep(self, key: Key, value: bytes) -> None:
        size = _charge(key, value)
        half = self.budget_bytes // 2
        if size > half:
            return
        young_bytes = self._young_bytes + size
        if young_bytes > half:
            self._gone, self._gone_bytes = self._old, self._old_bytes
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, young_bytes = {}, size
        self._young[key] = value
        self._young_bytes = young_bytes
        # As much of what is forgotten goes as the new entry needs: freeing a whole generation at
        # once would be a pause that every thread feels.
        while self._gone_bytes and young_bytes + self._gone_bytes > half:
            self._gone_bytes -= _charge(*self._gone.popitem())
        if young_bytes + self._old_bytes + self._gone_bytes > self.budget_bytes:
            # Only after the budget was lowered.
            self._shrink()

    def _forget(self, key: Key) -> None:
        value = self._young.pop(key, None)
        if value is not None:
            self._young_bytes -= _charge(key, value)
            return
        value = self._old.pop(key, None)
        if value is not None:
            self._old_bytes -= _charge(key, value)

    def _shrink(self) -> None:
        if self.size_bytes > self.budget_bytes:
            self._gone, self._gone_bytes = {}, 0
        if self._young_bytes + self._old_bytes > self.budget_bytes:
            self._old, self._old_bytes = {}, 0
        if self._young_bytes > self.budget_bytes:
            self._young, self._young_bytes = {}, 0


def _charge(key: Hashable, value: bytes) -> int:
    return getsizeof(key) + getsizeof(value) + ENTRY_BYTES


RowCache: TypeAlias = Cache[bytes]
"""Values by the store's keys."""

BlockCache: TypeAlias = Cache[int]
"""Blocks as they were before compression, by ``block_id``. A block never changes and no number of a
table is used twice, so nothing has to be discarded."""


def block_id(number: int, block: int) -> int:
    """The key of a table's block. One number, because a tuple takes twice as long to look up."""
    return number << 32 | block
