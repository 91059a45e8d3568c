"""A member that comes back with settings of another ring starts, and says nothing.

``cluster``, ``n`` and ``partitions`` "are fixed when the ring is founded; a process that disagrees
is refused" (README.md). That holds for newcomers; who has a topology on disk never compares it with
its settings (``Lifecycle.start``), and asks no seed as long as its own address is right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dynamokv


@pytest.mark.parametrize("setting", [{"cluster": "other"}, {"n": 5}, {"partitions": 8}])
def test_a_restart_under_other_settings_is_refused(tmp_path: Path, setting: dict[str, Any]) -> None:
    dynamokv.join("127.0.0.1:0", data_dir=tmp_path).close()
    with pytest.raises(dynamokv.ClusterMismatch):
        dynamokv.join("127.0.0.1:0", data_dir=tmp_path, **setting).close()


@pytest.mark.xfail(
    strict=True, reason="the only member of a ring asks no seed whether it is of theirs"
)
def test_a_member_of_another_ring_is_refused_by_its_seeds(tmp_path: Path) -> None:
    dynamokv.join("127.0.0.1:0", data_dir=tmp_path).close()
    with dynamokv.join("127.0.0.1:0") as ring, pytest.raises(dynamokv.ClusterMismatch):
        dynamokv.join("127.0.0.1:0", seeds=[ring.address], data_dir=tmp_path).close()
