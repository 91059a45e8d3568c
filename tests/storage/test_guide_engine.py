"""The engine that the guide shows is one: it passes the suite, and a node runs on it. (That the
page's blocks run as they stand is held by ``tests/test_docs.py``.)"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import dynamokv
from dynamokv.config import NodeConfig
from dynamokv.errors import CorruptionError, DataDirLocked, StorageError
from tests.documents import python_blocks
from tests.storage.conformance import DurableConformance, OpenEngine, all_rows

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "guide" / "storage-engines.md"


def page_engine() -> OpenEngine:
    """The class of the page's first block."""
    code = next(python_blocks(PAGE.read_text("utf-8"))).code
    module = ModuleType("storage_engine_of_the_guide")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)  # noqa: S102
    engine: OpenEngine = module.SQLiteEngine
    return engine


SQLiteEngine: Final = page_engine()


class TestGuideEngine(DurableConformance):
    counts_rows = True

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return SQLiteEngine


def test_a_node_keeps_its_data_in_it(tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path, engine=SQLiteEngine)
    for expected in (None, "value"):
        with dynamokv.join(config=config) as node:
            assert node.get("key") == expected
            node.put("key", "value")
    assert (tmp_path / "rows.db").exists()


def test_its_errors_are_ours(tmp_path: Path) -> None:
    engine = SQLiteEngine(tmp_path / "store")
    with pytest.raises(DataDirLocked):
        SQLiteEngine(tmp_path / "store")
    engine.close()
    with pytest.raises(StorageError, match="closed"):
        engine.apply([(b"a", b"1")], sync=True)
    with pytest.raises(StorageError, match="reopen"):
        engine.apply([(b"a", b"1")], sync=True)
    (tmp_path / "store" / "rows.db").write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(CorruptionError):
            SQLiteEngine(tmp_path / "store")
    (tmp_path / "store" / "rows.db").unlink()
    engine = SQLiteEngine(tmp_path / "store")
    assert all_rows(engine) == {}
    engine.close()


def test_a_scan_that_nobody_reads_is_let_go_of(tmp_path: Path) -> None:
    engine = SQLiteEngine(tmp_path)
    engine.apply([(b"a", b"1"), (b"b", b"1")], sync=True)
    begun = engine.scan(b"a", b"c")
    next(begun)
    unread = engine.scan(b"a", b"c")
    assert sys.getrefcount(unread) == 2
    del begun, unread
    engine.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOCK", "rows.db"]
