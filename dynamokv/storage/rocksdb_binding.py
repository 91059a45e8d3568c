"""The edge to rocksdict: how RocksDB is opened and tuned here, and what its errors mean.

Knows: rocksdict's calls, RocksDB's options and files, and the texts of its errors, which are all
that tells them apart. Must not know: when rows are shown, and which writes are refused.

All in raw mode: without it rocksdict unpickles what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from logging import getLogger
from pathlib import Path
from typing import Final, TypeAlias

from dynamokv.errors import ConfigError, CorruptionError, DataDirLocked, DiskFull, StorageError
from dynamokv.limits import MiB
from dynamokv.ports import Row
from dynamokv.storage.files import RealFiles

try:
    import rocksdict
except ImportError as error:
    _missing: ImportError | None = error
else:
    _missing = None

Tune: TypeAlias = "Callable[[rocksdict.Options], None]"
"""Changes RocksDB's options."""

CLOSED: Final = "it was closed"

_LOCKED = ("lock hold by current process", "Resource temporarily unavailable")
_FULL = ("No space left on device", "Disk quota exceeded")
_STALLED = "Result incomplete"

_ROWS_FILE = re.compile(r"\d+\.(sst|log|blob)")
_OTHER_ENGINE = re.compile(r"(log|snapshot|wal|table|manifest)-\d+")

_logger = getLogger("dynamokv.storage")


def open_store(directory: Path, tune: Tune) -> tuple[rocksdict.Rdict, bool]:
    """The store, and whether its log lost something.

    RocksDB tells only by refusing, so it is first asked to refuse every log that is not whole.
    """
    if _missing is not None:
        raise ConfigError(
            "RocksDBEngine needs the package rocksdict: pip install dynamokv[rocksdb]"
        ) from _missing
    fresh = _is_fresh(directory)
    refused = ""
    for forgot, mode in (
        (False, rocksdict.DBRecoveryMode.absolute_consistency()),
        (True, rocksdict.DBRecoveryMode.point_in_time()),
    ):
        options = rocksdict.Options(raw_mode=True)
        tune(options)
        options.create_if_missing(fresh)
        options.set_wal_recovery_mode(mode)
        try:
            store = rocksdict.Rdict(str(directory), options)
        except Exception as error:
            if forgot or _kind_of(error) is not CorruptionError:
                raise our_error(f"cannot open {directory}", error) from error
            refused = str(error)
        else:
            if forgot:
                _logger.warning("%s: the log is cut off where it is bad: %s", directory, refused)
            return store, forgot
    raise AssertionError("the second way opens the store or raises")


def _is_fresh(directory: Path) -> bool:
    """Whether RocksDB may start an empty store here. It would do so over the tables of one that has
    lost its CURRENT, too, and delete them."""
    files = RealFiles()
    try:
        files.make_dir(directory)
        names = files.list_dir(directory)
    except OSError as error:
        raise our_error(f"cannot open {directory}", error) from error
    if any(map(_OTHER_ENGINE.match, names)):
        raise StorageError(
            f"{directory} holds the store of another engine: RocksDB needs a directory of its own"
        )
    if "CURRENT" in names:
        return False
    if any(map(_ROWS_FILE.fullmatch, names)):
        raise CorruptionError(f"cannot open {directory}: the file CURRENT is missing")
    return True


def tuned(cache_bytes: int, memtable_bytes: int, bloom_bits: int, further: Tune | None) -> Tune:
    """RocksDB's options as this project wants them, and then as somebody else does."""

    def tune(options: rocksdict.Options) -> None:
        tables = rocksdict.BlockBasedOptions()
        tables.set_block_cache(rocksdict.Cache(cache_bytes))
        # Indexes and filters stay outside of it, as is RocksDB's default: a filter of some MiB that
        # does not fit beside others would be read again for every key.
        if bloom_bits:
            tables.set_bloom_filter(bloom_bits, False)
        options.set_block_based_table_factory(tables)
        options.set_write_buffer_size(memtable_bytes)
        options.set_compression_type(rocksdict.DBCompressionType.zstd())
        # Window -14 and strategy 0 are RocksDB's own defaults; 1 is the level.
        options.set_compression_options(-14, 1, 0, 0)
        # Tables go to the disk while they are written, not all at once in front of a sync.
        options.set_bytes_per_sync(MiB)
        options.set_keep_log_file_num(4)
        options.set_max_log_file_size(MiB)
        if further is not None:
            further(options)

    return tune


def write(store: rocksdict.Rdict, rows: Sequence[Row]) -> None:
    """One write of RocksDB's, which fails rather than wait for compactions (see ``stalled``)."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    put, delete = batch.put, batch.delete
    for key, value in rows:
        if value is None:
            delete(key)
        else:
            put(key, value)
    options = rocksdict.WriteOptions()
    options.no_slowdown = True
    store.write(batch, options)


def stalled(error: Exception) -> bool:
    """Whether this is RocksDB holding writes back: nothing was written, and the next may pass."""
    return str(error).startswith(_STALLED)


def iterator(store: rocksdict.Rdict, start: bytes, end: bytes) -> rocksdict.RdictIter:
    """Rows with start <= key < end, as of this call."""
    bounds = rocksdict.ReadOptions()
    bounds.set_iterate_upper_bound(end)
    rows = store.iter(bounds)
    rows.seek(start)
    return rows


def checkpoint(store: rocksdict.Rdict, directory: Path) -> None:
    """Hard links of all tables, and a copy of the log."""
    files = RealFiles()
    files.make_dir(directory.parent)
    # It would flush by itself, and hold the interpreter's lock meanwhile.
    store.flush(True)
    rocksdict.Checkpoint(store).create_checkpoint(str(directory))
    files.sync_dir(directory.parent)


def our_error(doing: str, error: Exception) -> StorageError:
    """The same in our own errors."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, rocksdict.DbClosedError):
        return StorageError(f"{doing}: {CLOSED}")
    kind = _kind_of(error)
    if kind is DataDirLocked:
        return kind(f"{doing}: another engine uses it; every member needs its own ({error})")
    return kind(f"{doing}: {error}")


def _kind_of(error: Exception) -> type[StorageError]:
    text = str(error)
    if text.startswith("Corruption"):
        return CorruptionError
    if "LOCK" in text and any(sign in text for sign in _LOCKED):
        return DataDirLocked
    return DiskFull if any(sign in text for sign in _FULL) else StorageError
