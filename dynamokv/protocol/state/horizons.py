"""The horizons of a node's partitions: what is stored of them, and what they keep out.

The *horizon* of a partition is a hybrid time, 0 for none. This node knows all writes below it that
any owner knows, and no owner makes one any more. The *collected* time of a partition is at most its
horizon: all owners have a horizon of at least that, so what is dead below it may go. The *floor* of
a node is the highest time that it ever promised not to make a write below.

::

    horizon row = version u8 = 1 | horizon u64 | collected u64        one for each partition
    floor row   = version u8 = 1 | floor u64

Rules:
    - Whatever comes in from elsewhere is admitted here, by ``Home.join``: of a version from below
      the horizon that this node does not know nothing is taken in. It was deleted.
    - Whoever asked for such a write to be kept is told so (``OUTDATED``). A hint has nothing more
      to do then; a new write is not acknowledged. Its coordinator has lost its promise, and does
      not know of it yet.
    - A *fence* does the same while a horizon is being agreed upon, but it is not known yet what a
      version that is kept out stands for. So its whole record is turned away, and not acknowledged.
    - A horizon is on the disk with all that it says is known: its row is written synced, and a log
      keeps its order. So what a power cut takes was above the horizon, or takes the horizon too.
    - A node that may have lost something below its horizon has none any more (``doubt``), before it
      takes anything in; else it would keep out what it lost, and say that it was deleted. That is
      written down, also for a row that cannot be read: at the next start it may be readable again.
      But not for one that the store does not have: there may be very many of these.
      Where the disk refuses it, each later write carries it along, until one is applied: so nothing
      is ever taken in, and kept, while the store still has the horizon.
    - A floor is on the disk before it is promised, so no restart makes writes below it.

Sources: Scylla issues 3560, 23712, 29854 (what came back after its tombstone was collected).
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from dynamokv import limits
from dynamokv.causality.versions import Context
from dynamokv.errors import StorageError
from dynamokv.ports import Clock, Reader, Row
from dynamokv.protocol.effects import Effect, HorizonsGone, Write
from dynamokv.wire import collecting
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records

HORIZON_VERSION: Final = 1
_HORIZON: Final = Struct(">BQQ")
_FLOOR: Final = Struct(">BQ")


class KeptOut(Enum):
    """Why nothing of a record from elsewhere is taken in."""

    FENCED = "a horizon is being agreed upon, and this is older"
    OUTDATED = "older than the horizon, and deleted for all that is known here"


class Fence(NamedTuple):
    """What a round has this node turn away meanwhile; ``drawn_by``: who drives it. No two have the
    same ``number``, so one that fell and was drawn again is another one."""

    time: int
    drawn_by: bytes
    until: float
    number: int


class Horizons:
    """All horizons of one node.

    Attributes:
        floor: this node makes no write below it.
        adopted: the horizons, by partition, where there is one.
        collected: by partition, below what everything dead may go.
        heard: members that this node knows the floors of.
        drawn: how many fences there were so far.
        raised: how often a horizon was adopted so far.
    """

    def __init__(self, reader: Reader, clock: Clock, counters: Counter[str]) -> None:
        self.floor = 0
        self.adopted: dict[int, int] = {}
        self.collected: dict[int, int] = {}
        self.heard: set[bytes] = set()
        self.drawn = self.raised = 0
        self._fences: dict[int, Fence] = {}
        # Whose rows have to go, and which doubt that was; how many there were, and were written.
        self._doubtful: dict[int, int] = {}
        self._doubts = self._doubts_written = 0
        self._clock = clock
        self._counters = counters
        self._reader = reader

    def load(self, *, forgot: bool, partitions: int) -> None:
        """What the store has of them, in a ring of so many partitions; nothing, if it ``forgot``
        something, nobody knows of what, or if some of it cannot be read."""
        for read in (self._load_floor, self._load_horizons):
            try:
                read()
            except StorageError:
                self._counters["damaged_reads"] += 1
                forgot = True
        if forgot:
            # Without a horizon a node is brought up to date by the others, as if it had been away.
            for partition in list(self.adopted):
                self.doubt(partition)
            self._doubts += 1
            there = (p for p in range(partitions) if _may_be_there(self._reader, p))
            self._doubtful |= dict.fromkeys(there, self._doubts)

    def _load_floor(self) -> None:
        row = self._reader.newest(row_keys.FLOOR_ROW)
        if row is not None and len(row) == _FLOOR.size and row[0] == HORIZON_VERSION:
            _, self.floor = _FLOOR.unpack(row)

    def _load_horizons(self) -> None:
        for key, value in self._reader.scan(row_keys.HORIZONS, row_keys.FLOOR_ROW):
            if len(value) == _HORIZON.size and value[0] == HORIZON_VERSION:
                partition = int.from_bytes(key[len(row_keys.HORIZONS) :])
                _, self.adopted[partition], self.collected[partition] = _HORIZON.unpack(value)

    # --- what they keep out -----------------------------------------------------------------------

    def admit(self, key: bytes, incoming: bytes, ours: Context) -> bytes | KeptOut:
        """What of a record from elsewhere is to be joined with what this node knows of its key, or
        why nothing is."""
        if not self.adopted and not self._fences:
            return incoming
        partition = row_keys.partition_of(key)
        fence = self._fence(partition)
        if fence is not None and collecting.unknown_below(incoming, ours, fence.time):
            self._counters["fenced"] += 1
            return KeptOut.FENCED
        admitted = collecting.admit(incoming, ours, self.adopted.get(partition, 0))
        if admitted is incoming:
            return incoming
        self._counters["below_horizon"] += 1
        return admitted if admitted and records.dots_of(admitted) else KeptOut.OUTDATED

    def is_outdated(self, record: bytes) -> bool:
        """Whether nothing in a write is of a time at which anybody still makes one, as far as this
        node has promised that itself."""
        latest = max((dot.time for dot in records.dots_of(record)), default=self.floor)
        return latest < self.floor

    def believe(self, key: bytes, shown: bytes, held: bytes) -> bytes:
        """What of a record that another owner shows is not known to be deleted by this one, which
        shows ``held``, now. It may have been away, or come from a backup."""
        horizon = self.adopted.get(row_keys.partition_of(key), 0)
        if not shown or not horizon:
            return shown
        return collecting.admit(shown, records.context_of(held) if held else {}, horizon)

    def forgets(self, key: bytes, told: int, known: int) -> bool:
        """Whether somebody who knows this node's writes to a key up to ``told``, while it knows
        them up to ``known``, proves that it forgot some. Those from below its horizon prove nothing
        any more: their row may have been collected."""
        if told <= known:
            return False
        return told >= self.adopted.get(row_keys.partition_of(key), 0)

    # --- how they rise ----------------------------------------------------------------------------

    def promise(self, time: int) -> list[Row]:
        """Make no write below this time from now on; rows that have to be on the disk before
        anybody is told so."""
        self.floor = max(self.floor, time)
        return [(row_keys.FLOOR_ROW, _FLOOR.pack(HORIZON_VERSION, self.floor))]

    def fence(self, partition: int, time: int, drawn_by: bytes) -> None:
        """Turn away what is not known of the time before this, for this round; longer, if its fence
        is still up."""
        until = self._clock.monotonic() + limits.FENCE_SECONDS
        if self.is_fenced(partition, time, drawn_by):
            self._fences[partition] = self._fences[partition]._replace(until=until)
            return
        self.drawn += 1
        self._fences[partition] = Fence(time, drawn_by, until, self.drawn)

    def is_fenced(
        self, partition: int, time: int, drawn_by: bytes, drawn: int | None = None
    ) -> bool:
        """Whether the fence of this round is up, and has been since so many were ``drawn``."""
        fence = self._fence(partition)
        if fence is None or (fence.time, fence.drawn_by) != (time, drawn_by):
            return False
        return drawn is None or fence.number <= drawn

    def lift(self, partition: int, time: int, drawn_by: bytes) -> None:
        """Take this fence down, if it is this one that is up."""
        if self.is_fenced(partition, time, drawn_by):
            del self._fences[partition]

    def lift_all(self) -> None:
        """No fence is up any more."""
        self._fences.clear()

    def _fence(self, partition: int) -> Fence | None:
        fence = self._fences.get(partition)
        if fence is not None and fence.until <= self._clock.monotonic():
            del self._fences[partition]
            return None
        return fence

    def adopt(self, partition: int, horizon: int) -> Row:
        """This partition has this horizon from now on; the row that says so, to be synced."""
        self._fences.pop(partition, None)
        self._doubtful.pop(partition, None)
        self.adopted[partition] = max(horizon, self.adopted.get(partition, 0))
        self.raised += 1
        return self._row(partition)

    def collect(self, partition: int, time: int) -> list[Row]:
        """All owners have a horizon of this time, or above it; the row that says so, if that is
        news."""
        time = min(time, self.adopted.get(partition, 0))
        if time <= self.collected.get(partition, 0):
            return []
        self.collected[partition] = time
        return [self._row(partition)]

    def doubt(self, partition: int) -> None:
        """Something below the horizon of this partition may be lost: it has none any more."""
        self._fences.pop(partition, None)
        self.collected.pop(partition, None)
        if self.adopted.pop(partition, 0):
            self._counters["horizons_forgotten"] += 1
            self._doubts += 1
            self._doubtful[partition] = self._doubts

    def before(self, effects: list[Effect]) -> list[Effect]:
        """These effects, after the write that takes doubtful horizons away: at once, and before
        whatever else is written until that is applied."""
        if not self._doubtful:
            return effects
        if self._doubts == self._doubts_written and not any(type(x) is Write for x in effects):
            return effects
        self._doubts_written = self._doubts
        rows = [(row_keys.horizon_row(partition), None) for partition in sorted(self._doubtful)]
        return [Write(rows, HorizonsGone(self._doubts)), *effects]

    def on_gone(self, gone: HorizonsGone) -> list[Effect]:
        """The store does not have the horizons any more that were in doubt then."""
        self._doubtful = {p: doubt for p, doubt in self._doubtful.items() if doubt > gone.doubts}
        return []

    def _row(self, partition: int) -> Row:
        numbers = self.adopted[partition], self.collected.get(partition, 0)
        return row_keys.horizon_row(partition), _HORIZON.pack(HORIZON_VERSION, *numbers)


def _may_be_there(reader: Reader, partition: int) -> bool:
    """Whether the store has the row of a horizon, or nobody knows."""
    try:
        return reader.newest(row_keys.horizon_row(partition)) is not None
    except StorageError:
        return True
