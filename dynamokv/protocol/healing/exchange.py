"""One exchange, as the side that asks carries it out: questions, reads, repairs, each in its time.

Knows: what ``merkle.compare.Exchange`` waits for, and how that is got. Must not know: which
partition is compared when, and with whom (``exchanges``).

Rules:
    - One message is under way at a time, and the next page begins when the last one is durable on
      both sides: that is the flow control.
    - A question without an answer is sent again as it was, a few times; then the exchange is given
      up. To give it up costs nothing but what it would have found.
    - What is fetched is joined like any other record from a peer (``home.merge``). What is pushed
      counts when the peer says that it is durable.
    - A key that cannot be had, or given, is skipped; it must not hold up the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.merkle.compare import Ask, Exchange, Read, Repair, Settle
from dynamokv.merkle.messages import EDGE, Branches, Compared, CompareRoot, Differing, Question
from dynamokv.merkle.tree import Sums
from dynamokv.ports import Reader
from dynamokv.protocol.effects import Effect, ExchangeStored, Send, Write
from dynamokv.protocol.state.damage import Damage
from dynamokv.protocol.state.home import ClockDrift, Home
from dynamokv.protocol.state.horizons import KeptOut
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.messages import Fetch, Fetched, Refused, RefusedReason, Replicate, Replicated
from dynamokv.wire.weight import weight_of

FETCH_BUDGET_MS = round(limits.EXCHANGE_RETRY_SECONDS * limits.EXCHANGE_TRIES * 1000)


class Reading:
    """Rows of a partition, a piece at a time."""

    def __init__(self, reader: Reader, partition: int, *, damaged: bool = False) -> None:
        self._scan = reader.scan_readable if damaged else reader.scan_visible
        self.partition = partition
        self._first, self._end = row_keys.partition_range(partition)
        self._rows: Iterator[tuple[bytes, bytes]] = iter(())
        self._ahead: tuple[bytes, bytes] | None = None

    def piece(self, start: bytes, count: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Some rows from ``start`` on, and the first key after them, or ``EDGE``.

        Raises:
            StorageError: they cannot be read.
        """
        if self._ahead is None or self._ahead[0] != start:
            self._rows = self._scan(start or self._first, self._end)
            self._ahead = next(self._rows, None)
        if self._ahead is None:
            return [], EDGE
        rows = [self._ahead, *islice(self._rows, count - 1)]
        self._ahead = next(self._rows, None)
        following = EDGE if self._ahead is None else self._ahead[0]
        return [row for row in rows if row_keys.is_data_row(row[0])], following


class Talk:
    """One exchange with one peer.

    Args:
        asked: ids of messages whose answers are awaited, and who awaits them; kept current here.
        damage: why some rows of this side cannot be read, and are to be brought back. ``tree`` is
            then one without any record, so that all that can be read is listed.

    Attributes:
        due: when ``step`` has something to do, in the clock's monotonic seconds.
        over: nothing is left to do.
        failed: it was given up.
        refused: because the peer has no tree now; it asks when it has one.
        repaired: keys that it has brought to either side.
        skipped: keys that could not be had, or given.
        damage: as above.
    """

    def __init__(
        self,
        home: Home,
        peer: NodeId,
        partition: int,
        tree: Sums,
        new_id: Callable[[], int],
        asked: dict[int, Talk],
        *,
        damage: Damage | None = None,
    ) -> None:
        self.peer = peer
        self.partition = partition
        self.epoch = home.epoch
        self.due = 0.0
        self.over = False
        self.failed = False
        self.refused = False
        self.repaired = 0
        self.skipped = 0
        self.damage = damage
        self._home = home
        self._new_id = new_id
        self._asked = asked
        self._exchange = Exchange(tree, partition, home.epoch, new_id, records.digest)
        self._reading = Reading(home.reader, partition, damaged=damage is not None)
        self._sent: Question | Fetch | Replicate | None = None
        self._tries = 0
        self._fetch: list[bytes] = []
        self._push: list[bytes] = []
        self._chunk = limits.EXCHANGE_KEYS
        self._equal: set[bytes] = set()
        self._taken = self._new = 0

    @property
    def salt(self) -> int:
        """Tells it from another one with the same peer about the same partition."""
        return self._exchange.salt

    @property
    def at_the_root(self) -> bool:
        """Whether it has asked its first question, and knows nothing yet."""
        return type(self._sent) is CompareRoot

    @property
    def reads(self) -> bool:
        """Whether its next step reads rows."""
        return self._sent is None and type(self._exchange.next) is Read

    def step(self, now: float) -> list[Effect]:
        """Go on, or ask again."""
        if self._sent is not None:
            self._tries += 1
            if self._tries >= limits.EXCHANGE_TRIES:
                return self.give_up()
            return self._repeat(now)
        waits = self._exchange.next
        if type(waits) is Read:
            return self._read(waits.start, now)
        if type(waits) is Repair:
            return self._repair(now)
        if type(waits) is Settle:
            self._exchange.on_settled()
        return self._go_on(now)

    def give_up(self) -> list[Effect]:
        """It ends here."""
        self._forget_question()
        self.over = self.failed = True
        return []

    # --- what comes back --------------------------------------------------------------------------

    def on_reply(self, message: Any, now: float) -> list[Effect]:
        """The peer answered the present message."""
        sent = self._sent
        self._forget_question()
        match sent, message:
            case Fetch(), Fetched():
                return self._on_fetched(sent, message, now)
            case Replicate(), Replicated() | Refused(reason=RefusedReason.OUTDATED):
                del self._push[: self._taken]
                self._home.counters["repaired_by_exchange_pushed"] += len(sent.keys)
                self.repaired += len(sent.keys)
                return self._faster(now)
            case _, Refused():
                return self._on_refused(sent, message, now)
            case _, Branches() | Differing() | Compared():
                try:
                    self._exchange.on_answer(message)
                except ValueError:
                    self._home.counters["poison_answers"] += 1
                    return self.give_up()
                return self._go_on(now)
        return self.give_up()

    def on_stored(self, *, stored: bool, now: float) -> list[Effect]:
        """What was fetched is durable, or the disk refused it."""
        if not stored:
            return self.give_up()
        del self._fetch[: self._taken]
        self._home.counters["repaired_by_exchange_fetched"] += self._new
        self.repaired += self._new
        return self._faster(now)

    def _on_refused(self, sent: Any, message: Refused, now: float) -> list[Effect]:
        """Whatever is refused for one of its keys is asked for without it."""
        about_keys = message.reason in (RefusedReason.STORAGE, RefusedReason.CLOCK_DRIFT)
        if not about_keys or not isinstance(sent, (Fetch, Replicate)):
            self.refused = message.reason == RefusedReason.NOT_READY
            return self.give_up()
        if self._chunk > 1:
            self._chunk = max(1, len(sent.keys) // 2)
        else:
            wanted = self._fetch if type(sent) is Fetch else self._push
            del wanted[: self._taken]
            self._skip()
        self.due = now
        return []

    def _skip(self) -> None:
        self.skipped += 1
        self._home.counters["exchange_keys_skipped"] += 1

    def _on_fetched(self, sent: Fetch, message: Fetched, now: float) -> list[Effect]:
        """Join what came; the rest is fetched when that is durable."""
        home, found = self._home, message.records
        if not 0 < len(found) <= len(sent.keys):
            return self.give_up()
        rows: list[tuple[bytes, bytes]] = []
        self._taken, self._new = len(found), 0
        for key, record in zip(sent.keys, found, strict=False):
            try:
                taken = home.take_in(key, record) if record else None
            except ValueError as error:
                home.counters["poison_records"] += not isinstance(error, ClockDrift)
                self._skip()
                continue
            if taken is KeptOut.FENCED:
                self._skip()
                continue
            joined = taken if isinstance(taken, bytes) else None
            self._new += joined is not None
            if record and (joined or home.held(key)) == record:
                self._equal.add(key)
            pending = joined or home.under_way(key)
            if pending is not None:
                rows.append((key, pending))
        home.load.pressure.spend(now, weight_of(message), len(found))
        self.due = math.inf
        stored = ExchangeStored(self.peer, self.partition, self.salt, stored=True)
        return [Write(rows, stored, stored._replace(stored=False))]

    # --- what comes next --------------------------------------------------------------------------

    def _go_on(self, now: float) -> list[Effect]:
        """See what the exchange waits for; what takes long has its own step."""
        match self._exchange.next:
            case Ask(question):
                return self._send(question, now)
            case Settle():
                self.due = now + limits.EXCHANGE_SETTLE_SECONDS
            case Repair(fetch, push):
                self._fetch, self._push, self._equal = list(fetch), list(push), set()
                self.due = now
            case Read():
                self.due = now
            case _:
                self.over = True
        return []

    def _read(self, start: bytes, now: float) -> list[Effect]:
        try:
            rows, following = self._reading.piece(start, limits.TREE_STEP_ROWS)
        except StorageError:
            self._home.counters["damaged_reads"] += 1
            self._home.forest.cannot_read(self.partition)
            return self.give_up()
        self._exchange.on_rows(rows, following)
        return self._go_on(now)

    def _repair(self, now: float) -> list[Effect]:
        """Fetch some keys; when there are none left, push some; when both are done, go on."""
        pressure = self._home.load.pressure
        if not pressure.turn(now, "exchanges"):
            self.due = now + pressure.pause(now)
            return []
        epoch = self.epoch
        if self._fetch:
            keys = self._fetch[: self._chunk]
            self._taken = len(keys)
            return self._send(Fetch(self._new_id(), epoch, FETCH_BUDGET_MS, keys, []), now)
        keys, shown = self._to_push()
        if keys:
            message = Replicate(self._new_id(), epoch, FETCH_BUDGET_MS, keys, shown)
            pressure.spend(now, weight_of(message), len(message.keys))
            return self._send(message, now)
        self._exchange.on_repaired()
        return self._go_on(now)

    def _to_push(self) -> tuple[list[bytes], list[bytes]]:
        """The next keys for the peer, as far as it does not hold the very same, and their records.
        They are visible, so durable: a peer must not know a write that this store may yet lose."""
        keys: list[bytes] = []
        shown: list[bytes] = []
        size = self._taken = 0
        for key in self._push:
            if len(keys) == self._chunk or size > limits.SCAN_PAGE_BYTES:
                break
            self._taken += 1
            if key in self._equal:
                continue
            try:
                record = self._home.reader.visible(key)
            except StorageError:
                self._home.damaged_read([key])
                continue
            if record is not None:
                keys.append(key)
                shown.append(record)
                size += len(record)
        return keys, shown

    def _faster(self, now: float) -> list[Effect]:
        self._chunk = min(limits.EXCHANGE_KEYS, self._chunk * 2)
        self.due = now
        return []

    # --- messages ---------------------------------------------------------------------------------

    def _send(self, message: Question | Fetch | Replicate, now: float) -> list[Effect]:
        self._sent = message
        self._tries = 0
        self._asked[message.id] = self
        return self._repeat(now)

    def _repeat(self, now: float) -> list[Effect]:
        assert self._sent is not None
        self.due = now + limits.EXCHANGE_RETRY_SECONDS
        return [Send(self.peer, self._sent)]

    def _forget_question(self) -> None:
        if self._sent is not None:
            self._asked.pop(self._sent.id, None)
            self._sent = None
