"""CBOR with everything off that messages do not need: the closed codec of the wire.

cbor2's defaults accept tags that build objects, duplicate keys, indefinite lengths, depth 400 and
bytes after the end. Here a message is lists of integers, texts, byte strings and booleans, and
everything else is refused.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, NoReturn

import cbor2

from dynamokv import limits

_KNOWN_TAGS = (
    *range(6), 25, *range(28, 31), *range(35, 38), 52, 54, 100, 256, 258, 260, 261, 1004, 43000,
    55799,
)  # fmt: skip
"""Tags that cbor2 decodes by itself; each must be refused by name, ``tag_hook`` gets only the
others."""

encode = cbor2.dumps
"""One item to bytes. Named tuples are lists of their fields."""


def _refuse_tag(*_: Any) -> NoReturn:
    raise ValueError("tags are not part of the protocol")


_REFUSED = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


class Decoder:
    """A decoder to keep, since making one costs a small message. For one thread at a time."""

    def __init__(self) -> None:
        self._decoder = cbor2.CBORDecoder(
            BytesIO(),
            read_size=limits.FRAME_BYTES_TARGET,
            max_depth=limits.CBOR_DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            tag_hook=_refuse_tag,
            semantic_decoders=_REFUSED,
        )

    def decode(self, data: bytes) -> Any:
        """The one item in ``data``.

        Raises:
            ValueError: not CBOR, not in the closed subset, or not exactly one item.
        """
        stream = BytesIO(data)
        decoder = self._decoder
        decoder.fp = stream
        try:
            item = decoder.decode()
        except Exception as error:  # cbor2 raises many kinds, also out of its hooks: all mean "no"
            raise ValueError(f"not in the protocol's CBOR: {error}") from error
        if stream.tell() != len(data):
            raise ValueError("bytes after the end of the item")
        return item


def decode(data: bytes) -> Any:
    """``Decoder.decode``, for what is not decoded often."""
    return Decoder().decode(data)
