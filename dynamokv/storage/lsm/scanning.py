"""A range of a view, in key order.

Knows: a view. Must not know: who changes it meanwhile; a view does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from dynamokv.limits import MiB
from dynamokv.ports import Row
from dynamokv.storage.lsm.merge import merge
from dynamokv.storage.lsm.record_writer import storage_error
from dynamokv.storage.lsm.table import Table, TableDamaged
from dynamokv.storage.lsm.view import View

SLICE_BYTES: Final = 1 * MiB
"""Of rows that are read ahead. Less than in a merge, because many a scan ends early."""

MEMORY_ROWS: Final = 256
"""Rows of the memtables in one piece."""


def scan_view(
    view: View,
    start: bytes,
    end: bytes,
    block_bytes: int,
    damaged: Callable[[TableDamaged], None],
) -> Iterator[tuple[bytes, bytes]]:
    """Rows with start <= key < end. The memtables are looked at during this call, the tables, which
    never change, as the iterator gets to them.

    Raises:
        TableDamaged: from the iterator; ``damaged`` was told.
    """
    if start >= end:
        return iter(())
    runs: list[Iterator[list[Row]]] = [_run(run, start, end) for run in view.runs(start, end)]
    memory = view.memory_rows(start, end)
    if memory:
        runs.insert(0, (memory[at : at + MEMORY_ROWS] for at in range(0, len(memory), MEMORY_ROWS)))
    return _rows(runs, block_bytes, damaged)


def _run(tables: Sequence[Table], start: bytes, end: bytes) -> Iterator[list[Row]]:
    for table in tables:
        yield from table.rows(start, end)


def _rows(
    runs: list[Iterator[list[Row]]], block_bytes: int, damaged: Callable[[TableDamaged], None]
) -> Iterator[tuple[bytes, bytes]]:
    slices = runs[0] if len(runs) == 1 else merge(runs, block_bytes, SLICE_BYTES) if runs else ()
    try:
        for rows in slices:
            for key, value in rows:
                if value is not None:
                    yield key, value
    except TableDamaged as error:
        damaged(error)
        raise
    except OSError as error:
        raise storage_error("cannot read a table", error) from error
