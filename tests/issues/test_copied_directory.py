"""A copied data directory was refused, but it was the original that heard so.

Both have one id, and the answer went to the link of that id. The copy waited until its time was up.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import dynamokv


def test_the_copy_is_told(tmp_path: Path) -> None:
    """Row 47 of the failure catalogue."""
    with dynamokv.join("127.0.0.1:0", data_dir=tmp_path / "a") as first:
        seeds = [first.address]
        with dynamokv.join("127.0.0.1:0", seeds=seeds, data_dir=tmp_path / "b"):
            shutil.copytree(tmp_path / "b", tmp_path / "copy")
            with pytest.raises(dynamokv.JoinRefused, match="one identity cannot run twice"):
                dynamokv.join("127.0.0.1:0", seeds=seeds, data_dir=tmp_path / "copy", timeout=10)
