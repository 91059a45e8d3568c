"""Values as bytes: CBOR, closed to what comes back as it went in.

Carried: ``None``, ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``list``, ``dict``, and
``set``, ``datetime`` (with a time zone), ``date``, ``Decimal`` and ``UUID``. A tuple comes back as
a list (in a set as a tuple), a frozenset as a set, an IntEnum or StrEnum as its value, a Decimal
that is no finite number as a float. Nothing in the stored bytes can build any other object: what is
not on the list is refused on both ways, and pickle is never used.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import cbor2

from dynamokv import limits
from dynamokv.errors import SerializationError, ValueTooLarge
from dynamokv.ports import Serializer

_ATOMS = (
    type(None), bool, int, float, str, bytes, datetime.datetime, datetime.date, Decimal, UUID,
)  # fmt: skip
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_FOREIGN_TAGS = (5, 25, 28, 29, 30, 35, 36, 52, 54, 256, 260, 261, 43000, 55799)
_CBOR_DEPTH_MAX = 2 * limits.VALUE_DEPTH_MAX + 2
"""A set counts twice in CBOR, as a tag and as a list, and so does a Decimal, inside of them all."""

_LAST_PLAIN_MAJOR_TYPE = 3
"""CBOR items of major types 0 to 3 are integers and strings: they hold no other items, so no tags.
"""


def _refuse_tag(*_: Any) -> NoReturn:
    raise ValueError("a tag that values do not use")


_REFUSED = dict.fromkeys(_FOREIGN_TAGS, _refuse_tag)


class CborSerializer:
    """The default ``serializer``."""

    def dumps(self, value: object, /) -> bytes:
        """Encode. Raises ``ValueError`` or ``TypeError`` for what would not come back."""
        if type(value) not in _PLAIN:
            _check(value, 0)
        return cbor2.dumps(value)

    def loads(self, data: bytes, /) -> object:
        """Decode. Raises ``ValueError`` for bytes that ``dumps`` does not make."""
        if data and data[0] >> 5 <= _LAST_PLAIN_MAJOR_TYPE:
            return cbor2.loads(data)
        return cbor2.loads(
            data,
            max_depth=_CBOR_DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            tag_hook=_refuse_tag,
            semantic_decoders=_REFUSED,
        )


CBOR = CborSerializer()


def encode_value(value: object, serializer: Serializer) -> bytes:
    """A value as it is stored.

    Raises:
        SerializationError: the serializer cannot carry it.
        ValueTooLarge: over 1 MiB encoded.
    """
    try:
        data = serializer.dumps(value)
    except (
        Exception
    ) as error:  # a serializer is the application's: whatever it raises means "not this value"
        raise SerializationError(
            f"a value of type {type(value).__name__} cannot be stored: {error}; store None, bool, "
            "int, float, str, bytes, list, dict, set, datetime, date, Decimal or UUID, or pass "
            "serializer="
        ) from error
    if type(data) is not bytes:
        raise SerializationError(f"the serializer returned {type(data).__name__}, bytes are needed")
    if len(data) > limits.VALUE_BYTES_MAX:
        raise ValueTooLarge(
            f"the value has {len(data):,} bytes encoded, the limit is {limits.VALUE_BYTES_MAX:,}: "
            "keep it in a blob store (files, S3) and put its address here"
        )
    return data


def decode_value(data: bytes, serializer: Serializer) -> Any:
    """A value as it was put. Raises ``SerializationError`` when the serializer cannot read it."""
    try:
        return serializer.loads(data)
    except Exception as error:  # as above
        raise SerializationError(
            f"a stored value of {len(data)} bytes cannot be read back: {error}; was it put with "
            "another serializer?"
        ) from error


def _check(value: object, depth: int) -> None:
    if isinstance(value, _ATOMS):
        if isinstance(value, datetime.datetime) and value.tzinfo is None:
            raise ValueError("a datetime needs a time zone: datetime.now(UTC)")
        return
    if depth == limits.VALUE_DEPTH_MAX:
        raise ValueError(f"nested deeper than {limits.VALUE_DEPTH_MAX}, or within itself")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, _ATOMS):
                raise TypeError(f"a dict key of type {type(key).__name__}")
            if type(item) not in _PLAIN:
                _check(item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            if type(item) not in _PLAIN:
                _check(item, depth + 1)
    else:
        raise TypeError(f"no encoding for {type(value).__name__}")
