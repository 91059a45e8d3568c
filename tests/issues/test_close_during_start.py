"""``aclose()`` while ``start()`` still waited for a ring closed nothing, and said it had.

The join went on behind it: its port stayed bound and its data directory locked, and when a ring was
found at last, a member that its application had closed took part in it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import dynamokv
from tests.waiting import until_async


@pytest.mark.asyncio
async def test_the_join_ends_with_the_close(tmp_path: Path) -> None:
    kv = dynamokv.AsyncNode(seeds=["127.0.0.1:1"], data_dir=tmp_path)
    starting = asyncio.create_task(kv.start())
    await until_async((tmp_path / "LOCK").exists, "its store is open")
    await kv.aclose()
    with pytest.raises(dynamokv.ClosedError):
        await starting
    async with dynamokv.AsyncNode(data_dir=tmp_path) as again:
        await again.put("k", 1)
