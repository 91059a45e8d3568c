"""What commands print: numbers for people, and the numbered story of the demo.

Rules:
    - Colour only on a terminal, and not where ``NO_COLOR`` asks for none (https://no-color.org).
    - ASCII only, so that any locale can show it.
    - A line is flushed when it is printed: the reader may be a pipe, and wants to follow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

_BOLD, _GREEN, _RED = "1", "32", "31"


class NotAsStated(Exception):
    """The demo said something about the ring, and it was not so."""


def milliseconds(seconds: float) -> str:
    """A duration, to the microsecond."""
    return f"{seconds * 1000:.3f} ms"


def duration(seconds: float) -> str:
    """A time that may be long, in the unit that keeps it short."""
    for unit, many in (("s", 60), ("min", 60), ("h", 24)):
        if seconds < many:
            return f"{seconds:.1f} {unit}"
        seconds /= many
    return f"{seconds:.1f} days"


def size(bytes_used: float) -> str:
    """A number of bytes, in the unit that keeps it short."""
    for unit in ("bytes", "KiB", "MiB"):
        if bytes_used < 1024:
            return f"{bytes_used:.0f} {unit}" if unit == "bytes" else f"{bytes_used:.1f} {unit}"
        bytes_used /= 1024
    return f"{bytes_used:.1f} GiB"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


class Story:
    """Numbered steps, what they show, and the statements that were checked."""

    def __init__(self, stream: TextIO) -> None:
        self.statements = 0
        self._steps = 0
        self._title = ""
        self._stream = stream
        self._coloured = (
            stream.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "") != "dumb"
        )

    def step(self, title: str) -> None:
        """Begin a step."""
        self._steps += 1
        self._title = title
        self._print("")
        self._print(self._paint(f"{self._steps:2}. {title}", _BOLD))

    def say(self, *lines: str) -> None:
        """Show something."""
        for line in lines:
            self._print(f"    {line}")

    def check(self, holds: bool, statement: str, found: object = "") -> None:
        """State something that has just been looked at.

        Raises:
            NotAsStated: it does not hold; the message names the step, and what was found.
        """
        if not holds:
            self._print(f"    {self._paint('NOT SO', _RED)}  {statement}")
            detail = f"; found {found!r}" if found != "" else ""
            raise NotAsStated(f"step {self._steps} ({self._title}): not so: {statement}{detail}")
        self.statements += 1
        self._print(f"    {self._paint('ok', _GREEN)}  {statement}")

    def end(self, text: str) -> None:
        """The last line."""
        self._print("")
        self._print(self._paint(text, _BOLD))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
