"""What a horizon says of a record: what of it may come in, and when all of it may go.

The *horizon* of a partition is a hybrid time. All writes below it are known to every owner of the
partition, and nobody makes one any more.

Rules:
    - Pure functions of the record and the horizon, and of nothing else, no clock either: all owners
      decide alike, so what one has collected no other one brings back for ever.
    - A version below the horizon that an owner does not know was deleted and collected there. It is
      taken out of what comes in. The context stays: to know of a write that is gone is harmless.
    - A record may go when everything in it is dead, and everything that it knows is below the
      horizon.
"""

from __future__ import annotations

from dynamokv.causality.hlc import time_at
from dynamokv.causality.versions import Context, KeyState, covers
from dynamokv.wire import record as records


def unknown_below(incoming: bytes, ours: Context, horizon: int) -> bool:
    """Whether a record has versions from below the horizon that ``ours`` does not cover."""
    return any(dot.time < horizon and not covers(ours, dot) for dot in records.dots_of(incoming))


def admit(incoming: bytes, ours: Context, horizon: int) -> bytes:
    """What of a record from elsewhere is taken in by an owner that knows ``ours`` of its key: the
    very object where that is all of it, ``records.ABSENT`` where it is nothing.

    Args:
        incoming: a record that was checked.
    """
    if not unknown_below(incoming, ours, horizon):
        return incoming
    versions, context = records.decode(incoming)
    left = tuple(v for v in versions if v.dot.time >= horizon or covers(ours, v.dot))
    if not left and max(context.values()) < horizon:
        return records.ABSENT
    return records.encode(KeyState(left, context))


def ripe_at(record: bytes) -> int | None:
    """The least horizon at which all of this record may go; ``None`` when something in it is there
    to stay."""
    if not records.is_passing(record):
        return None
    versions, context = records.decode(record)
    expiries = [time_at(version.expires_ms) for version in versions if not version.tombstone]
    return max([max(context.values(), default=0) + 1, *expiries])
