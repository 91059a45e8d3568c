"""How one store is tuned. Every answer of a store is the same under any options.

Knows: sizes and their reasons. Must not know: how anything is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from dynamokv.errors import ConfigError
from dynamokv.limits import KiB, MiB

BLOCK_BYTES_MAX: Final = 32 * KiB
"""A block is closed once it is this large, so that only a large row makes one whose offsets do not
fit into two bytes."""


class Compaction(Enum):
    """Which tables are merged."""

    LEVELED = "leveled"
    """Level by level, each some times the one above: few tables to look into, little space."""
    SIZE_TIERED = "size_tiered"
    """Tables of like size: half the writing, for more space and slower reads."""


class Compression(Enum):
    """How blocks are stored. Each block says it itself, so a store may change its mind."""

    ZSTD = "zstd"
    """Where it saves an eighth or more; other blocks are stored as they are."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class LSMOptions:
    """Sizes in bytes. Memory of a store: three memtables and the cache, as a bound.

    Raises:
        ConfigError: a value that the store cannot work with; the text names the field.
    """

    memtable_bytes: int = 32 * MiB
    """Rows in memory, with Python's overhead, before they become a table. At most three such
    generations exist. Larger writes less, smaller restarts faster."""

    cache_bytes: int = 64 * MiB
    """Rows and blocks that were read, and the indexes and filters of the open tables."""

    block_bytes: int = 4 * KiB
    """What is read and checked at once. Larger compresses better, smaller reads less for one row.
    """

    compression: Compression = Compression.ZSTD
    """Of merged tables, and of those that an opening writes. What a running store makes of a
    memtable is stored as it is: it does not live long, and writers may be waiting for it."""

    bloom_bits: int = 12
    """Bits a key in a table's filter. 12 let about one absent key of a hundred through; 0: no
    filter."""

    compaction: Compaction = Compaction.LEVELED
    """Leveled for reads, size-tiered for writes."""

    table_bytes: int = 32 * MiB
    """Size at which a merge begins the next table."""

    level_bytes: int = 256 * MiB
    """Level 1. Each level below is ``level_ratio`` times the one above it."""

    level_ratio: int = 10
    """Larger reads from fewer levels, smaller writes less."""

    merge_tables: int = 4
    """Tables of level 0 (or of like size) that make a merge worth it."""

    slow_tables: int = 32
    """Tables of level 0 from which on each write is slowed down a little."""

    stop_tables: int = 64
    """Tables of level 0 from which on writes wait."""

    merge_bytes_per_second: int = 128 * MiB
    """Bytes read and written by merges; 0: no limit. It is lifted while level 0 has twice as many
    tables as make a merge worth it."""

    scrub_seconds: float = 7 * 86_400.0
    """Every table is read and verified this often; 0: never."""

    def __post_init__(self) -> None:
        for name, value, kind in (
            ("compaction", self.compaction, Compaction),
            ("compression", self.compression, Compression),
        ):
            if not isinstance(value, kind):
                raise ConfigError(
                    f"{name} is {value!r}: it takes a member of {kind.__name__}, such as "
                    f"{next(iter(kind))}"
                )
        _check("block_bytes", self.block_bytes, 64, BLOCK_BYTES_MAX)
        _check("memtable_bytes", self.memtable_bytes, 1, 1 << 40)
        _check("cache_bytes", self.cache_bytes, 0, 1 << 40)
        _check("bloom_bits", self.bloom_bits, 0, 64)
        _check("table_bytes", self.table_bytes, 1, 1 << 31)
        _check("level_bytes", self.level_bytes, 1, 1 << 50)
        _check("level_ratio", self.level_ratio, 2, 100)
        _check("merge_tables", self.merge_tables, 2, 100)
        _check("slow_tables", self.slow_tables, self.merge_tables, 1000)
        _check("stop_tables", self.stop_tables, self.slow_tables + 1, 1000)
        _check("merge_bytes_per_second", self.merge_bytes_per_second, 0, 1 << 50)
        if not self.scrub_seconds >= 0:
            raise ConfigError(f"scrub_seconds is {self.scrub_seconds}: it takes 0 or more")


def _check(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ConfigError(f"{name} is {value}: it takes {lowest} to {highest}")
