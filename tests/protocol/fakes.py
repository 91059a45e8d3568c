"""A clock, and a store that keeps its writes as the runtime's committer does."""

from __future__ import annotations

from collections.abc import Iterator

from dynamokv.protocol.effects import After, Write, WriteFailed

START_MS = 1_700_000_000_000
"""The wall clock of every test at its start: a whole second."""


class Time:
    """What time it is, for everybody."""

    def __init__(self) -> None:
        self.now_us = 0


class Clock:
    """``ports.Clock`` of one process, which may be wrong by ``skew_ms``."""

    def __init__(self, time: Time, skew_ms: int = 0) -> None:
        self.time = time
        self.skew_ms = skew_ms

    def wall_ms(self) -> int:
        return START_MS + self.time.now_us // 1000 + self.skew_ms

    def monotonic(self) -> float:
        return self.time.now_us / 1_000_000


class Store:
    """``ports.Reader`` and the way of writes into it: taken in, begun as a batch, finished.

    Attributes:
        rows: what is applied, and so visible.
        failing: why the disk refuses every batch; nothing while it works.
        synced: whether each batch is on the disk once it is applied. Otherwise only one with a
            synced write is, and takes all before it along.
    """

    def __init__(self, rows: dict[bytes, bytes] | None = None, *, synced: bool = True) -> None:
        self.rows = dict(rows or {})
        self.failing = ""
        self.synced = synced
        self._on_disk = dict(self.rows)
        self._unsynced: list[tuple[bytes, bytes]] = []
        self._newest: dict[bytes, bytes] = {}
        self._taken: list[Write] = []
        self._begun: list[Write] = []

    def visible(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def newest(self, key: bytes) -> bytes | None:
        return self._newest.get(key) or self.rows.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        newest = {**self.rows, **self._newest}
        return iter([(key, newest[key]) for key in sorted(newest) if start <= key < end])

    def write(self, effect: Write) -> None:
        self._newest.update(effect.rows)
        self._taken.append(effect)

    @property
    def begun(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._begun or self._taken)

    def begin(self, count: int | None = None) -> bool:
        """Send what was taken in on its way, or the first ``count`` writes of it; False when there
        is nothing, or when something is on its way."""
        if self._begun or not self._taken:
            return False
        self._begun, self._taken = self._taken[:count], self._taken[len(self._taken[:count]) :]
        return True

    def finish(self) -> list[After]:
        """The batch on its way is applied, or refused; what that releases."""
        batch, self._begun = self._begun, []
        rows = [row for effect in batch for row in effect.rows]
        for key, record in rows:
            if self._newest.get(key) is record:
                del self._newest[key]
        if self.failing:
            return [_blamed(effect.otherwise, self.failing) for effect in batch if effect.otherwise]
        self.rows.update(rows)
        self._unsynced += rows
        if self.synced or any(effect.synced for effect in batch):
            self._on_disk.update(self._unsynced)
            self._unsynced = []
        return [effect.then for effect in batch if effect.then is not None]

    def after_crash(self, kept: float = 0.0) -> Store:
        """What the disk holds when the machine dies now, and this part of what was not synced."""
        kept_rows = dict(self._unsynced[: int(len(self._unsynced) * kept)])
        return Store({**self._on_disk, **kept_rows}, synced=self.synced)


def _blamed(after: After, reason: str) -> After:
    return after._replace(reason=reason) if type(after) is WriteFailed else after
