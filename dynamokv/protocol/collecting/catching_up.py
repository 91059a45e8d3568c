"""A member whose horizon is behind another one's is rebuilt from it, not merged with it.

It may have been away, or come from a backup, or have lost its horizon: then it holds writes that
were deleted, and whose tombstones are gone. It shows the other one, key by key, what it has from
below that one's horizon. What the other one does not know of that was deleted, and goes here.

Rules:
    - What the other one lacks is believed only if afterwards it still has its horizon (``HOLD``):
      one that has lost something meanwhile has none any more.
    - What is newer than the horizon is joined as ever.
    - This only takes away, and brings up to date what is here. What is missing here comes by the
      usual ways; once both hold the same, the horizon is taken over (``gossip``).
    - One page of one partition is under way at a time, and whatever goes wrong ends it: the next
      statement of a member that is ahead begins it anew.
    - Partitions have their turn in the order in which somebody ahead told of them first; one that
      is told of again while it is under way comes after all that wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.ports import Row
from dynamokv.protocol.effects import Effect, Send, Write
from dynamokv.protocol.state.home import ClockDrift, Home
from dynamokv.wire import collecting
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.messages import Fetch, Fetched, Same
from dynamokv.wire.rounds import Agreed, Round, RoundStep
from dynamokv.wire.weight import weight_of

BUDGET_MS = round(limits.CATCH_UP_SECONDS * 1000)


class CatchingUp:
    """What one member is rebuilt of just now.

    Attributes:
        due: when ``step`` has something to do.
        asked: the id of the message whose answer is awaited; 0 for none.
    """

    def __init__(self, home: Home, new_id: Callable[[], int]) -> None:
        self.home = home
        self.due = math.inf
        self.asked = 0
        self._new_id = new_id
        # By partition, in order: whom to ask, and from below which horizon.
        self._waiting: dict[int, tuple[bytes, int]] = {}
        self._peer = b""
        self._partition = 0
        self._horizon = 0
        self._epoch = 0
        self._cursor = b""
        self._keys: list[bytes] = []
        self._found: list[bytes] = []

    def begin(self, peer: bytes, partition: int, horizon: int) -> None:
        """This member has this horizon of a partition, and holds something else; begin, or, while
        a partition is under way, let it wait for its turn."""
        if self._epoch != self.home.epoch:
            self._waiting.clear()
            self._epoch = self.home.epoch
            self._end()
        self._waiting[partition] = peer, horizon
        if self.due == math.inf:
            self._next()

    def _next(self) -> None:
        partition = next(iter(self._waiting))
        self._partition = partition
        self._peer, self._horizon = self._waiting.pop(partition)
        self._cursor = row_keys.partition_range(partition)[0]
        self.due = self.home.clock.monotonic()
        self.home.counters["rebuilds"] += 1

    def step(self, now: float) -> list[Effect]:
        """The next page, or the end, if it is time."""
        if now < self.due:
            return []
        if self.asked or self._epoch != self.home.epoch:
            return self._end()
        pressure = self.home.load.pressure
        if not pressure.turn(now, "catching up"):
            self.due = now + pressure.pause(now)
            return []
        try:
            page = self._page()
        except StorageError:
            self.home.counters["damaged_reads"] += 1
            return self._end()
        if not page:
            self.due = now + limits.COLLECT_STEP_SECONDS
            return [] if self._cursor else self._end()
        self._keys = [key for key, _ in page]
        digests = [records.digest(record) for _, record in page]
        return self._ask(Fetch(self._new_id(), self._epoch, BUDGET_MS, self._keys, digests))

    def _page(self) -> list[tuple[bytes, bytes]]:
        """Rows with something from below the horizon, among the next ones; the cursor goes on, and
        is nothing after the last."""
        end = row_keys.partition_range(self._partition)[1]
        if not self._cursor:
            return []
        rows = list(islice(self.home.reader.scan(self._cursor, end), limits.CATCH_UP_ROWS))
        self._cursor = rows[-1][0] + b"\0" if len(rows) == limits.CATCH_UP_ROWS else b""
        return [row for row in rows if collecting.unknown_below(row[1], {}, self._horizon)]

    def _ask(self, message: Fetch | Round) -> list[Effect]:
        self.asked = message.id
        self.due = self.home.clock.monotonic() + limits.CATCH_UP_SECONDS
        return [Send(self._peer, message)]

    def _end(self) -> list[Effect]:
        """Of this partition; the next one that waits has its turn."""
        self.asked, self.due = 0, math.inf
        if self._epoch != self.home.epoch:
            self._waiting.clear()
        if self._waiting:
            self._next()
        return []

    def awaits(self, id: int) -> bool:
        """Whether this is the message whose answer is awaited."""
        return id != 0 and id == self.asked

    def on_peer_down(self, peer: bytes) -> None:
        """What was asked of it will not be answered, nor will what it would be asked."""
        self._waiting = {p: it for p, it in self._waiting.items() if it[0] != peer}
        if self.asked and peer == self._peer:
            self._end()

    def on_reply(self, peer: bytes, message: Any) -> list[Effect]:
        """The answer that is awaited came; from somebody else, it is none."""
        if peer != self._peer:
            return []
        now = self.home.clock.monotonic()
        match message:
            case Same():
                self.asked, self.due = 0, now
            case Fetched(records=found) if 0 < len(found) <= len(self._keys):
                self._found = found
                self.home.load.pressure.spend(now, weight_of(message), len(found))
                if len(found) < len(self._keys):
                    self._cursor = self._keys[len(found)]
                time, partitions = self._horizon, [self._partition]
                step = RoundStep.HOLD
                return self._ask(Round(self._new_id(), self._epoch, step, time, partitions, []))
            case Agreed(partitions=[_]):
                self.asked, self.due = 0, now
                return self._rebuild()
            case _:
                return self._end()
        return []

    def _rebuild(self) -> list[Effect]:
        """Make of these rows what the other one makes of them."""
        rows: list[Row] = []
        for key, theirs in zip(self._keys, self._found, strict=False):
            try:
                row = self._row(key, theirs)
            except ClockDrift:
                continue
            except ValueError:
                self.home.counters["poison_records"] += 1
                continue
            rows += [row] if row is not None else []
        self.home.counters["rebuilt_rows"] += len(rows)
        return [Write(rows)] if rows else []

    def _row(self, key: bytes, theirs: bytes) -> Row | None:
        """What a row becomes, if anything else. Raises as ``Home.merge`` does."""
        home = self.home
        joined = home.merge(key, theirs) if theirs else None
        held = home.held(key)
        if held is None:
            return (key, joined) if joined is not None else None
        known = records.context_of(theirs) if theirs else {}
        left = collecting.admit(joined or held, known, self._horizon)
        return None if left == held else (key, left or None)
