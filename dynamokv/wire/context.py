"""Contexts in the hands of clients: opaque, bound to one key, and sealed.

A context says "I have seen all of this", and a put erases what it has seen. A forged one could
erase what nobody has seen, even future writes; one that wandered to another key would erase there.
So the token that leaves the ring carries a keyed checksum over key and context, and a token whose
checksum is wrong is refused::

    of a read     kind u8 = 1 | checksum 8 bytes | context entries
    of a write    kind u8 = 2 | checksum 8 bytes | dot 16 bytes | context entries

A write that was given a context has seen that, and itself, and nothing else: siblings that its
coordinator kept are not in it. Its own dot stands apart, because a context that covered it would
also cover every earlier write of the same actor.

The ring's members share the key of the checksum; it is part of the topology record and never given
to clients.
"""

from __future__ import annotations

from hashlib import blake2b

from dynamokv.causality.versions import Context, Dot
from dynamokv.types import ACTOR_BYTES, Actor
from dynamokv.wire import record as records

READ_TOKEN = b"\x01"
WRITE_TOKEN = b"\x02"
SEAL_BYTES = 8
DOT_BYTES = ACTOR_BYTES + 8

_HEAD_BYTES = len(READ_TOKEN) + SEAL_BYTES


def seal_of(body: bytes, row_key: bytes, context_key: bytes, kind: bytes = READ_TOKEN) -> bytes:
    """The keyed checksum of what a token says (for a read: a record's context) for one key."""
    data = kind + len(row_key).to_bytes(4) + row_key + body
    return blake2b(data, digest_size=SEAL_BYTES, key=context_key).digest()


def token_of(record: bytes, seal: bytes) -> bytes:
    """What a reader gets: the context of a record, with its seal."""
    return READ_TOKEN + seal + records.context_bytes(record)


def token_after(token: bytes, dot: Dot, row_key: bytes, context_key: bytes) -> bytes:
    """What a writer gets that was given ``token``: what that had seen, and this write."""
    seen = token[_HEAD_BYTES + (DOT_BYTES if token.startswith(WRITE_TOKEN) else 0) :]
    body = dot.actor + dot.time.to_bytes(8) + seen
    return WRITE_TOKEN + seal_of(body, row_key, context_key, WRITE_TOKEN) + body


def open_token(token: bytes, row_key: bytes, context_key: bytes) -> Context:
    """The context in a token; ``own_dot`` has the rest.

    Raises:
        ValueError: the token is damaged, forged, or belongs to another key or ring.
    """
    kind, seal, body = token[:1], token[1:_HEAD_BYTES], token[_HEAD_BYTES:]
    if kind not in (READ_TOKEN, WRITE_TOKEN):
        raise ValueError("this is not a context that read() or a receipt gave")
    if seal_of(body, row_key, context_key, kind) != seal:
        raise ValueError("this context was not given by this ring for this key")
    return records.decode_context(body if kind == READ_TOKEN else body[DOT_BYTES:])


def own_dot(token: bytes) -> Dot | None:
    """The write that a token came from, beside its context; for tokens that were opened."""
    if not token.startswith(WRITE_TOKEN):
        return None
    actor = Actor(token[_HEAD_BYTES : _HEAD_BYTES + ACTOR_BYTES])
    return Dot(actor, int.from_bytes(token[_HEAD_BYTES + ACTOR_BYTES : _HEAD_BYTES + DOT_BYTES]))
