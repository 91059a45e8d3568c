"""A file system that knows what a job did to it.

Knows: the calls. Must not know: what the bytes are.

It counts bytes, throttles, and remembers a failed sync: an ``OSError`` does not say which call it
is from, and after a failed sync nothing on that disk is to be believed.
"""

from __future__ import annotations

from pathlib import Path

from dynamokv.ports import AppendFile, FileSystem, ReadFile
from dynamokv.storage.lsm.throttle import Throttle


class MeteredFiles:
    """``ports.FileSystem`` over another one.

    Attributes:
        read_bytes, written_bytes: so far.
        sync_failed: some sync raised ``OSError``.
    """

    def __init__(self, files: FileSystem, throttle: Throttle) -> None:
        self._files = files
        self._throttle = throttle
        self.read_bytes = 0
        self.written_bytes = 0
        self.sync_failed = False

        self.make_dir = files.make_dir
        self.list_dir = files.list_dir
        self.replace = files.replace
        self.remove = files.remove
        self.sync_dir = files.sync_dir
        self.link = files.link

    def read(self, path: Path) -> bytes:
        """The whole file."""
        data = self._files.read(path)
        self.count_read(len(data))
        return data

    def open_read(self, path: Path) -> ReadFile:
        """Open for reading, metered."""
        return _Reading(self, self._files.open_read(path))

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending, metered."""
        return _Appending(self, self._files.open_append(path))

    def count_read(self, size_bytes: int) -> None:
        """Bytes that were read."""
        self.read_bytes += size_bytes
        self._throttle.spend(size_bytes)

    def count_written(self, size_bytes: int) -> None:
        """Bytes that were written."""
        self.written_bytes += size_bytes
        self._throttle.spend(size_bytes)


class _Reading:
    def __init__(self, meter: MeteredFiles, file: ReadFile) -> None:
        self._meter = meter
        self._file = file
        self.size = file.size
        self.close = file.close

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        data = self._file.read_at(offset, size_bytes)
        self._meter.count_read(len(data))
        return data


class _Appending:
    def __init__(self, meter: MeteredFiles, file: AppendFile) -> None:
        self._meter = meter
        self._file = file
        self.truncate = file.truncate
        self.size = file.size
        self.close = file.close

    def append(self, data: bytes) -> None:
        self._file.append(data)
        self._meter.count_written(len(data))

    def sync(self) -> None:
        try:
            self._file.sync()
        except OSError:
            self._meter.sync_failed = True
            raise
