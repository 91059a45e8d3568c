"""Hinted handoff: who stands in for an owner that is away, and how it gets what it missed.

Rules:
    - A stand-in mints nothing: it keeps the record of a coordinator that owns the key
      (``docs/adr/0019``). It acknowledges once the hint is durable.
    - A target that is up gets its hints in pages, one under way at a time: the next one leaves when
      the one before was acknowledged. So a member that comes back takes in what it can.
    - Only an acknowledgement removes hints. One that is refused or lost is sent again, after a
      while, and in smaller pages when it was refused, so that one bad record holds up no others.
    - Nothing is delivered before the hints were looked through under the present topology. What is
      kept for a member that is no owner any more is handed to those that are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from typing import Final

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import Effect, HintsRefused, Send, Write, refuse
from dynamokv.protocol.state.hint_rows import Hint, Kind
from dynamokv.protocol.state.hints import Page
from dynamokv.protocol.state.home import ClockDrift, Home
from dynamokv.ring.placement import preference_list
from dynamokv.types import NodeId
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire import record as records
from dynamokv.wire.messages import Message
from dynamokv.wire.weight import weight_of

LOOK_AGAIN_SECONDS: Final = 300.0
"""Where hints could not be read, they are counted again after so long: the disk may have failed
just then, or the store may have got rid of them since."""

NO_PAGE: Final = Page([], [], [], [], b"")


def stand_ins(home: Home, row: bytes, away: Container[NodeId]) -> dict[NodeId, NodeId]:
    """The members that keep a write of this row for owners that are away, and for which of them."""
    topology, placement = home.topology, home.placement
    assert topology is not None
    assert placement is not None
    # One that is being filled may yet lose its place; one that owes too much cannot be asked.
    up = {node for node in home.up if not home.why_not(node)} - {topology.change}
    preferences = preference_list(row_keys.partition_of(row), placement, up)
    return {node: owner for node, _, owner in preferences if owner is not None and owner in away}


def serve_hint(home: Home, peer: bytes, message: m.Hint) -> list[Effect]:
    """Keep the records, and acknowledge once that is durable."""
    try:
        for key, record in zip(message.keys, message.records, strict=True):
            if row_keys.partition_of(key) >= len(home.owners):
                raise ValueError("a row of a partition that does not exist")
            home.checked(record)
            if home.horizons.is_outdated(record):
                # The owners know it for deleted, so they would not take it in afterwards.
                text = "older than anything that is still written"
                return refuse(peer, message.id, m.RefusedReason.OUTDATED, text)
    except ClockDrift as error:
        return refuse(peer, message.id, m.RefusedReason.CLOCK_DRIFT, str(error))
    except ValueError as error:
        home.counters["poison_records"] += 1
        return refuse(peer, message.id, m.RefusedReason.STORAGE, f"damaged record: {error}")
    rows = home.hints.keep(NodeId(message.target), message.keys, message.records)
    if rows is None:
        return refuse(peer, message.id, m.RefusedReason.STORAGE, "no room for more hints")
    return [Write(rows, Send(peer, m.Replicated(message.id)), HintsRefused(peer, message.id))]


class Progress:
    """How far the delivery to one target is; ``page``: the one that is under way, by its ``id``."""

    __slots__ = ("cursor", "deadline", "epoch", "failures", "id", "items", "page", "wait_until")

    def __init__(self) -> None:
        self.cursor = row_keys.HINTS
        self.failures = 0
        self.items = limits.HINT_PAGE_ITEMS
        self.wait_until = 0.0
        self.id = 0
        self.page = NO_PAGE
        self.epoch = 0
        self.deadline = 0.0

    def went_wrong(self, now: float) -> None:
        """The page is sent again, later each time."""
        self.failures += 1
        pause = min(2.0 ** (self.failures - 1), limits.HINT_RETRY_SECONDS_MAX)
        self.wait_until = now + pause


class Handoff:
    """All deliveries of one member.

    Attributes:
        progress: by target.
        under_way: the targets of pages that are not acknowledged, by the ids of these.
        due: when ``tick`` has something to do.
    """

    def __init__(self, home: Home, new_id: Callable[[], int]) -> None:
        self.home = home
        self.progress: dict[NodeId, Progress] = {}
        self.under_way: dict[int, NodeId] = {}
        self.due = 0.0
        self._look_again_at = math.inf
        self._new_id = new_id

    def tick(self, now: float) -> list[Effect]:
        """Look the hints through, where that is to be done; then deliver what can be."""
        home, hints = self.home, self.home.hints
        if now < self.due:
            return []
        self.due = now + limits.HINT_TICK_SECONDS
        if home.topology is None:
            return []
        for id, target in list(self.under_way.items()):
            if now >= self.progress[target].deadline:
                self._failed(id)
        busy = set(self.under_way.values()) | hints.accounts.keys()
        self.progress = {target: it for target, it in self.progress.items() if target in busy}
        effects: list[Effect] = []
        if hints.epoch != home.epoch or now >= self._look_again_at:
            self.recount()
        if not hints.counted:
            effects += self._look_through()
            if not hints.counted:
                # At once, but not before whatever else waits for its turn.
                self.due = now
                return effects
            self._look_again_at = now + LOOK_AGAIN_SECONDS if hints.doubtful else math.inf
        for target in list(hints.accounts):
            effects += self.deliver(target)
        return effects

    def on_return(self, peer: NodeId) -> list[Effect]:
        """A member is up: it need not wait for what went wrong before."""
        if peer in self.progress:
            self.progress[peer].wait_until = 0.0
        return self.deliver(peer)

    def deliver(self, target: NodeId) -> list[Effect]:
        """Send the next page, if there is one, and the target is up and has nothing to do with the
        last one any more."""
        home, hints = self.home, self.home.hints
        if target not in hints.accounts or not hints.counted or hints.epoch != home.epoch:
            return []
        now = home.clock.monotonic()
        progress = self.progress.setdefault(target, Progress())
        if progress.id or now < progress.wait_until or not home.is_up(target):
            return []
        pressure = home.load.pressure
        if not pressure.turn(now, ("hints", target)):
            self.due = min(self.due, now + pressure.pause(now))
            return []
        try:
            page = hints.page(target, progress.cursor, progress.items)
        except StorageError:
            home.counters["damaged_reads"] += 1
            progress.went_wrong(now)
            return []
        effects = self._give_up(page) if page.gone else []
        if not page.rows:
            self.recount()
            return effects
        progress.id, progress.page = self._new_id(), page
        progress.epoch = home.epoch
        progress.deadline = now + limits.HINT_ANSWER_SECONDS
        self.under_way[progress.id] = target
        budget_ms = round(limits.HINT_ANSWER_SECONDS * 1000)
        message = m.Replicate(progress.id, home.epoch, budget_ms, page.keys, page.records)
        pressure.spend(now, weight_of(message), len(message.keys))
        return [*effects, Send(target, message)]

    # --- what became of a page --------------------------------------------------------------------

    def on_reply(self, peer: bytes, message: Message) -> list[Effect]:
        """The target answers a page: it has it, or did not take it."""
        id: int = getattr(message, "id", 0)
        if peer != self.under_way[id]:
            return []
        match message:
            case m.Replicated() | m.Refused(reason=m.RefusedReason.OUTDATED):
                return self._on_taken(id)
            case m.Refused():
                # One record in it may be the reason.
                progress = self.progress[self.under_way[id]]
                progress.cursor = progress.page.next if progress.items == 1 else progress.cursor
                progress.items = max(1, progress.items // 4)
                self._failed(id)
        return []

    def _on_taken(self, id: int) -> list[Effect]:
        """The target has what was sent, durably, or knows that it was deleted: that goes, and the
        next page leaves."""
        target = self.under_way[id]
        home, progress = self.home, self._end(id)
        if home.epoch != progress.epoch:
            # The target may not have been an owner any more when it took them.
            return []
        page = progress.page
        progress.cursor, progress.failures = page.next, 0
        progress.items = min(progress.items * 2, limits.HINT_PAGE_ITEMS)
        home.counters["hints_delivered"] += len(page.rows)
        rows = home.hints.forget(page.rows)
        effects: list[Effect] = [Write(rows, None, HintsRefused())] if rows else []
        return effects + self.deliver(target)

    def on_refresh(self, id: int, peer: bytes) -> None:
        """The target knows a newer topology: what is kept will be looked through under that."""
        if self.under_way.get(id) == peer:
            self._end(id)

    def on_peer_lost(self, peer: bytes) -> None:
        """Nothing that was sent to this peer will be acknowledged."""
        for id in [id for id, target in self.under_way.items() if target == peer]:
            self._failed(id)

    def _failed(self, id: int) -> None:
        self.home.counters["hint_pages_failed"] += 1
        self._end(id).went_wrong(self.home.clock.monotonic())

    def _end(self, id: int) -> Progress:
        progress = self.progress[self.under_way.pop(id)]
        progress.id = 0
        return progress

    # --- sums, and what is nobody's ---------------------------------------------------------------

    def on_refused(self, event: HintsRefused) -> list[Effect]:
        """The disk took a write with hints not: what is there has to be counted again."""
        self.recount()
        if not event.id:
            return []
        text = "the disk refused the write"
        return refuse(event.peer, event.id, m.RefusedReason.STORAGE, text)

    def recount(self) -> None:
        """The sums may be wrong."""
        self.home.hints.recount(self.home.epoch)

    def _give_up(self, page: Page) -> list[Effect]:
        """The records that these hints stand for are not here any more: only a comparison with the
        other owners can tell."""
        home = self.home
        home.counters["hints_dropped"] += len(page.gone)
        home.hints.unhinted.update(Hint.read(at, value).partition for at, value in page.gone)
        rows = home.hints.forget(page.gone)
        return [Write(rows, None, HintsRefused())] if rows else []

    def _look_through(self) -> list[Effect]:
        strays = self.home.hints.count(self.home.owners)
        return self._to_the_owners(strays) if strays else []

    def _to_the_owners(self, strays: list[tuple[bytes, bytes]]) -> list[Effect]:
        """What is kept for members that are no owners any more is kept for the owners instead. What
        is owed to them is not: the owners have it."""
        home, hints = self.home, self.home.hints
        kept: dict[bytes, bytes] = {}
        for at, value in strays:
            hint = Hint.read(at, value)
            if hint.kind is Kind.KEPT:
                kept[hint.key] = records.join_records(kept.get(hint.key), hint.content)
        rows = hints.forget(strays)
        for key, record in kept.items():
            home.counters["hints_rehomed"] += 1
            for owner in home.owners[row_keys.partition_of(key)]:
                if owner != home.node_id:
                    rows += hints.keep(owner, [key], [record], whatever_size=True) or []
                    continue
                # Its stamp was looked at when it came.
                merged = home.join(key, record, records.context_of(record))
                if isinstance(merged, bytes):
                    rows.append((key, merged))
        return [Write(rows, None, HintsRefused())]
