"""The store of tables under crashes, full disks, failing disks and damage: everywhere, with options
so small that a short script has flushes and merges."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import Compaction, LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.faulty import NoLock
from tests.storage.lsm.crashing import Campaign
from tests.storage.lsm.damaging import (
    cuts,
    damage_everywhere,
    fail_everywhere,
    flips,
    full_everywhere,
    losses,
)
from tests.storage.lsm.workload import Script, random_steps, salts_of

TINY: Final = LSMOptions(
    block_bytes=64, memtable_bytes=2000, merge_tables=2, table_bytes=500, level_bytes=2000
)
TIERED: Final = LSMOptions(
    block_bytes=64,
    memtable_bytes=1000,
    merge_tables=2,
    table_bytes=500,
    level_bytes=2000,
    compaction=Compaction.SIZE_TIERED,
    bloom_bits=0,
)
OPTIONS: Final = {"tiny": TINY, "tiered": TIERED}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of crashes warn in as many lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def script(seed: int, batches: int = 40, sync_share: float = 0.5, *, options: str) -> Script:
    def open_store(disk: SimulatedDisk, directory: Path) -> LSMEngine:
        return LSMEngine(
            directory,
            OPTIONS[options],
            files=disk,
            salt=salts_of(disk),
            lock=NoLock,
            background=False,
            clock=lambda: 0.0,
        )

    name = f"lsm {options}, seed={seed} batches={batches} sync_share={sync_share}"
    return Script(name, random_steps(seed, batches, sync_share=sync_share), open_store)
