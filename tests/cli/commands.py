"""Commands as a shell runs them: in a process, from another directory, with a folder for whatever
they leave behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.documents import clean_environment


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """``python -m dynamokv ...``, with pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "dynamokv", *arguments],
        cwd=folder,
        env={**clean_environment(), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    """Whether there is such a process. One that has ended and whose new parent has not asked for
    its status yet (a container's first process may never do so) is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@dataclass
class RunningMember:
    """``dynamokv member``, once it serves."""

    process: subprocess.Popen[str]
    address: str
    member_id: str
    greeting: str

    def stop(self, number: int) -> str:
        """Send a signal, and return its last words."""
        self.process.send_signal(number)
        output, errors = self.process.communicate()
        assert (self.process.returncode, errors) == (0, "")
        return output.strip()


def start_member(folder: Path, *arguments: str) -> RunningMember:
    """Run a member, and wait until it serves."""
    process = start(folder, "member", *arguments)
    assert process.stdout is not None
    greeting = process.stdout.readline().strip()
    found = re.match(r"member (\w{8}) serves at (\S+): ", greeting)
    if found is None:
        raise AssertionError(f"no member: {greeting!r} {process.communicate()}")
    return RunningMember(process, found[2], found[1], greeting)
