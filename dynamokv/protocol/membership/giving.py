"""The pages that a node gives to members that are being filled (``transfer``).

Knows: which keys of a partition each of them still has to be shown, and what was asked while the
background had to wait. Must not know: what becomes of a page.

Rules:
    - The keys of a partition are listed once, when its turn comes: also those that are only on
      their way to the disk. What is written afterwards is decided by quorums that know who is
      filled.
    - Before the first page its asker is told below what time nobody makes writes.
    - It is background work: a question that comes while that goes too fast for the foreground is
      answered as soon as it may be, and its asker is told so: it would take silence for a sign that
      nobody is here. Each member has one such question, its last.
    - A page with a row that cannot be read is not given, also where no other owner could bring that
      row back: whoever went on without it would count as a copy that it is not, and a quorum with
      it would say that there is no value. It is said instead, until people have decided.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import Again, Effect, Received, Report, Send, refuse
from dynamokv.protocol.state.home import Home
from dynamokv.wire import keys as row_keys
from dynamokv.wire.messages import RefusedReason, Scan, Scanned
from dynamokv.wire.rounds import Horizons
from dynamokv.wire.weight import weight_of

GUIDE = "docs/guide/operations.md"
ABOUT_DAMAGE = f"see 'When a file is damaged' in {GUIDE}"


class Giver:
    """Of one node.

    Attributes:
        listed: the partition that each member is being shown, and its keys.
        waiting: the questions that are answered at ``due``.
        damaged: why members are not given what they asked for last; people look when they are gone.
        due: in the clock's monotonic seconds.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.listed: dict[bytes, tuple[int, list[bytes]]] = {}
        self.waiting: dict[bytes, Scan] = {}
        self.damaged: dict[bytes, str] = {}
        self.due = math.inf

    def serve(self, peer: bytes, message: Scan) -> list[Effect]:
        """One page of what this node and the asker both own; later, if it has to wait."""
        home = self.home
        now, pressure = home.clock.monotonic(), home.load.pressure
        if not pressure.turn(now, ("page", peer)):
            home.counters["pages_postponed"] += 1
            self.waiting[peer] = message
            self.due = now + pressure.pause(now)
            return refuse(peer, message.id, RefusedReason.LATER, "others have their turn first")
        self.waiting.pop(peer, None)
        try:
            page = self._page(peer, message)
        except StorageError as error:
            return self._cannot_give(peer, message, str(error))
        self.damaged.pop(peer, None)
        pressure.spend(now, weight_of(page), len(page.keys))
        effects: list[Effect] = [Send(peer, page)]
        if message.start <= row_keys.FIRST_DATA_ROW:
            floor = Horizons(home.epoch, home.horizons.floor, [], [], [], [])
            effects.insert(0, Send(peer, floor))
        return effects

    def tick(self, now: float) -> list[Effect]:
        """What waited is asked once more, if it is time: the ring may be another one by now."""
        if now < self.due:
            return []
        waiting, self.waiting, self.due = self.waiting, {}, math.inf
        return [Again(Received(peer, message)) for peer, message in waiting.items()]

    def on_peer_down(self, peer: bytes) -> None:
        """It will ask again, from where it is."""
        self.listed.pop(peer, None)
        self.waiting.pop(peer, None)

    def _cannot_give(self, peer: bytes, message: Scan, why: str) -> list[Effect]:
        """Say what cannot be read, once to people; the asker comes again, and need not wait for
        less."""
        text = why[: limits.TEXT_BYTES_MAX]
        effects = refuse(peer, message.id, RefusedReason.STORAGE, text)
        if self.damaged.get(peer) != text:
            self.damaged[peer] = text
            said = f"member {peer.hex()[:8]} cannot be filled from here: {text}; {ABOUT_DAMAGE}"
            effects.append(Report("transfer", "ERROR", said))
        return effects

    def _page(self, peer: bytes, message: Scan) -> Scanned:
        start = message.start
        keys: list[bytes] = []
        page: list[bytes] = []
        size = 0
        home = self.home
        items = home.settings.scan_page_items
        partition = 0
        try:
            for partition in self._shared(peer, start):
                for key in self._listed(peer, partition, start):
                    if len(page) == items or size >= limits.SCAN_PAGE_BYTES:
                        return Scanned(message.id, keys, page, key)
                    record = home.reader.newest(key)
                    if record is not None:
                        keys.append(key)
                        page.append(record)
                        size += len(record)
        except StorageError as error:
            home.counters["damaged_reads"] += 1
            home.forest.cannot_read(partition)
            raise StorageError(f"partition {partition} cannot be read: {error}") from error
        self.listed.pop(peer, None)
        return Scanned(message.id, keys, page, b"")

    def _shared(self, peer: bytes, start: bytes) -> Iterator[int]:
        """The partitions that this node and a peer both own, from that of a row on."""
        home = self.home
        first = int.from_bytes(start[:2].ljust(2, b"\0"))
        for partition in range(first, len(home.owners)):
            owners = home.owners[partition]
            if peer in owners and home.node_id in owners:
                yield partition

    def _listed(self, peer: bytes, partition: int, start: bytes) -> list[bytes]:
        """The keys of a partition that a scan has still to go through, from ``start`` on."""
        listed = self.listed.get(peer)
        first, end = row_keys.partition_range(partition)
        if listed is None or listed[0] != partition or start <= first:
            rows = self.home.reader.scan(first, end)
            listed = self.listed[peer] = (partition, [key for key, _ in rows])
        keys = listed[1]
        return keys[bisect_left(keys, start) :]
