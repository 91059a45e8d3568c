"""Which keys of a damaged piece of a table nobody knows any more.

Knows: a tree and its open tables. Must not know: how damage is found, when a quarantine ends.

A key that a newer table has is not lost, whatever the damaged piece had of it. So of the keys that
stay lost, all that the other tables have is older than what was damaged: it must not be seen again
when the quarantine ends (``LSMEngine.heal``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from dynamokv.storage.lsm.table import Table, TableDamaged
from dynamokv.storage.lsm.tree import LOST_MAX, Lost, Tree, around, newer_than

KNOWN_MAX: Final = LOST_MAX // 2
"""Ranges that are kept apart for this. The others are for keys that are written from now on."""


def without_known(
    lost: Iterable[Lost], tree: Tree, number: int, tables: Mapping[int, Table]
) -> list[Lost]:
    """These ranges of a table that is in the tree, less what newer tables have. Where that cannot
    be read, or is too much to be kept apart, the range is ``mixed``."""
    newer = [tables[meta.number] for meta in newer_than(tree, number) if meta.number in tables]
    left: list[Lost] = []
    for whole in lost:
        try:
            known = _keys(newer, whole)
        except (TableDamaged, OSError):
            known = None
        if known is None:
            left.append(replace(whole, mixed=True))
        else:
            left += around(whole, known, KNOWN_MAX - len(tree.lost) - len(left))
    return left


def _keys(tables: Iterable[Table], lost: Lost) -> list[bytes] | None:
    """What these have of a range, in order; ``None`` where that is too much."""
    keys: set[bytes] = set()
    for table in tables:
        for rows in table.rows(lost.start, lost.end):
            keys.update(key for key, _ in rows)
            if len(keys) > LOST_MAX:
                return None
    return sorted(keys)
