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

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import Effect, Send, Write
from dynamokv.protocol.home import ClockDrift, Home
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


def serve_replicate(home: Home, peer: bytes, message: Replicate) -> list[Effect]:
    """Join the records, and acknowledge once they are durable."""
    rows: list[tuple[bytes, bytes]] = []
    try:
        for key, incoming in zip(message.keys, message.records, strict=True):
            joined = home.merge(key, incoming)
            if joined is None and message.id:
                joined = home.under_way(key)
            if joined is not None:
                rows.append((key, joined))
    except ClockDrift as error:
        return _refuse(peer, message.id, RefusedReason.CLOCK_DRIFT, str(error))
    except ValueError as error:
        home.counters["poison_records"] += 1
        return _refuse(peer, message.id, RefusedReason.STORAGE, f"damaged record: {error}")
    if message.id == 0:
        return [Write(rows)] if rows else []
    # Nothing new may still mean "not durable yet": then it is written once more, and in any case
    # the acknowledgement goes through the log.
    done = Send(peer, Replicated(message.id))
    failed = Send(peer, Refused(message.id, RefusedReason.STORAGE, "the disk refused the write"))
    return [Write(rows, done, failed)]


def serve_fetch(home: Home, peer: bytes, message: Fetch) -> list[Effect]:
    """Show the records, or say that they are the same."""
    visible = home.reader.visible
    try:
        found = [visible(key) for key in message.keys]
    except StorageError as error:
        return _damaged(home, peer, message.id, error)
    if message.digests and [records.digest(record) for record in found] == message.digests:
        return [Send(peer, Same(message.id))]
    shown = records.fitting([record or records.ABSENT for record in found])
    return [Send(peer, Fetched(message.id, shown))]


def serve_scan(home: Home, peer: bytes, message: Scan) -> list[Effect]:
    """One page of everything, for a newcomer.

    The keys are listed once, at its first page: what is written afterwards reaches it as an owner
    anyway.
    """
    try:
        return [Send(peer, _page(home, peer, message))]
    except StorageError as error:
        # Without these rows the newcomer would count as a copy that it is not: it asks again.
        return _damaged(home, peer, message.id, error)


def _page(home: Home, peer: bytes, message: Scan) -> Scanned:
    keys = home.scans.get(peer)
    if keys is None or message.start <= row_keys.FIRST_DATA_ROW:
        rows = home.reader.scan(row_keys.FIRST_DATA_ROW, row_keys.END_OF_DATA)
        keys = home.scans[peer] = [key for key, _ in rows]
    start = at = bisect_left(keys, message.start)
    page: list[bytes] = []
    size = 0
    items = home.settings.scan_page_items
    while at < len(keys) and len(page) < items and size < limits.SCAN_PAGE_BYTES:
        record = home.reader.newest(keys[at])
        assert record is not None, "rows of replicas are overwritten, never removed"
        page.append(record)
        size += len(record)
        at += 1
    following = keys[at] if at < len(keys) else b""
    if not following:
        del home.scans[peer]
    return Scanned(message.id, keys[start:at], page, following)


def _damaged(home: Home, peer: bytes, id: int, error: StorageError) -> list[Effect]:
    home.counters["damaged_reads"] += 1
    return _refuse(peer, id, RefusedReason.STORAGE, str(error)[: limits.TEXT_BYTES_MAX])


def _refuse(peer: bytes, id: int, reason: RefusedReason, detail: str) -> list[Effect]:
    return [Send(peer, Refused(id, reason, detail))] if id else []
