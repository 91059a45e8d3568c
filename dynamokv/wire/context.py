"""Contexts in the hands of clients: opaque, bound to one key, and sealed.

A context says "I have seen all of this", and a put erases what it has seen. A forged one could
erase what nobody has seen, even future writes; one that wandered to another key would erase there.
So the token that leaves the ring carries a keyed checksum over key and context, and a token whose
checksum is wrong is refused.

    token = version u8 = 1 | checksum 8 bytes | context entries

The ring's members share the key of the checksum; it is part of the topology record and never given
to clients.
"""

from __future__ import annotations

from hashlib import blake2b

from dynamokv.causality.versions import Context
from dynamokv.wire import record as records

TOKEN_VERSION = b"\x01"
SEAL_BYTES = 8


def seal_of(context: bytes, row_key: bytes, context_key: bytes) -> bytes:
    """The keyed checksum of a context (as in a record) for one key."""
    data = len(row_key).to_bytes(4) + row_key + context
    return blake2b(data, digest_size=SEAL_BYTES, key=context_key).digest()


def token_of(record: bytes, seal: bytes) -> bytes:
    """What a caller gets: the context of a record, with its seal."""
    return TOKEN_VERSION + seal + records.context_bytes(record)


def open_token(token: bytes, row_key: bytes, context_key: bytes) -> Context:
    """The context in a token.

    Raises:
        ValueError: the token is damaged, forged, or belongs to another key or ring.
    """
    head = len(TOKEN_VERSION) + SEAL_BYTES
    if len(token) < head or not token.startswith(TOKEN_VERSION):
        raise ValueError("this is not a context that read() or a receipt gave")
    context = token[head:]
    if seal_of(context, row_key, context_key) != token[len(TOKEN_VERSION) : head]:
        raise ValueError("this context was not given by this ring for this key")
    return records.decode_context(context)
