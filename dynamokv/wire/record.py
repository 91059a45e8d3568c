"""A key's state as bytes. The same bytes rest in every store and travel in every message.

Layout, big-endian::

    version u8 = 1 | zero u8 | versions u16 | actors u16

    actors x     actor 8 bytes | time u64
                 (the context, sorted by actor)

    versions x   actor 8 bytes | time u64 | flags u8 | expires_ms u64 | length u32
                 (sorted by dot)

    values, one after the other

Rules:
    - One state has one encoding: sorted, no duplicates, every dot covered by the context. Anything
      else is refused, so a record from a peer is as trustworthy as one of ours.
    - The digest covers all but the values, which their dots name for ever. So it costs the same for
      any value size, and equal states have equal digests.
    - Numbers here are for ever: a change is a new version number.
"""

from __future__ import annotations

from struct import Struct

from xxhash import xxh3_64_intdigest

from dynamokv import limits
from dynamokv.causality.versions import Context, Dot, KeyState, Version, dominates, join
from dynamokv.types import Actor

RECORD_VERSION = 1
TOMBSTONE = 1

_HEAD = Struct(">BBHH")
_ENTRY = Struct(">8sQ")
_VERSION = Struct(">8sQBQI")

_ONE_AND_ONE = b"\0\1\0\1"
_PLAIN_HEAD_BYTES = _HEAD.size + _ENTRY.size + _VERSION.size
"""Of nearly every record: one version, and its actor alone in the context."""

ABSENT = b""
"""In messages: there is no record."""


def encode(state: KeyState) -> bytes:
    """The one encoding of a state."""
    versions, context = state
    parts = [_HEAD.pack(RECORD_VERSION, 0, len(versions), len(context))]
    pack_entry, pack_version = _ENTRY.pack, _VERSION.pack
    parts += [pack_entry(actor, time) for actor, time in sorted(context.items())]
    parts += [
        pack_version(actor, time, TOMBSTONE if tombstone else 0, expires_ms, len(value))
        for (actor, time), value, tombstone, expires_ms in versions
    ]
    parts += [version.value for version in versions]
    return b"".join(parts)


def decode(record: bytes) -> KeyState:
    """The state in a record.

    Raises:
        ValueError: these bytes are not the encoding of any state.
    """
    context = check(record)
    _, _, version_count, actor_count = _HEAD.unpack_from(record)
    at = _HEAD.size + _ENTRY.size * actor_count
    value_at = at + _VERSION.size * version_count
    versions = []
    for _ in range(version_count):
        actor, time, flags, expires_ms, length = _VERSION.unpack_from(record, at)
        at += _VERSION.size
        value = record[value_at : value_at + length]
        value_at += length
        versions.append(Version(Dot(actor, time), value, flags == TOMBSTONE, expires_ms))
    return KeyState(tuple(versions), context)


def check(record: bytes) -> Context:
    """The context of a record, once all of the record was checked.

    Raises:
        ValueError: these bytes are not the encoding of any state.
    """
    size = len(record)
    if size < _HEAD.size:
        raise ValueError("record cut short in its head")
    version, zero, version_count, actor_count = _HEAD.unpack_from(record)
    if version != RECORD_VERSION or zero:
        raise ValueError(f"record of version {version}, this library reads {RECORD_VERSION}")
    at = _HEAD.size + _ENTRY.size * actor_count
    value_at = at + _VERSION.size * version_count
    if value_at > size:
        raise ValueError("record cut short")
    context = decode_context(record[_HEAD.size : at])
    last = (b"", 0)
    for _ in range(version_count):
        actor, time, flags, _, length = _VERSION.unpack_from(record, at)
        at += _VERSION.size
        value_at += length
        if flags > TOMBSTONE or (flags and length):
            raise ValueError("record with a malformed version")
        if not 0 < time <= context.get(actor, 0) or (actor, time) <= last:
            raise ValueError("record with a dot outside of its context, or out of order")
        last = (actor, time)
    if value_at != size:
        raise ValueError("record of another length than its values")
    return context


def live_values(record: bytes, wall_ms: int) -> list[bytes]:
    """The values that a read at this moment shows, newest first. For records that were checked when
    they came in."""
    _, _, version_count, actor_count = _HEAD.unpack_from(record)
    if version_count == 1:
        at = _HEAD.size + _ENTRY.size * actor_count
        _, _, flags, expires_ms, _ = _VERSION.unpack_from(record, at)
        if flags or (expires_ms and wall_ms >= expires_ms):
            return []
        return [record[at + _VERSION.size :]]
    alive = [version for version in decode(record).versions if version.alive(wall_ms)]
    alive.sort(key=lambda version: (version.dot.time, version.dot.actor), reverse=True)
    return [version.value for version in alive]


def is_passing(record: bytes) -> bool:
    """Whether nothing in it is there to stay: each version is a tombstone, or has an expiry."""
    _, _, version_count, actor_count = _HEAD.unpack_from(record)
    at = _HEAD.size + _ENTRY.size * actor_count
    for _ in range(version_count):
        _, _, flags, expires_ms, _ = _VERSION.unpack_from(record, at)
        if not flags and not expires_ms:
            return False
        at += _VERSION.size
    return True


def context_of(record: bytes) -> Context:
    """Only the context, of a record that was checked when it came in."""
    return dict(_ENTRY.iter_unpack(context_bytes(record)))


def dots_of(record: bytes) -> list[Dot]:
    """Only the dots of its versions, of a record that was checked when it came in."""
    _, _, version_count, actor_count = _HEAD.unpack_from(record)
    start = _HEAD.size + _ENTRY.size * actor_count
    places = range(start, start + _VERSION.size * version_count, _VERSION.size)
    return [Dot(*_ENTRY.unpack_from(record, at)) for at in places]


def context_bytes(record: bytes) -> bytes:
    """The context as it stands in the record; ``decode_context`` reads it. Of no record, it is the
    one that has seen nothing."""
    if not record:
        return b""
    _, _, _, actor_count = _HEAD.unpack_from(record)
    return record[_HEAD.size : _HEAD.size + _ENTRY.size * actor_count]


def decode_context(data: bytes) -> Context:
    """A context from ``context_bytes``. Raises ``ValueError`` for anything else."""
    if len(data) % _ENTRY.size:
        raise ValueError("context of a broken length")
    context: dict[Actor, int] = dict(_ENTRY.iter_unpack(data))
    if len(context) * _ENTRY.size != len(data) or 0 in context.values():
        raise ValueError("context with an actor twice, or at no time")
    if len(context) > 1 and list(context) != sorted(context):
        raise ValueError("context out of order")
    return context


def head_of(record: bytes) -> bytes:
    """All but the values, which the dots stand for: what ``digest`` and ``is_passing`` look at, of
    a record and of its head alike."""
    if record[2:6] == _ONE_AND_ONE:
        return record[:_PLAIN_HEAD_BYTES]
    _, _, version_count, actor_count = _HEAD.unpack_from(record)
    return record[: _HEAD.size + _ENTRY.size * actor_count + _VERSION.size * version_count]


def digest(record: bytes | None) -> int:
    """64 bits that two replicas compare instead of records; 0 stands for "no record" and for
    nothing else."""
    return xxh3_64_intdigest(head_of(record)) or 1 if record else 0


def fitting(found: list[bytes]) -> list[bytes]:
    """As many of these records, from the first on, as one answer carries."""
    size = 0
    for at, record in enumerate(found):
        size += len(record)
        if size > limits.ANSWER_BYTES_MAX and at:
            return found[:at]
    return found


def join_records(held: bytes | None, incoming: bytes) -> bytes:
    """The record of the joined states; the very ``held`` object when it already knows everything.

    Raises:
        ValueError: ``incoming`` is not a record.
    """
    theirs = check(incoming)
    return join_checked(held, context_of(held) if held else {}, incoming, theirs)


def join_checked(held: bytes | None, ours: Context, incoming: bytes, theirs: Context) -> bytes:
    """``join_records`` for records whose contexts are at hand.

    A state that knows of a write knows of all that the write had seen, and has dropped what it
    replaced. So where one context covers the other, the state with the greater one is the join, and
    nothing needs to be taken apart (a property test holds this against ``join``).
    """
    if not held:
        return incoming
    if held == incoming:
        return held
    ahead, behind = dominates(ours, theirs), dominates(theirs, ours)
    if ahead != behind:
        return held if ahead else incoming
    joined = encode(join(decode(held), decode(incoming)))
    return held if joined == held else joined
