"""A member stayed unhealthy for ever after its disk had been full for a moment.

``DiskFull`` promises that writes resume by themselves, and they did; but ``status()`` went on to
show the old error, and whoever restarts unhealthy members would have restarted this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import dynamokv
from dynamokv.ports import Row
from dynamokv.storage.memory import MemoryEngine
from tests.waiting import until


class Full(MemoryEngine):
    """Has no space while it is told so."""

    full = False

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        if self.full:
            raise dynamokv.DiskFull("no space left on device")
        super().apply(batch, sync=sync)


def test_it_is_healthy_again(tmp_path: Path) -> None:
    engine = Full()
    with dynamokv.join(data_dir=tmp_path, engine=lambda _: engine) as kv:
        engine.full = True
        with pytest.raises(dynamokv.Indeterminate):
            kv.put("k", 1)
        assert "no space" in kv.status()["disk_error"]
        engine.full = False
        until(lambda: kv.status()["healthy"], "it is healthy again")
        assert kv.status()["disk_error"] == ""
        assert kv.put("k", 2).acks == 1
