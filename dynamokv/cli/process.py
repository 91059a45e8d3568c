"""Members in processes of their own: the parent's side of ``worker.py``.

Rules:
    - Only processes that were started here are ended, each through the handle that started it.
    - A child has a process group of its own, so Ctrl-C reaches the parent alone, which then stops
      its children; and it reads a pipe from the parent, so that it stops when the parent is gone.
    - Every wait has a deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ANSWER_SECONDS = 20.0
"""A call of a member ends within its own 5 s; a start on a busy machine takes longer."""

STOP_SECONDS = 10.0
"""A member stops within 2 s; the interpreter around it needs some time as well."""


class MemberFailed(Exception):
    """A member's process did not do what it had to: it ended, or it did not answer."""


class CallRefused(Exception):
    """The member's call raised a ``DynamoKVError``.

    Attributes:
        kind: the class name of the error.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class MemberProcess:
    """One member. Calls are made one at a time, from any thread."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.data_dir = directory / name
        self.log = directory / f"{name}.log"
        self.node_id = ""
        self.address = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    def spawn(self, seeds: tuple[str, ...]) -> None:
        """Start the process; ``ready`` waits for it. A second start uses the same address and
        directory."""
        command = [sys.executable, "-m", "dynamokv.cli.worker", self.address, str(self.data_dir)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, *seeds],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )

    def ready(self) -> None:
        """Return when the member serves.

        Raises:
            MemberFailed: it does not; the message says why.
        """
        try:
            told = self._answer(self._running())
        except CallRefused as error:
            raise MemberFailed(f"member {self.name} did not start: {error}") from None
        self.node_id, self.address = told["node_id"], told["address"]

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Have the member make a call.

        Raises:
            CallRefused: the call raised an error of this library.
            MemberFailed: the process is gone, or stuck.
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
                process.stdin.flush()
            except OSError:
                raise self._gone() from None
            return self._answer(process)

    def kill(self) -> None:
        """SIGKILL: no warning, no clean-up."""
        process = self._running()
        process.kill()
        process.wait(STOP_SECONDS)
        self._forget(process)

    def freeze(self) -> None:
        """SIGSTOP: it stands still, and its connections stay."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        self._running().send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        process = self._running()
        _close(process.stdin)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise MemberFailed(f"member {self.name} did not stop in {STOP_SECONDS} s") from None
        self._forget(process)
        return code

    def discard(self) -> None:
        """However things stand, leave no process behind."""
        if self._process is not None:
            self.kill()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise MemberFailed(f"member {self.name} is not running")
        return self._process

    def _forget(self, process: subprocess.Popen[str]) -> None:
        """It has ended. A call that is under way in another thread finds that out first."""
        with self._lock:
            self._process = None
            _close(process.stdin)
            _close(process.stdout)

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The next line. There is never a second one waiting: each call has one answer."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise MemberFailed(f"member {self.name} did not answer in {ANSWER_SECONDS} s")
        line = process.stdout.readline()
        if not line:
            raise self._gone()
        answer = json.loads(line)
        if "error" in answer:
            raise CallRefused(answer["error"], answer["message"])
        result: dict[str, Any] = answer["result"]
        return result

    def _gone(self) -> MemberFailed:
        last = self.log.read_text(errors="replace").strip().rpartition("\n")[2]
        return MemberFailed(
            f"member {self.name} ended unexpectedly: {last or 'it left no message'}"
        )


def _close(pipe: IO[str] | None) -> None:
    """Whoever was at the other end may be gone, and then what is buffered goes nowhere."""
    assert pipe is not None
    with contextlib.suppress(OSError):
        pipe.close()


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Within it, SIGTERM ends the caller as ``sys.exit`` does, so that what it started is cleaned
    up. Signals belong to the main thread; elsewhere this changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def cpu_count() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
