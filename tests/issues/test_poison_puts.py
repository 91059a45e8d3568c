"""What a client could once send to make an owner fail inside a put.

A delete with a value became a record that nobody could decode: the owner stored it, its peers
refused it, and every later put of the key with a context failed. A time to live near 2^64
milliseconds became an expiry that no record has room for. The schema now refuses both.
"""

from __future__ import annotations

import pytest

from dynamokv import limits
from dynamokv.wire import messages as m
from dynamokv.wire.schema import TAG_OF, check_message

NAME = b"\x00k"


def put(*, delete: bool = False, ttl_ms: int = 0, value: bytes = b"") -> m.Message:
    request = m.PutRequest(1, 1, 1000, 0, True, delete, ttl_ms, [NAME], [value], [])
    return check_message([TAG_OF[m.PutRequest], *request])


def test_a_tombstone_has_no_value() -> None:
    put(delete=True)
    put(value=b"value")
    with pytest.raises(ValueError, match="tombstone"):
        put(delete=True, value=b"value")


def test_an_expiry_has_room_in_a_record() -> None:
    put(ttl_ms=limits.DURATION_MS_MAX)
    with pytest.raises(ValueError, match="ttl_ms"):
        put(ttl_ms=limits.DURATION_MS_MAX + 1)
    last_moment = (1 << 44) - 1
    assert last_moment + limits.DURATION_MS_MAX < 1 << 64
