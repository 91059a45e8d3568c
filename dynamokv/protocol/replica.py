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

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.protocol.effects import Effect, Send, Write, refuse
from dynamokv.protocol.state.home import ClockDrift, Home
from dynamokv.protocol.state.horizons import KeptOut
from dynamokv.wire import record as records
from dynamokv.wire.messages import (
    Fetch,
    Fetched,
    Refused,
    RefusedReason,
    Replicate,
    Replicated,
    Same,
)


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
        home.damaged_read(message.keys)
        text = str(error)[: limits.TEXT_BYTES_MAX]
        return refuse(peer, message.id, RefusedReason.STORAGE, text)
    if message.digests and [records.digest(record) for record in found] == message.digests:
        return [Send(peer, Same(message.id))]
    shown = records.fitting([record or records.ABSENT for record in found])
    return [Send(peer, Fetched(message.id, shown))]
