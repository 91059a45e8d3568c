"""Memory of a process with all of its children, from /proc. Linux only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final, TypeVar

from benchmarks.cpu import PROC
from dynamokv.limits import KiB

SAMPLE_SECONDS: Final = 0.02

_T = TypeVar("_T")


def resident_bytes(pid: int) -> int:
    """What the process and all below it hold in memory. A page that they share, of the interpreter
    and its libraries mostly, counts once."""
    total = 0
    waiting = [pid]
    while waiting:
        folder = PROC / str(waiting.pop())
        # Threads and processes may end between two looks at them.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = (folder / "smaps_rollup").read_text("ascii").splitlines()
            total += sum(int(line.split()[1]) * KiB for line in lines if line.startswith("Pss:"))
            for task in (folder / "task").iterdir():
                waiting += map(int, (task / "children").read_text("ascii").split())
    return total


async def with_peak(pid: int, work: Awaitable[_T]) -> tuple[_T, int]:
    """The result of the work, and the most that the process held meanwhile."""
    task = asyncio.ensure_future(work)
    peak = resident_bytes(pid)
    while not task.done():
        await asyncio.wait([task], timeout=SAMPLE_SECONDS)
        peak = max(peak, resident_bytes(pid))
    return task.result(), peak
