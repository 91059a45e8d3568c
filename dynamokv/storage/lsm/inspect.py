"""Any file of a store, in words: what ``dynamokv inspect`` prints.

Knows: how to read each kind of file. Must not know: stores, what would be done about damage. Opens
nothing for writing, so a store in use can be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

from xxhash import xxh3_128_hexdigest

from dynamokv.errors import CorruptionError, StorageError, UsageError
from dynamokv.ports import Row
from dynamokv.storage.files import LOCK_NAME, RealFiles
from dynamokv.storage.lsm.batch import decode_batch
from dynamokv.storage.lsm.block import decode_block
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    MAGIC,
    Damage,
    FileKind,
    Record,
    decode_header,
    scan,
)
from dynamokv.storage.lsm.manifest_codec import decode_edit
from dynamokv.storage.lsm.names import CURRENT, DAMAGED, RESERVE
from dynamokv.storage.lsm.table_file import TableDamaged, TableFile
from dynamokv.storage.lsm.tree import Edit, TableMeta

SHOWN_BYTES: Final = 48
"""Of a key or a value."""

DAMAGE: Final = "DAMAGED"
"""What every line about damage begins with."""

_KIND = Struct(">H")


def inspect(path: Path, *, rows: bool = False) -> Iterator[str]:
    """Lines about a file of a store; one that begins with ``DAMAGE`` for each thing wrong with it.

    ``rows``: every row as well.

    Raises:
        UsageError: it is no file of a store, or a directory.
        CorruptionError: it is of a newer format version.
        StorageError: it cannot be read.
    """
    name = path.name.removesuffix(DAMAGED)
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a directory: name one of its files")
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    if name in (CURRENT, LOCK_NAME):
        yield f"{name}: {data.decode('ascii', 'replace').strip()}"
    elif name == RESERVE:
        yield f"{name}: {len(data)} bytes, kept free for the manifest"
    else:
        yield from _numbered(path, data, rows)


def _numbered(path: Path, data: bytes, rows: bool) -> Iterator[str]:
    # A damaged header may still say what it is, and so does the name.
    says = _KIND.unpack_from(data, len(MAGIC) + 2)[0] if len(data) >= HEADER_BYTES else 0
    named = {"wal": FileKind.WAL, "table": FileKind.TABLE, "manifest": FileKind.MANIFEST}
    kind = named.get(path.name.partition("-")[0])
    if kind is None and data[: len(MAGIC)] == MAGIC and says in set(FileKind):
        kind = FileKind(says)
    if kind is None:
        raise UsageError(f"{path} is no file of a store of dynamokv")
    try:
        header = decode_header(data, kind)
    except CorruptionError as error:
        raise CorruptionError(f"{path}: {error}") from error
    yield f"{kind.name.lower()}, {len(data)} bytes, salt {header.salt.hex()}"
    if header.fault:
        yield f"{DAMAGE}: {header.fault}"
    if kind is FileKind.TABLE:
        yield from _table(path, data, rows)
        return
    yield f"first sequence {header.sequence}"
    for item in scan(data, header.salt, header.sequence):
        if isinstance(item, Damage):
            yield f"{DAMAGE}: {item.end - item.offset} bytes at {item.offset} are no record"
        elif kind is FileKind.WAL:
            yield from _batch(item, rows)
        else:
            yield from _edit(item)


def _batch(record: Record, rows: bool) -> Iterator[str]:
    try:
        batch = decode_batch(record.payload)
    except CorruptionError as error:
        yield f"{DAMAGE}: record {record.sequence} at {record.offset}: {error}"
        return
    yield f"batch {record.sequence} at {record.offset}: {len(batch)} rows, " + (
        f"{len(record.payload)} bytes"
    )
    if rows:
        yield from map(_row, batch)


def _edit(record: Record) -> Iterator[str]:
    yield f"edit {record.sequence} at {record.offset}, {len(record.payload)} bytes"
    try:
        edit = decode_edit(record.payload)
    except CorruptionError as error:
        yield f"{DAMAGE}: {error}"
        return
    yield from _edit_lines(edit)


def _edit_lines(edit: Edit) -> Iterator[str]:
    for label, number in (
        ("logs from", edit.log_number),
        ("first sequence in the logs", edit.sequence),
        ("next number", edit.next_number),
    ):
        if number is not None:
            yield f"  {label}: {number}"
    for number in edit.removed:
        yield f"  - table {number}"
    for level, meta in edit.added:
        yield f"  + level {level}: {_meta(meta)}"
    if edit.forgot is not None:
        yield "  less than there was" if edit.forgot else "  that it was less is taken in"
    for lost in edit.lost:
        yield f"  lost {_shown(lost.start)} to {_shown(lost.end)}: {lost.file}: {lost.reason}"
    for start, end in edit.healed:
        yield f"  healed {_shown(start)} to {_shown(end)}"


def _meta(meta: TableMeta) -> str:
    dropped = "".join(f", without {_shown(a)} to {_shown(b)}" for a, b in meta.dropped)
    return (
        f"table {meta.number}: {meta.size_bytes} bytes, {meta.rows} rows "
        f"({meta.deletions} deletions), {_shown(meta.first_key)} to {_shown(meta.last_key)}, "
        f"sequences {meta.first_sequence} to {meta.last_sequence}{dropped}"
    )


def _table(path: Path, data: bytes, rows: bool) -> Iterator[str]:
    """By what the table says itself: the manifest's entry is elsewhere."""
    nothing = TableMeta(0, len(data), b"", 0, 0, b"", b"", 0, 0)
    file = TableFile(RealFiles(), path, nothing)
    try:
        if file.fault:
            yield f"{DAMAGE}: {file.fault}"
            return
        said = file.read_properties()
        yield f"digest {xxh3_128_hexdigest(data)}"
        yield f"{said.rows} rows ({said.deletions} deletions) in {said.blocks} blocks"
        yield f"{_shown(said.first_key)} to {_shown(said.last_key)}"
        yield f"sequences {said.first_sequence} to {said.last_sequence}"
        if said.inputs:
            yield f"merged from {', '.join(map(str, said.inputs))}"
    except TableDamaged as error:
        yield f"{DAMAGE}: {error}"
        return
    finally:
        file.close()
    meta = TableMeta(
        0, len(data), b"", said.rows, said.deletions, said.first_key, said.last_key, 0, 0
    )
    file = TableFile(RealFiles(), path, meta)
    try:
        yield from _blocks(file, rows)
    finally:
        file.close()


def _blocks(file: TableFile, rows: bool) -> Iterator[str]:
    try:
        filter_bytes = 8 * len(file.read_filter())
        index = file.read_index()
    except TableDamaged as error:
        yield f"{DAMAGE}: {error}"
        return
    yield f"filter of {filter_bytes} bytes"
    for block in range(len(index.last_keys)):
        offset, end = index.offsets[block], index.offsets[block + 1]
        try:
            found = decode_block(file.read_block(index, block))
        except TableDamaged as error:
            yield f"{DAMAGE}: block {block} to {_shown(index.last_keys[block])}: {error.reason}"
            continue
        yield f"block {block} at {offset}: {end - offset} bytes, {len(found)} rows, " + (
            f"to {_shown(index.last_keys[block])}"
        )
        if rows:
            yield from map(_row, found)


def _row(row: Row) -> str:
    key, value = row
    return f"  {_shown(key)}: {'deleted' if value is None else _shown(value)}"


def _shown(data: bytes) -> str:
    more = f"... ({len(data)} bytes)" if len(data) > SHOWN_BYTES else ""
    return f"{data[:SHOWN_BYTES]!r}{more}"
