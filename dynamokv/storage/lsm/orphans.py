"""Tables that no manifest speaks of, for when the manifest has lost something.

Knows: what tables say about themselves. Must not know: why the manifest is silent. Changes nothing.

Normally such a table is the work of a merge that a crash interrupted, and is deleted. Where edits
were lost, it may be what took the place of tables that are gone now; then it takes part again.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_128_digest

from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.faults import read_or_fault
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.table_file import TableDamaged, TableFile
from dynamokv.storage.lsm.tree import Edit, TableMeta, Tree, overlapping


@dataclass(frozen=True, slots=True)
class Orphan:
    """A table and the numbers of those that it replaced."""

    meta: TableMeta
    inputs: tuple[int, ...]


def describe(files: FileSystem, directory: Path, number: int) -> Orphan | None:
    """What a table says about itself; ``None`` when it cannot be read.

    Raises:
        CorruptionError: it is of a newer format version.
        OSError: it may be readable later.
    """
    name = file_name(Kind.TABLE, number)
    data, fault = read_or_fault(files, directory, name)
    if fault is not None:
        return None
    meta = TableMeta(number, len(data), xxh3_128_digest(data), 0, 0, b"", b"", 0, 0)
    try:
        with closing(TableFile(files, directory / name, meta)) as file:
            said = file.read_properties()
    except TableDamaged:
        return None
    meta = TableMeta(
        number=number,
        size_bytes=len(data),
        digest=meta.digest,
        rows=said.rows,
        deletions=said.deletions,
        first_key=said.first_key,
        last_key=said.last_key,
        first_sequence=said.first_sequence,
        last_sequence=said.last_sequence,
    )
    return Orphan(meta, said.inputs)


def adopt(tree: Tree, orphans: Iterable[Orphan], tables_there: Set[int]) -> tuple[Tree, set[int]]:
    """The tree with the orphans that it lacks, and which of its tables gave way to them.

    ``tables_there``: numbers of all tables that have a file.

    Tables are deleted only after the edit that replaces them. So where one of its inputs is gone, a
    merge was complete, and its results stand for all of them. Where they all are there, it may not
    have been, and its results have nothing that they do not have.

    An orphan belongs where the deepest of the tables that it replaces was; where that is not known,
    or taken, among the tables of level 0 by its age.
    """
    by_number = sorted(orphans, key=lambda orphan: orphan.meta.number)
    levels = {meta.number: n for n, level in enumerate(tree.levels) for meta in level}
    for orphan in by_number:
        inputs = (levels.get(number, 0) for number in orphan.inputs)
        levels[orphan.meta.number] = max(inputs, default=0)
    replaced: set[int] = set()
    chosen: list[Orphan] = []
    # The newest first, because what was merged into it was complete as well.
    for orphan in reversed(by_number):
        if orphan.meta.number in replaced:
            replaced.update(orphan.inputs)
        elif not orphan.inputs or not tables_there >= set(orphan.inputs):
            replaced.update(orphan.inputs)
            chosen.append(orphan)
    replaced.intersection_update(meta.number for meta in tree.tables())
    tree = tree.apply(Edit(removed=tuple(sorted(replaced))))
    for orphan in reversed(chosen):
        meta = orphan.meta
        level = levels[meta.number]
        if level and overlapping(tree.levels[level], meta.first_key, meta.last_key):
            level = 0
        tree = tree.apply(Edit(added=((level, meta),)))
    return tree, replaced
