"""Names of the files in a store's directory.

Knows: names. Must not know: bytes, order, meaning. One counter numbers all files of a store, and no
number is used twice.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

CURRENT: Final = "CURRENT"
"""Holds the name of the manifest in use."""

RESERVE: Final = "RESERVE"
"""Space for the manifest when the disk is full."""

TEMPORARY: Final = ".tmp"
"""Being made. Means nothing to anybody, and is deleted by the next opening."""

DAMAGED: Final = ".damaged"
"""Set aside for inspection. Not read again."""

_NUMBERED = re.compile(r"(wal|table|manifest)-(\d{8,18})")
_BUILD = re.compile(r"build-.+-\d{4,}")


class Kind(Enum):
    """What a numbered file is."""

    WAL = "wal"
    TABLE = "table"
    MANIFEST = "manifest"


def file_name(kind: Kind, number: int) -> str:
    """``table-00000012``."""
    return f"{kind.value}-{number:08d}"


def build_name(tag: str, index: int) -> str:
    """A table that a task is making."""
    return f"{build_prefix(tag)}{index:04d}{TEMPORARY}"


def build_prefix(tag: str) -> str:
    """What the names of all tables of that task begin with."""
    return f"build-{tag}-"


def parse_name(name: str) -> tuple[Kind, int] | None:
    """Kind and number, or ``None`` for any other file."""
    match = _NUMBERED.fullmatch(name)
    return (Kind(match[1]), int(match[2])) if match else None


def is_ours(name: str) -> bool:
    """Whether it is a numbered file, or one that is being made: what an opening may delete."""
    begun = name.removesuffix(TEMPORARY)
    if begun == name:
        return parse_name(name) is not None
    return begun in (CURRENT, RESERVE) or bool(_BUILD.fullmatch(begun) or parse_name(begun))
