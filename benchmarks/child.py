"""Processes beside the benchmark's own: started, spoken to in lines of JSON, ended.

Rules:
    - A child reads its standard input and ends when that ends, so it does not outlive its parent.
    - Only processes that were started here are ended, by the handle that started them.
    - Every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
ANSWER_SECONDS: Final = 120.0
STOP_SECONDS: Final = 10.0


class ChildFailed(Exception):
    """A child ended, or did not answer; the message has the last line it wrote."""


class Child:
    """A running process and the ways to it and back."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, log: Path, answer_seconds: float
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._name = name
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._log = log
        self._answer_seconds = answer_seconds

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Have the child do something, and return what it answers."""
        self._stdin.write(json.dumps([do, arguments]).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        """The child's next line."""
        try:
            line = await asyncio.wait_for(self._stdout.readline(), self._answer_seconds)
        except TimeoutError:
            seconds = self._answer_seconds
            raise ChildFailed(f"{self._name} did not answer in {seconds} s") from None
        if not line:
            said = self._log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise ChildFailed(f"{self._name} ended: {said or 'it left no message'}")
        return json.loads(line)

    async def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """It is gone when this returns."""
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def running(
    module: str, *arguments: str, log: Path, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[tuple[Child, Any]]:
    """A child that runs a module of this package, and its first line. It is gone afterwards."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"benchmarks.{module}",
            *arguments,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    child = Child(module, process, log, answer_seconds)
    try:
        yield child, await child.answer()
    finally:
        await child.stop()


def say(answer: object) -> None:
    """In a child: one line to the parent."""
    print(json.dumps(answer), flush=True)
