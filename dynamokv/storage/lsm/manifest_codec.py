"""Edits of the tree as bytes: the payload of an EDIT record. ``docs/formats/manifest.md`` is the
same in prose.

Knows: one payload. Must not know: records, files.

Keys of the maps are append-only numbers. A reader refuses keys that it does not know: an edit that
is understood by half would be a wrong tree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cbor2

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.tree import Edit, Lost, Range, TableMeta

DIGEST_BYTES: Final = 16

_REMOVED, _ADDED, _LOG, _SEQUENCE, _NEXT, _LOST, _HEALED, _FORGOT = range(1, 9)
_U64: Final = 1 << 64


def encode_edit(edit: Edit) -> bytes:
    """CBOR in its one deterministic form (RFC 8949, 4.2.1)."""
    fields: dict[int, Any] = {}
    if edit.removed:
        fields[_REMOVED] = list(edit.removed)
    if edit.added:
        fields[_ADDED] = [[level, *_table_fields(table)] for level, table in edit.added]
    for number, value in (
        (_LOG, edit.log_number),
        (_SEQUENCE, edit.sequence),
        (_NEXT, edit.next_number),
    ):
        if value is not None:
            fields[number] = value
    if edit.lost:
        fields[_LOST] = [_lost_fields(x) for x in edit.lost]
    if edit.healed:
        fields[_HEALED] = [list(r) for r in edit.healed]
    if edit.forgot is not None:
        fields[_FORGOT] = edit.forgot
    return cbor2.dumps(fields, canonical=True)


class UnknownFields(CorruptionError):
    """An edit of a newer library."""


def decode_edit(payload: bytes) -> Edit:
    """The edit.

    Raises:
        UnknownFields: it says more than this library understands.
        CorruptionError: it is none, although its checksum held: whoever wrote it has a bug.
    """
    try:
        fields = cbor2.loads(payload)
        if type(fields) is not dict:
            raise ValueError("it is no map")
        unknown = set(map(_int, fields)) - set(_READERS)
        if unknown:
            raise UnknownFields(
                f"an edit has fields {sorted(unknown)}, which are newer than this library: "
                "upgrade dynamokv"
            )
        edit = Edit(**{_NAMES[n]: _READERS[n](value) for n, value in fields.items()})
        # There is one way to write it, so that nothing can hide behind it or in it.
        if encode_edit(edit) != payload:
            raise ValueError("it is not in its deterministic form")
    except (cbor2.CBORError, ValueError, TypeError) as error:
        raise CorruptionError(f"an edit of the manifest cannot be read: {error}") from error
    return edit


def _table_fields(table: TableMeta) -> list[Any]:
    return [
        table.number,
        table.size_bytes,
        table.digest,
        table.rows,
        table.deletions,
        table.first_key,
        table.last_key,
        table.first_sequence,
        table.last_sequence,
        [list(r) for r in table.dropped],
    ]


def _added(value: Any) -> tuple[int, TableMeta]:
    level, number, size, digest, rows, deletions, first, last, oldest, newest, dropped = value
    digest = _bytes(digest)
    first, last = _bytes(first), _bytes(last)
    if len(digest) != DIGEST_BYTES or first > last:
        raise ValueError(f"table {number!r} makes no sense")
    table = TableMeta(
        number=_int(number),
        size_bytes=_int(size),
        digest=digest,
        rows=_int(rows),
        deletions=_int(deletions),
        first_key=first,
        last_key=last,
        first_sequence=_int(oldest),
        last_sequence=_int(newest),
        dropped=tuple(map(_range, dropped)),
    )
    return _int(level), table


def _lost_fields(lost: Lost) -> list[Any]:
    fields: list[Any] = [lost.file, lost.start, lost.end, lost.reason]
    return [*fields, True] if lost.mixed else fields


def _lost(value: Any) -> Lost:
    file, start, end, reason, *more = value
    return Lost(_text(file), _bytes(start), _bytes(end), _text(reason), mixed=bool(more))


def _range(value: Any) -> Range:
    start, end = value
    return _bytes(start), _bytes(end)


def _int(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _U64:
        raise ValueError(f"{value!r} is no number of 64 bits")
    return value


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise ValueError(f"{value!r} is not bytes")
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r} is not text")
    return value


def _all(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda values: tuple(map(read, values))


_NAMES: Final = {
    _REMOVED: "removed",
    _ADDED: "added",
    _LOG: "log_number",
    _SEQUENCE: "sequence",
    _NEXT: "next_number",
    _LOST: "lost",
    _HEALED: "healed",
    _FORGOT: "forgot",
}
_READERS: Final[dict[int, Callable[[Any], Any]]] = {
    _REMOVED: _all(_int),
    _ADDED: _all(_added),
    _LOG: _int,
    _SEQUENCE: _int,
    _NEXT: _int,
    _LOST: _all(_lost),
    _HEALED: _all(_range),
    _FORGOT: _bool,
}
