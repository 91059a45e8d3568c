"""A store in a relative directory went along when its process changed the working directory, and
wrote over the files of whatever store was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import LSMOptions


def test_a_store_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    engine = LSMEngine(Path("data"), LSMOptions(memtable_bytes=1000), background=False)
    monkeypatch.chdir(tmp_path / "two")
    rows = {b"%d" % n: b"x" * 100 for n in range(100)}
    for key, value in rows.items():
        engine.apply([(key, value)], sync=True)
    engine.close()
    assert list((tmp_path / "two").iterdir()) == []
    engine = LSMEngine(tmp_path / "one" / "data")
    assert dict(engine.scan(b"", b"z")) == rows
    engine.close()
