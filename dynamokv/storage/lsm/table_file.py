"""The file of a table: pieces by number, or what is wrong with them.

Knows: one open file and its pieces. Must not know: rows, ranges, caches.

Every piece that is returned passed its checksum. What fails, and what the disk says it has lost, is
``TableDamaged`` with the keys that are concerned; other errors of the disk may pass and are handed
on as they are.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Final

from dynamokv.errors import CorruptionError
from dynamokv.ports import FileSystem, ReadFile
from dynamokv.storage.lsm import bloom
from dynamokv.storage.lsm.faults import UNREADABLE
from dynamokv.storage.lsm.framing import (
    HEADER_BYTES,
    SALT_BYTES,
    FileKind,
    Header,
    decode_header,
    salt_seed,
)
from dynamokv.storage.lsm.table_format import (
    FOOTER_BYTES,
    Footer,
    Index,
    PieceKind,
    Properties,
    decode_footer,
    decode_index,
    decode_piece,
    decode_properties,
)
from dynamokv.storage.lsm.tree import Range, TableMeta

_BLOCK: Final = int(PieceKind.BLOCK)


class TableDamaged(CorruptionError):
    """A table, or a block of it, cannot be read.

    Attributes:
        number: of the table.
        file: its name in the directory.
        start, end: every key that is concerned has start <= key < end.
        reason: what was found.
    """

    def __init__(self, number: int, file: str, keys: Range, reason: str) -> None:
        super().__init__(number, file, keys, reason)
        self.number = number
        self.file = file
        self.start, self.end = keys
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


class TableFile:
    """One open table.

    Attributes:
        keys: from the first key to just behind the last.
        fault: what is wrong with header, footer or length; then only ``read_piece`` is of use.
        salt: of the header, or of the footer where the header is damaged.

    Raises:
        CorruptionError: the file is of a newer version.
        TableDamaged: the file is missing or cannot be opened.
    """

    def __init__(self, files: FileSystem, path: Path, meta: TableMeta) -> None:
        self.name = path.name
        self.number = meta.number
        self.last_key = meta.last_key
        self.keys: Range = (meta.first_key, meta.last_key + b"\0")
        self.fault: str | None = None
        self._file = self._open(files, path)
        self._read_at = self._file.read_at
        try:
            self.size_bytes = self._file.size()
            self._read_ends(meta.size_bytes)
        except BaseException:
            self._file.close()
            raise
        self._seed = salt_seed(self.salt)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def damaged(self, reason: str, keys: Range | None = None) -> TableDamaged:
        """The error to raise; of all keys, unless it says which."""
        return TableDamaged(self.number, self.name, keys or self.keys, reason)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Bytes of the file, or fewer where it ends."""
        try:
            return self._read_at(offset, size_bytes)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            raise self.damaged(f"the disk cannot read it: {error.strerror}") from error

    def read_piece(self, offset: int, end: int, kind: PieceKind) -> bytes:
        """The payload of the piece between these places."""
        data = self.read_at(offset, end - offset)
        try:
            return decode_piece(data, self._seed, offset, kind)
        except CorruptionError as error:
            raise self.damaged(f"{kind.name.lower()} at {offset}: {error}") from error

    def read_block(self, index: Index, block: int) -> bytes:
        """A block, as it was before compression."""
        offset, end = index.offsets[block], index.offsets[block + 1]
        try:
            # As read_piece, with fewer steps: this is what a cold read waits for.
            data = self._read_at(offset, end - offset)
            return decode_piece(data, self._seed, offset, _BLOCK)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            reason = f"the disk cannot read it: {error.strerror}"
            raise self.damaged(reason, self.block_keys(index, block)) from error
        except CorruptionError as error:
            reason = f"block at {offset}: {error}"
            raise self.damaged(reason, self.block_keys(index, block)) from error

    def block_keys(self, index: Index, block: int) -> Range:
        """The keys that can be in a block."""
        start = index.last_keys[block - 1] + b"\0" if block else self.keys[0]
        return start, index.last_keys[block] + b"\0"

    def read_index(self) -> Index:
        """Where the blocks are: behind the header, and one behind the other."""
        footer = self._sound_footer()
        payload = self.read_piece(footer.index, footer.filter, PieceKind.INDEX)
        try:
            index = decode_index(payload)
            if index.offsets[0] != HEADER_BYTES or index.offsets[-1] != footer.index:
                raise CorruptionError("the index is of other blocks")
            if index.last_keys[-1] != self.last_key:
                raise CorruptionError("the index is of another table")
        except CorruptionError as error:
            raise self.damaged(str(error)) from error
        return index

    def read_filter(self) -> array[int]:
        """The words of the filter."""
        footer = self._sound_footer()
        payload = self.read_piece(footer.filter, footer.properties, PieceKind.FILTER)
        try:
            return bloom.decode(payload)
        except CorruptionError as error:
            raise self.damaged(str(error)) from error

    def read_properties(self) -> Properties:
        """What the table says about itself."""
        start = self._sound_footer().properties
        end = self.size_bytes - FOOTER_BYTES
        payload = self.read_piece(start, end, PieceKind.PROPERTIES)
        try:
            return decode_properties(payload)
        except CorruptionError as error:
            raise self.damaged(str(error)) from error

    def _open(self, files: FileSystem, path: Path) -> ReadFile:
        try:
            return files.open_read(path)
        except FileNotFoundError as error:
            raise self.damaged("the file is missing") from error
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            raise self.damaged(f"the disk cannot open it: {error.strerror}") from error

    def _read_ends(self, size_bytes: int) -> None:
        """Header and footer; the salt of either is good where its checksum holds."""
        header = self._read_header()
        footer_offset = max(self.size_bytes - FOOTER_BYTES, 0)
        try:
            footer = decode_footer(self.read_at(footer_offset, FOOTER_BYTES), footer_offset)
        except CorruptionError as error:
            footer = Footer(0, 0, 0, header.salt)
            self.fault = str(error)
        self._footer = footer
        self.salt = footer.salt if header.fault else header.salt
        if self.size_bytes != size_bytes:
            self.fault = f"it has {self.size_bytes} bytes instead of {size_bytes}"
        elif header.fault or self.salt != footer.salt:
            self.fault = header.fault or "header and footer are of different tables"

    def _read_header(self) -> Header:
        try:
            data = self.read_at(0, HEADER_BYTES)
        except TableDamaged as error:
            return Header(bytes(SALT_BYTES), 0, error.reason)
        try:
            return decode_header(data, FileKind.TABLE)
        except CorruptionError as error:
            raise CorruptionError(f"{self.name}: {error}") from error

    def _sound_footer(self) -> Footer:
        if self.fault:
            raise self.damaged(self.fault)
        return self._footer
