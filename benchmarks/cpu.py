"""CPU time of processes, from /proc.

What a process used does not depend on who else wanted the CPU, so these figures stay steady where
latencies and rates do not. Linux only.
"""

from __future__ import annotations

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
        total += int((task / "schedstat").read_text("ascii").split()[0])
    return total / 1e9
