"""The store of tables under crashes, full disks, failing disks and damage: everywhere, with options
so small that a short script has flushes and merges."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.manifest import RESERVE_BYTES
from dynamokv.storage.lsm.options import Compaction, LSMOptions
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.lsm.crashing import Campaign
from tests.storage.lsm.damaging import (
    cuts,
    damage_everywhere,
    fail_everywhere,
    flips,
    full_everywhere,
    losses,
)
from tests.storage.lsm.stores import NoLock
from tests.storage.lsm.workload import Run, Script, random_steps, salts_of

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


@pytest.mark.parametrize("options", OPTIONS)
def test_the_script_has_flushes_and_merges(options: str) -> None:
    names: set[str] = set()
    story = script(1, options=options)
    disk = story.new_disk()
    disk.on_call = lambda call: names.add(f"{call.operation.value} {call.path.name[:5]}")
    Run(story, disk).go()
    assert {
        "append build",
        "replace table",
        "append manif",
        "remove table",
        "remove wal-0",
    } <= names
    assert {"link table", "append wal-0", "replace CURRE"} <= names


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("options", "sync_share"), [("tiny", 0.4), ("tiered", 1.0)])
def test_a_crash_at_every_call(options: str, sync_share: float) -> None:
    story = script(1, 10 if options == "tiny" else 8, sync_share, options=options)
    campaign = Campaign(story, losses_tried=7, recovery_losses=2, recovery_every=20)
    report = campaign.crash_everywhere()
    assert report.crashes > 80
    assert report.survivors > 200
    assert report.recoveries > 40


@pytest.mark.parametrize("full_error", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_every_byte(full_error: int) -> None:
    story = script(2, 14, options="tiny")
    low = full_everywhere(story, range(0, RESERVE_BYTES, 20_011), full_error=full_error)
    assert low.crashes == 14
    for patience in (0, 3):
        capacities = range(RESERVE_BYTES + patience, RESERVE_BYTES + 4000, 167)
        high = full_everywhere(story, capacities, patience=patience, full_error=full_error)
        assert high.failures > 10


@pytest.mark.parametrize("options", OPTIONS)
def test_a_failure_of_every_call(options: str) -> None:
    report = fail_everywhere(script(3, 12, options=options), every=9)
    assert report.crashes > 40
    assert report.failures > 20


@pytest.mark.parametrize("options", OPTIONS)
def test_what_a_failed_sync_dropped_and_the_kernel_still_shows(options: str) -> None:
    assert fail_everywhere(script(3, 14, options=options), shown=True).failures > 10


def test_damage_to_every_file() -> None:
    story = script(4, 14, options="tiny")
    flipped = damage_everywhere(story, partial(flips, every=173))
    assert flipped.survivors == flipped.crashes > 150
    assert flipped.forgot > 10
    assert flipped.failures > 10
    cut = damage_everywhere(story, partial(cuts, every=43), silent="wal")
    assert cut.survivors == cut.crashes > 80
    lost = damage_everywhere(story, losses, silent="wal")
    assert lost.survivors == lost.crashes > 4


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(10))
def test_everything(seed: int, options: str) -> None:
    for sync_share in (0.0, 0.5, 1.0):
        story = script(100 + seed, 40, sync_share, options=options)
        Campaign(story, losses_tried=20, recovery_losses=5).crash_everywhere()
        capacities = range(RESERVE_BYTES, RESERVE_BYTES + 8000)
        full_everywhere(story, capacities, patience=seed % 4)
        fail_everywhere(story)
        damage_everywhere(story, flips)
        damage_everywhere(story, cuts, silent="wal")
