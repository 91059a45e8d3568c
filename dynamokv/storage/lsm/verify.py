"""Whether a table is good: every byte, and what its pieces say of each other.

Knows: one file and what the manifest says of it. Must not know: what is done about damage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter, lt
from typing import Final

from xxhash import xxh3_128

from dynamokv.errors import CorruptionError
from dynamokv.limits import MiB
from dynamokv.storage.lsm import bloom
from dynamokv.storage.lsm.block import check_block
from dynamokv.storage.lsm.table_file import TableDamaged, TableFile
from dynamokv.storage.lsm.table_format import Index, Properties
from dynamokv.storage.lsm.tree import Range, TableMeta

READ_BYTES: Final = 1 * MiB
"""Read at once for the digest."""

_key_of = itemgetter(0)
_value_of = itemgetter(1)


@dataclass(frozen=True, slots=True)
class BadPiece:
    """Something that is wrong with a table."""

    start: bytes
    end: bytes
    """It concerns keys with start <= key < end."""
    reason: str


def verify(file: TableFile, meta: TableMeta) -> list[BadPiece]:
    """All that is wrong, as far as it can be told; nothing for a good table."""
    return [BadPiece(*keys, reason) for keys, reason in _findings(file, meta)]


def _findings(file: TableFile, meta: TableMeta) -> Iterator[tuple[Range, str]]:
    if file.fault:
        yield file.keys, file.fault
        return
    try:
        if _digest(file) != meta.digest:
            yield file.keys, "the digest of the file is not the manifest's"
    except TableDamaged as damage:
        # The pieces will show which of them the disk has lost.
        yield file.keys, damage.reason
    try:
        index = file.read_index()
    except TableDamaged as damage:
        yield file.keys, damage.reason
        return
    words: Sequence[int] = bloom.OPEN
    try:
        words = file.read_filter()
    except TableDamaged as damage:
        yield file.keys, damage.reason
    counts = _Counts()
    for block in range(len(index.last_keys)):
        try:
            _check_block(file, index, block, words, counts)
        except TableDamaged as damage:
            yield (damage.start, damage.end), damage.reason
        except CorruptionError as error:
            yield file.block_keys(index, block), f"block {block}: {error}"
    if not counts.bad:
        yield from _check_counts(file, meta, counts)


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    deletions: int = 0
    blocks: int = 0
    raw_bytes: int = 0
    bad: int = 0
    first_key: bytes | None = None


def _digest(file: TableFile) -> bytes:
    digest = xxh3_128()
    for offset in range(0, file.size_bytes, READ_BYTES):
        digest.update(file.read_at(offset, READ_BYTES))
    return digest.digest()


def _check_block(
    file: TableFile, index: Index, block: int, words: Sequence[int], counts: _Counts
) -> None:
    counts.bad += 1
    raw = file.read_block(index, block)
    rows, tags = check_block(raw)
    keys = list(map(_key_of, rows))
    start, end = file.block_keys(index, block)
    if keys[0] < start or keys[-1] + b"\0" != end:
        raise CorruptionError("its keys are not those that the index says")
    if not all(map(lt, keys, islice(keys, 1, None))):
        raise CorruptionError("its keys do not ascend")
    hashes = list(map(bloom.key_hash, keys))
    if tags != bytes([hash & 0xFF for hash in hashes]):
        raise CorruptionError("its tags are not those of its keys")
    masks = bloom.masks()
    size = len(words)
    if any(words[hash % size] & masks[hash >> bloom.MASK_SHIFT] for hash in hashes):
        raise CorruptionError("the filter calls a key of it absent")
    counts.bad -= 1
    counts.rows += len(rows)
    counts.deletions += list(map(_value_of, rows)).count(None)
    counts.blocks += 1
    counts.raw_bytes += len(raw)
    if counts.first_key is None:
        counts.first_key = keys[0]


def _check_counts(file: TableFile, meta: TableMeta, counts: _Counts) -> Iterator[tuple[Range, str]]:
    """Manifest, properties and blocks, where each block could be counted."""
    try:
        properties = file.read_properties()
    except TableDamaged as damage:
        yield file.keys, damage.reason
        return
    counted = (counts.rows, counts.deletions, counts.first_key)
    if counted != (meta.rows, meta.deletions, meta.first_key):
        yield file.keys, "the manifest counts other rows than the blocks have"
    if not _agree(properties, meta) or (counts.blocks, counts.raw_bytes) != (
        properties.blocks,
        properties.raw_bytes,
    ):
        yield file.keys, "the properties are of another table"


def _agree(properties: Properties, meta: TableMeta) -> bool:
    return all(
        getattr(properties, name) == getattr(meta, name)
        for name in (
            "rows",
            "deletions",
            "first_key",
            "last_key",
            "first_sequence",
            "last_sequence",
        )
    )
