"""Serving another coordinator: join what it sends, show what is here. One step each, and no second
visit.

Rules:
    - A request of an older epoch is refused with the newer topology; one of a newer epoch waits for
      it (``node.py``).
    - What is acknowledged is durable. What is shown is durable.
    - A record that is none, or is stamped too far ahead, refuses its message whole and changes
      nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import Effect, Send, Write, refuse
from dynamokv.protocol.home import ClockDrift, Home
from dynamokv.protocol.horizons import KeptOut
from dynamokv.wire import keys as row_keys
from dynamokv.wire import record as records
from dynamokv.wire.messages import (
    Fetch,
    Fetched,
    Refused,
    RefusedReason,
    Replicate,
    Replicated,
    Same,
    Scan,
    Scanned,
)
from dynamokv.wire.rounds import Horizons


def serve_replicate(home: Home, peer: bytes, message: Replicate) -> list[Effect]:
    """Join the records, and acknowledge once they are durable."""
    rows: list[tuple[bytes, bytes]] = []
    kept_out: set[KeptOut] = set()
    try:
        for key, incoming in zip(message.keys, message.records, strict=True):
            joined = home.take_in(key, incoming)
            if joined is None and message.id:
                joined = home.under_way(key)
            if isinstance(joined, KeptOut):
                kept_out.add(joined)
            elif joined is not None:
                rows.append((key, joined))
    except ClockDrift as error:
        return refuse(peer, message.id, RefusedReason.CLOCK_DRIFT, str(error))
    except ValueError as error:
        home.counters["poison_records"] += 1
        return refuse(peer, message.id, RefusedReason.STORAGE, f"damaged record: {error}")
    if message.id == 0:
        return [Write(rows)] if rows else []
    if KeptOut.FENCED in kept_out:
        # Not known yet to be deleted, and not taken in: nobody may count on it.
        return refuse(peer, message.id, RefusedReason.NOT_READY, KeptOut.FENCED.value)
    # Nothing new may still mean "not durable yet": then it is written once more, and in any case
    # the acknowledgement goes through the log.
    done = Send(peer, Replicated(message.id))
    if kept_out:
        # What else is in the message is durable then, too.
        done = Send(peer, Refused(message.id, RefusedReason.OUTDATED, KeptOut.OUTDATED.value))
    failed = Send(peer, Refused(message.id, RefusedReason.STORAGE, "the disk refused the write"))
    return [Write(rows, done, failed)]


def serve_fetch(home: Home, peer: bytes, message: Fetch) -> list[Effect]:
    """Show the records, or say that they are the same."""
    visible = home.reader.visible
    try:
        found = [visible(key) for key in message.keys]
    except StorageError as error:
        return _damaged(home, peer, message.id, message.keys, error)
    if message.digests and [records.digest(record) for record in found] == message.digests:
        return [Send(peer, Same(message.id))]
    shown = records.fitting([record or records.ABSENT for record in found])
    return [Send(peer, Fetched(message.id, shown))]


def serve_scan(home: Home, peer: bytes, message: Scan) -> list[Effect]:
    """One page of what this node and the asker both own, for one that is being filled.

    The keys of a partition are listed once, when its turn comes: also those that are only on their
    way to the disk. What is written afterwards is decided by quorums that know who is filled.

    Before the first page it is told below what time nobody makes writes.

    Background work: while it goes too fast for the foreground there is no answer, and the asker
    asks again.
    """
    now, pressure = home.clock.monotonic(), home.load.pressure
    if not pressure.may_work(now):
        home.counters["pages_postponed"] += 1
        return []
    try:
        page = _page(home, peer, message)
    except StorageError as error:
        # Without these rows the newcomer would count as a copy that it is not: it asks again.
        return _damaged(home, peer, message.id, [], error)
    pressure.spend(now, sum(map(len, page.keys)) + sum(map(len, page.records)))
    effects: list[Effect] = [Send(peer, page)]
    if message.start <= row_keys.FIRST_DATA_ROW:
        floor = Horizons(home.epoch, home.horizons.floor, [], [], [], [])
        effects.insert(0, Send(peer, floor))
    return effects


def _page(home: Home, peer: bytes, message: Scan) -> Scanned:
    start = message.start
    keys: list[bytes] = []
    page: list[bytes] = []
    size = 0
    items = home.settings.scan_page_items
    for partition in _shared(home, peer, start):
        for key in _listed(home, peer, partition, start):
            if len(page) == items or size >= limits.SCAN_PAGE_BYTES:
                return Scanned(message.id, keys, page, key)
            record = home.reader.newest(key)
            if record is not None:
                keys.append(key)
                page.append(record)
                size += len(record)
    home.scans.pop(peer, None)
    return Scanned(message.id, keys, page, b"")


def _shared(home: Home, peer: bytes, start: bytes) -> Iterator[int]:
    """The partitions that this node and a peer both own, from that of a row on."""
    first = int.from_bytes(start[:2].ljust(2, b"\0"))
    for partition in range(first, len(home.owners)):
        owners = home.owners[partition]
        if peer in owners and home.node_id in owners:
            yield partition


def _listed(home: Home, peer: bytes, partition: int, start: bytes) -> list[bytes]:
    """The keys of a partition that a scan has still to go through, from ``start`` on."""
    listed = home.scans.get(peer)
    first, end = row_keys.partition_range(partition)
    if listed is None or listed[0] != partition or start <= first:
        rows = home.reader.scan(first, end)
        listed = home.scans[peer] = (partition, [key for key, _ in rows])
    keys = listed[1]
    return keys[bisect_left(keys, start) :]


def _damaged(
    home: Home, peer: bytes, id: int, keys: list[bytes], error: StorageError
) -> list[Effect]:
    home.damaged_read(keys)
    return refuse(peer, id, RefusedReason.STORAGE, str(error)[: limits.TEXT_BYTES_MAX])
