"""Our engines against the suite that every engine must pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.errors import StorageError
from dynamokv.storage.log import LogEngine
from dynamokv.storage.memory import MemoryEngine
from tests.storage.conformance import DurableConformance, EngineConformance, OpenEngine


class TestMemory(EngineConformance):
    counts_rows = True

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return lambda directory: MemoryEngine()

    def test_it_has_nothing_to_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="nothing on disk"):
            MemoryEngine().checkpoint(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


class TestLog(DurableConformance):
    counts_rows = True

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return lambda directory: LogEngine(directory, log_bytes_max=1 << 30)


class TestLogThatRotates(DurableConformance):
    """The same with snapshots at every turn, in their thread."""

    counts_rows = True

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return lambda directory: LogEngine(directory, log_bytes_max=500)
