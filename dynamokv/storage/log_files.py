"""The files that a log engine consists of: their names, their order, how each comes and goes.

Knows: the naming, and the steps that make a file durable. Must not know: what is in a file beyond
handing on its bytes, when one is due.

Invariants:

- A file gets its name once it is complete and synced, so that only the tail of a log can be torn.
- Numbers never repeat within a directory: a new log takes the highest that ever was, plus one.
- What is set aside as damaged is never deleted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dynamokv.ports import AppendFile, FileSystem
from dynamokv.storage.log_format import FileKind, encode_header, encode_snapshot

TEMPORARY: Final = ".tmp"
"""Being made. Means nothing to anybody, and goes at the next occasion."""

DAMAGED: Final = ".damaged"
"""Set aside for inspection. Still read, until a snapshot of its number or above is complete."""

_NAME = re.compile(r"(log|snapshot)-(\d{8,})(\.damaged|\.tmp)?")
_KINDS = {"log": FileKind.LOG, "snapshot": FileKind.SNAPSHOT}


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """A file by its name. They sort by age: a snapshot comes right after the log of its number."""

    number: int
    kind: FileKind
    suffix: str = ""

    @property
    def name(self) -> str:
        """The name within the directory."""
        return f"{self.kind.name.lower()}-{self.number:08d}{self.suffix}"


def stored_files(names: Iterable[str]) -> list[StoredFile]:
    """Ours among the names of a directory, oldest first."""
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(StoredFile(int(m[2]), _KINDS[m[1]], m[3] or "") for m in matches if m)


def create_log(
    files: FileSystem, directory: Path, number: int, salt: bytes, sequence: int
) -> tuple[AppendFile, str]:
    """An empty log, open, and its name. The caller syncs the directory.

    Raises:
        OSError: there is no such file.
    """
    name = StoredFile(number, FileKind.LOG).name
    header = encode_header(FileKind.LOG, salt, sequence)
    return _create(files, directory / name, [header]), name


def create_snapshot(
    files: FileSystem,
    directory: Path,
    number: int,
    salt: bytes,
    sequence: int,
    rows: Mapping[bytes, bytes],
) -> tuple[str, int]:
    """A durable snapshot; its name and size. ``sequence``: of the first record that is not in it.

    Raises:
        OSError: there is no such file, or one that a power cut may take.
    """
    name = StoredFile(number, FileKind.SNAPSHOT).name
    file = _create(files, directory / name, encode_snapshot(rows, salt, sequence))
    try:
        size_bytes = file.size()
    finally:
        file.close()
    files.sync_dir(directory)
    return name, size_bytes


def _create(files: FileSystem, path: Path, pieces: Iterable[bytes]) -> AppendFile:
    temporary = path.with_name(path.name + TEMPORARY)
    file = files.open_append(temporary)
    try:
        # An earlier attempt may have left its beginning.
        file.truncate(0)
        for piece in pieces:
            file.append(piece)
        file.sync()
        files.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            files.remove(temporary)
        raise
    return file


def replaced_files(names: Iterable[str], snapshot_number: int) -> list[str]:
    """What a complete snapshot of this number makes superfluous, and what was never finished."""
    snapshot = StoredFile(snapshot_number, FileKind.SNAPSHOT)
    return [
        file.name
        for file in stored_files(names)
        if file.suffix == TEMPORARY or (file < snapshot and file.suffix != DAMAGED)
    ]
