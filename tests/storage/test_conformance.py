"""Our engines against the suite that every engine must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from dynamokv.errors import CorruptionError, StorageError
from dynamokv.ports import StorageEngine
from dynamokv.storage.lsm import engine as lsm_engine
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import HEADER_BYTES
from dynamokv.storage.lsm.names import Kind, file_name
from dynamokv.storage.lsm.options import Compaction, Compression, LSMOptions
from dynamokv.storage.memory import MemoryEngine
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.conformance import DurableConformance, EngineConformance, OpenEngine
from tests.storage.lsm.stores import open_store
from tests.storage.lsm.workload import STORE
from tests.storage.quarantine_conformance import QuarantineConformance

TINY: Final = LSMOptions(
    block_bytes=256,
    memtable_bytes=10_000,
    cache_bytes=10_000,
    merge_tables=2,
    table_bytes=5_000,
    level_bytes=20_000,
    level_ratio=4,
)
"""So small that most tests flush and merge."""


class TestLSMQuarantine(QuarantineConformance):
    @pytest.fixture
    def damaged(self) -> StorageEngine:
        options = LSMOptions(block_bytes=200, compression=Compression.NONE)
        disk = SimulatedDisk()
        for value in (self.FIRST, self.LATER):
            engine = open_store(disk, options)
            engine.apply([(key, value) for key in self.KEYS], sync=True)
            engine.close()
        engine = open_store(disk, options)
        newest = engine.store.view.tree.levels[0][0].number
        disk.flip(STORE / file_name(Kind.TABLE, newest), 8 * (HEADER_BYTES + 30))
        with pytest.raises(CorruptionError):
            engine.get(self.KEYS[0])
        engine.pressure.work_off()
        return engine


class TestMemory(EngineConformance):
    counts_rows = True

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return lambda directory: MemoryEngine()

    def test_it_has_nothing_to_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="nothing on disk"):
            MemoryEngine().checkpoint(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


class TestLSM(DurableConformance):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return LSMEngine


class TestLSMTiny(DurableConformance):
    """Flushes and merges within ``apply``."""

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return lambda directory: LSMEngine(directory, TINY, background=False)


class TestLSMTinyInTheBackground(DurableConformance):
    """The same in threads, and where there is a little to do in child processes."""

    @pytest.fixture
    def open_engine(self, monkeypatch: pytest.MonkeyPatch) -> OpenEngine:
        monkeypatch.setattr(lsm_engine, "CHILD_BYTES_MIN", 50_000)
        return lambda directory: LSMEngine(directory, TINY)


class TestLSMTinySizeTiered(DurableConformance):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        options = LSMOptions(
            block_bytes=256,
            memtable_bytes=10_000,
            merge_tables=2,
            compaction=Compaction.SIZE_TIERED,
            bloom_bits=0,
        )
        return lambda directory: LSMEngine(directory, options, background=False)
