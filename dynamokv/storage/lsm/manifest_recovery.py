"""The tree that a directory's manifest says, whatever state a crash or a bad disk left it in.

Knows: manifests. Must not know: tables and logs beyond their numbers. Nothing here changes a file.

- The manifest that ``CURRENT`` names counts. Where that cannot be read, the newest that can.
- Bytes at its end that are no record are an edit that a crash interrupted. That may be wrong (a
  flipped bit in the last edit looks the same), and shows when the files do not fit the tree:
  ``opening`` finds out, with ``orphans``.
- Anything else is a fault. Every edit around it counts that fits.
- Where edits may be lost, it says which tables they may have been about: ``could_have_had``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dynamokv.errors import CorruptionError
from dynamokv.ports import FileSystem
from dynamokv.storage.lsm.faults import Fault, read_or_fault
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    Damage,
    FileKind,
    RecordType,
    decode_header,
    scan,
)
from dynamokv.storage.lsm.manifest_codec import UnknownFields, decode_edit
from dynamokv.storage.lsm.names import CURRENT, Kind, file_name, parse_name
from dynamokv.storage.lsm.tree import Tree

NO_CURRENT: Final = Fault(CURRENT, 0, "it is missing")


@dataclass(slots=True)
class FoundManifest:
    """The outcome. The store begins a new one; only on a full disk it goes on in this one, cut to
    ``size_bytes``."""

    tree: Tree = field(default_factory=Tree)
    number: int = 0
    """0: there is none."""
    salt: bytes = b""
    size_bytes: int = 0
    """Up to the end of its last good record."""
    sequence: int = 0
    """Of the next record."""
    cut_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    known_below: int = 0
    """Of tables with smaller numbers every edit was read."""
    removed: set[int] = field(default_factory=set)
    """Numbers of tables that an edit took away."""

    def could_have_had(self, number: int) -> bool:
        """Whether an edit that is lost may have added this table, which the tree does not have. A
        file of any other table was left over, and its rows may be older than they look."""
        return number >= self.known_below and number not in self.removed


def recover_manifest(files: FileSystem, directory: Path, names: list[str]) -> FoundManifest:
    """Read what is there.

    Raises:
        CorruptionError: a manifest is of a newer format version, or written by a newer library.
        OSError: a file that may be fine cannot be read now.
    """
    parsed_names = map(parse_name, names)
    numbers = sorted(
        (parsed[1] for parsed in parsed_names if parsed and parsed[0] is Kind.MANIFEST),
        reverse=True,
    )
    faults: list[Fault] = []
    if CURRENT in names:
        data, fault = read_or_fault(files, directory, CURRENT)
        parsed = parse_name(data.decode("ascii", "replace").removesuffix("\n"))
        if fault is None and parsed and parsed[0] is Kind.MANIFEST:
            # The others are older, or were never put in use.
            numbers = [parsed[1], *(number for number in numbers if number != parsed[1])]
        else:
            faults.append(fault or Fault(CURRENT, 0, "it names no manifest"))
    elif not numbers:
        return FoundManifest(faults=faults)
    else:
        faults.append(NO_CURRENT)
    for number in numbers:
        found = _read_manifest(files, directory, number)
        if found is not None:
            found.faults[:0] = faults
            return found
        faults.append(Fault(file_name(Kind.MANIFEST, number), 0, "it does not begin with a tree"))
    return FoundManifest(faults=faults)


def _read_manifest(files: FileSystem, directory: Path, number: int) -> FoundManifest | None:
    """What one manifest says; ``None`` when not even its first tree can be read."""
    name = file_name(Kind.MANIFEST, number)
    data, fault = read_or_fault(files, directory, name)
    if fault is not None:
        return None
    try:
        header = decode_header(data, FileKind.MANIFEST)
    except CorruptionError as error:
        raise CorruptionError(f"{directory / name}: {error}") from error
    found = FoundManifest(number=number, salt=header.salt, size_bytes=HEADER_BYTES)
    if header.fault is not None:
        found.faults.append(Fault(name, 0, header.fault))
    of_header = len(found.faults)
    for item in scan(data, header.salt, 0):
        if isinstance(item, Damage):
            if item.end == len(data) and not item.gave_up:
                found.cut_bytes = item.end - item.offset
            else:
                reason = f"{item.end - item.offset} bytes are no record"
                found.faults.append(Fault(name, item.offset, reason))
            continue
        if item.sequence != found.sequence and found.sequence == 0:
            # Its first tree is gone. The edits behind it say too little without.
            return None
        if item.sequence != found.sequence:
            reason = f"edit {item.sequence} stands where {found.sequence} belongs"
            found.faults.append(Fault(name, item.offset, reason))
            if item.sequence < found.sequence:
                continue
        found.sequence = item.sequence + 1
        found.size_bytes = item.end
        try:
            if item.type != RecordType.EDIT:
                raise CorruptionError(f"a record of type {item.type} in a manifest")
            edit = decode_edit(item.payload)
            found.removed.update(edit.removed)
            found.tree = found.tree.apply(edit)
        except UnknownFields as error:
            raise CorruptionError(f"{directory / name}: {error}") from error
        except (CorruptionError, ValueError) as error:
            if item.sequence == 0:
                return None
            found.faults.append(Fault(name, item.offset, str(error)))
        if len(found.faults) == of_header:
            found.known_below = found.tree.next_number
    return found if found.sequence else None
