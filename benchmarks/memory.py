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
    """Resident set of the process and of all below it. Pages that they share count for each."""
    total = 0
    waiting = [pid]
    while waiting:
        folder = PROC / str(waiting.pop())
        # Threads and processes may end between two looks at them.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = (folder / "status").read_text("utf-8", "replace").splitlines()
            total += sum(int(line.split()[1]) * KiB for line in lines if line.startswith("VmRSS:"))
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
