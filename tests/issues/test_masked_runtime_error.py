"""A ``RuntimeError`` inside ``join`` was reported as "this handle was closed".

Whatever ran on the handle's thread and raised a ``RuntimeError`` of its own, a storage engine for
one, looked like the error of asyncio for a loop that is closed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import dynamokv
from dynamokv.ports import StorageEngine


def test_the_error_is_the_engines(tmp_path: Path) -> None:
    def engine(_: Path) -> StorageEngine:
        raise RuntimeError("no such library")

    with pytest.raises(RuntimeError, match="no such library"):
        dynamokv.join(data_dir=tmp_path, engine=engine)
