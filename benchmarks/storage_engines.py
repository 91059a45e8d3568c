"""The two engines that are compared, opened with the same memory and told the same things.

Rules:
    - Each call is the one that a program would make which uses that engine directly.
    - Both have the same bytes for memtables (three generations of them) and for the cache, which in
      ours also holds indexes and filters; the same 12 bits a key of Bloom filter; zstd at level 1.
    - RocksDB's background jobs are as many as it takes by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import rocksdict

from benchmarks.cpu import PROC
from dynamokv.limits import MiB
from dynamokv.storage import rocksdb_binding
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions
from dynamokv.storage.lsm.pick import pick

MEMTABLES: Final = 3
BLOOM_BITS: Final = 12
POLL_SECONDS: Final = 0.01
SETTLE_SECONDS_MAX: Final = 600.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What an engine may hold in memory."""

    memtable_bytes: int = 32 * MiB
    cache_bytes: int = 64 * MiB

    @property
    def bytes_max(self) -> int:
        """All of it."""
        return MEMTABLES * self.memtable_bytes + self.cache_bytes


class NotSettled(Exception):
    """An engine still compacts, long after the last write."""


class Contestant(Protocol):
    """An open store."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value, or ``None``."""
        ...

    def put(self, key: bytes, value: bytes, /) -> object:
        """One row, left to the kernel."""
        ...

    def put_synced(self, keys: Sequence[bytes], values: Sequence[bytes], /) -> object:
        """Some rows, on the disk on return."""
        ...

    def scan(self, start: bytes, end: bytes, /) -> Iterable[tuple[bytes, Any]]:
        """Rows with start <= key < end."""
        ...

    def busy(self) -> bool:
        """Whether it flushes or compacts, or should."""
        ...

    def written_bytes(self) -> int | None:
        """To the disk, since opening; ``None`` where this system does not tell."""
        ...

    def close(self) -> None:
        """Flush and end."""
        ...


class LSM:
    """Our engine."""

    def __init__(self, directory: Path, budget: Budget) -> None:
        self._options = LSMOptions(
            memtable_bytes=budget.memtable_bytes,
            cache_bytes=budget.cache_bytes,
            bloom_bits=BLOOM_BITS,
        )
        self._engine = LSMEngine(directory, self._options)
        self._apply = self._engine.apply
        self.get = self._engine.get
        self.scan = self._engine.scan
        self.close = self._engine.close

    def put(self, key: bytes, value: bytes) -> None:
        """One row, left to the kernel."""
        self._apply([(key, value)], sync=False)

    def put_synced(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Some rows, on the disk on return."""
        self._apply(list(zip(keys, values, strict=True)), sync=True)

    def busy(self) -> bool:
        """Whether a memtable waits, or a merge is worth it."""
        view = self._engine.store.view
        return bool(view.frozen) or pick(view.tree, self._options, frozenset()) is not None

    def written_bytes(self) -> int:
        """Log, tables and manifest, by its own count."""
        written = self._engine.stats()["written_bytes"]
        assert isinstance(written, int)
        return written


class RocksDict:
    """RocksDB as rocksdict gives it."""

    def __init__(self, directory: Path, budget: Budget) -> None:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        tune = rocksdb_binding.tuned(budget.cache_bytes, budget.memtable_bytes, BLOOM_BITS, None)
        tune(options)
        options.set_max_write_buffer_number(MEMTABLES)
        self._written_before = _written_by_this_process()
        self._store = rocksdict.Rdict(str(directory), options)
        self.get = self._store.get
        self.put = self._store.put
        self.close = self._store.close

    def put_synced(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Some rows, on the disk on return."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in zip(keys, values, strict=True):
            batch.put(key, value)
        self._store.write(batch)
        self._store.flush_wal(True)

    def scan(self, start: bytes, end: bytes) -> Iterable[tuple[bytes, Any]]:
        """Rows with start <= key < end."""
        bounds = rocksdict.ReadOptions()
        bounds.set_iterate_upper_bound(end)
        rows: Any = self._store.items(from_key=start, read_opt=bounds)
        found: Iterable[tuple[bytes, Any]] = rows
        return found

    def busy(self) -> bool:
        """Whether it flushes or compacts, or should."""
        return any(
            self._store.property_int_value(f"rocksdb.{name}")
            for name in (
                "mem-table-flush-pending",
                "num-running-flushes",
                "compaction-pending",
                "num-running-compactions",
            )
        )

    def written_bytes(self) -> int | None:
        """All that this process wrote: RocksDB works in threads of it, and it does little else."""
        if self._written_before is None:
            return None
        return (_written_by_this_process() or 0) - self._written_before


CONTESTANTS: Final[dict[str, Callable[[Path, Budget], Contestant]]] = {
    "lsm": LSM,
    "rocksdict": RocksDict,
}


def settle(store: Contestant) -> None:
    """Return when its background work is done."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while store.busy():
        if time.monotonic() > deadline:
            raise NotSettled(f"still compacting after {SETTLE_SECONDS_MAX:.0f} s")
        time.sleep(POLL_SECONDS)


def _written_by_this_process() -> int | None:
    """Bytes handed to the kernel, whether they reached the disk or not."""
    try:
        lines = (PROC / "self" / "io").read_text("ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))
