"""CPU time of processes, from /proc. Linux only.

What a process uses depends less on who else wants the CPU than latencies and rates do. It is not
immune: neighbours share caches, and virtual machines share cores.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

AVAILABLE: Final = (PROC / "self" / "task").is_dir()
"""Whether this system tells."""


def seconds_of(pid: int) -> float:
    """CPU seconds that the living threads of a process have used, in user mode and in the kernel.

    From ``schedstat``, which counts nanoseconds where ``stat`` counts hundredths of a second. A
    thread that runs at this moment may be a timer tick behind.
    """
    total = 0
    for task in (PROC / str(pid) / "task").iterdir():
        # A thread may end between the listing and the look at it.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text("ascii").split()[0])
    return total / 1e9


class Neighbours:
    """How much of the machine others use, from now on: the host of a virtual machine counts too."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._others = _busy_seconds() - _own_seconds() if AVAILABLE else 0.0

    def share(self) -> float:
        """The part of all cores' time that went to others; 0.0 where the system does not tell. Call
        it when the children of this process are gone, because only then their time is known."""
        if not AVAILABLE:
            return 0.0
        others = _busy_seconds() - _own_seconds() - self._others
        cores = os.cpu_count() or 1
        return max(0.0, others / (time.monotonic() - self._began) / cores)


def _busy_seconds() -> float:
    """Of all cores since the machine started: user, nice, system, interrupts and stolen time."""
    fields = (PROC / "stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _waiting, *others = map(int, fields)
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])
