"""A worker process, from its parent's side.

Knows: one child process and the tasks that are given to it. Must not know: what a job does.

Rules:

- The store never depends on it. A child that dies is replaced, and the task ``Failed``, to be tried
  again; where no child can be started, or two died of the same job, the job is done here.
- Only the process that was started here is ended, through its own handle. A forked copy of this
  process leaves it alone.
- A child of an older or newer library, or one that speaks in riddles, is ended.
- Whatever a child leaves behind when it dies is deleted before anything else is done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dynamokv.ports import FileSystem
from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.channel import Garbage, receive_message, send_message
from dynamokv.storage.lsm.jobs import Failed, Job, Outcome, Task
from dynamokv.storage.lsm.new_tables import remove_unfinished
from dynamokv.storage.lsm.task_codec import decode_outcome, encode_task, greeting
from dynamokv.storage.lsm.throttle import Stopped, Throttle
from dynamokv.storage.lsm.work import random_salt, run

START_SECONDS: Final = 30.0
"""From the start of a process to its greeting. Normally a quarter of a second."""

STARTS_MAX: Final = 3
"""Starts that may fail in a row. Then the machine is such that there is no child."""

END_SECONDS: Final = 1.0
"""From SIGKILL to the end of a process, unless it hangs in the kernel."""

CHECK_SECONDS: Final = 5.0
"""How long the end of a child may stay unnoticed where the channel does not tell: a copy of this
process, forked in the moment when it was made, may hold the other end."""

_logger = logging.getLogger("dynamokv.storage")


class Worker:
    """Does tasks in a child process, one at a time; callers wait for each other.

    ``niceness``: how far it gives way to others. ``command``: what to start instead of this
    library's worker, for tests.
    """

    def __init__(
        self,
        directory: Path,
        *,
        niceness: int = 10,
        files: FileSystem | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._files: FileSystem = RealFiles() if files is None else files
        self._command = worker_command(self._directory, niceness) if command is None else command
        self._owner = os.getpid()
        self._turn = threading.Lock()
        self._closing = threading.Event()
        self._child: _Child | None = None
        self._failed_starts = 0
        self._fatal: Job | None = None

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        child = self._child
        return child.pid if child is not None else None

    def run(self, task: Task) -> Outcome:
        """Do a task; return when it is done, or failed. After ``close`` every task fails."""
        if self._owner != os.getpid():
            return Failed("this process is a forked copy of the store's", full=False)
        with self._turn:
            child = self._ready_child()
            if self._closing.is_set():
                return Failed("the store is being closed", full=False)
            if child is None:
                return self._run_here(task)
            try:
                outcome = child.perform(task)
                self._fatal = None
                return outcome
            except _ChildLost as error:
                self._drop(child)
                remove_unfinished(self._files, self._directory, task.tag)
                return self._lost(task, str(error))
            except BaseException:
                # Interrupted. The outcome would come all the same, and be taken for the next one.
                self._drop(child)
                remove_unfinished(self._files, self._directory, task.tag)
                raise

    def close(self) -> None:
        """End the child, also in the middle of a job. A second call does nothing."""
        child = self._child
        if self._owner != os.getpid():
            # It belongs to the process that this one is a copy of.
            if child is not None:
                child.forget()
            self._child = None
            return
        self._closing.set()
        if child is not None:
            child.kill()
        with self._turn:
            if self._child is not None:
                self._drop(self._child)

    def _ready_child(self) -> _Child | None:
        """One that runs, where that can be had."""
        if self._child is not None and not self._child.runs():
            self._drop(self._child)
        if self._child is None and self._failed_starts < STARTS_MAX and not self._closing.is_set():
            self._start()
        return self._child

    def _start(self) -> None:
        try:
            if not self._command:
                raise _ChildLost("there is no interpreter to start")
            # Known to ``close`` before anything is waited for.
            self._child = _Child(self._command)
            if self._closing.is_set():
                self._child.kill()
            self._child.greet()
            self._failed_starts = 0
        except (OSError, _ChildLost) as error:
            self._failed_starts += 1
            if self._child is not None:
                self._drop(self._child)
            if not self._closing.is_set():
                _logger.warning("%s: no worker process: %s", self._directory, error)

    def _drop(self, child: _Child) -> None:
        self._child = None
        child.end()

    def _lost(self, task: Task, reason: str) -> Outcome:
        if self._closing.is_set():
            return Failed("the store is being closed", full=False)
        if self._fatal == task.job:
            _logger.warning("%s: worker process lost again: %s", self._directory, reason)
            return self._run_here(task)
        self._fatal = task.job
        return Failed(f"the worker process was lost: {reason}", full=False)

    def _run_here(self, task: Task) -> Outcome:
        throttle = Throttle(task.bytes_per_second, clock=time.monotonic, pause=self._pause)
        return run(task, self._files, self._directory, random_salt, throttle)

    def _pause(self, seconds: float) -> None:
        if self._closing.is_set() or (seconds and self._closing.wait(seconds)):
            raise Stopped("the store is being closed")


def worker_command(directory: Path, niceness: int = 10) -> list[str]:
    """How to start a worker; nothing where ``sys.executable`` is not an interpreter."""
    if not sys.executable or getattr(sys, "frozen", False):
        return []
    # -P: what lies about in the working directory is not for import.
    module = "dynamokv.storage.lsm.worker"
    return [sys.executable, "-P", "-m", module, str(directory), str(os.getpid()), str(niceness)]


def worker_environment() -> dict[str, str]:
    """This process's environment, so that a child imports what this process would."""
    # Whatever else is in there, the import system passes over it as well.
    path = [entry for entry in sys.path if entry and isinstance(entry, str)]
    if "" in sys.path:
        with contextlib.suppress(OSError):
            path.insert(sys.path.index(""), str(Path.cwd()))
    # Behind everything else, for an application that changed its path after the import.
    path.append(str(Path(__file__).resolve().parents[3]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "_DYNAMOKV_WORKER": "1"}


class _ChildLost(Exception):
    """There is no child any more, or none to be trusted."""


class _Child:
    """One process, from its start to its end."""

    def __init__(self, command: Sequence[str]) -> None:
        self._channel, theirs = socket.socketpair()
        try:
            # A group of its own: Ctrl-C in a terminal goes to the parent alone.
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=worker_environment(),
                process_group=0,
            )
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def greet(self) -> None:
        """Hear who it is."""
        if self._hear(START_SECONDS) != greeting():
            raise _ChildLost("it is of another version of this library")

    def perform(self, task: Task) -> Outcome:
        """Have a task done."""
        try:
            send_message(self._channel, encode_task(task))
        except OSError as error:
            raise _ChildLost(str(error)) from error
        try:
            return decode_outcome(self._hear(None))
        except ValueError as error:
            raise _ChildLost(str(error)) from error

    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once; whoever waits for an outcome hears of it."""
        self._process.kill()

    def end(self) -> None:
        """End it, leave nothing of it, and wait until it is gone."""
        self._process.kill()
        self._channel.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            _logger.warning("worker process %d does not end", self._process.pid)

    def forget(self) -> None:
        """Let go of it without touching it."""
        self._channel.close()
        # Or the handle would complain, when it goes, that nobody waited.
        self._process.returncode = 0

    def _hear(self, seconds: float | None) -> bytes:
        """The next message, within this time or for as long as the child lives."""
        while True:
            try:
                return receive_message(self._channel, seconds or CHECK_SECONDS)
            except EOFError:
                raise _ChildLost(f"it ended with status {self._status()}") from None
            except TimeoutError as error:
                if seconds or not self.runs():
                    raise _ChildLost(str(error)) from error
            except Garbage as error:
                raise _ChildLost(str(error)) from error

    def _status(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(END_SECONDS)
        return None
