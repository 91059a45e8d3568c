"""Code in documents: taken out, run in a fresh interpreter, and compared with what it says.

In a page, each ``print(...)`` has its output as a comment. The blocks of a page are one program,
in which every line keeps the number that it has in the page, so that a traceback points there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

SECONDS: Final = 50.0
_PRINTED = re.compile(r"\s*print\(.*\)(?:  # (?P<output>.*))?$")


@dataclass(frozen=True)
class Block:
    """A fenced block of Python. ``mark`` is the HTML comment above it, or nothing."""

    line: int
    mark: str
    code: str


def python_blocks(page: str) -> Iterator[Block]:
    """The Python blocks of a page of Markdown, in order; ``line`` is that of the first of code."""
    lines = page.splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "```python":
            start = number + 1
        elif line == "```" and start is not None:
            above = lines[start - 2].strip() if start >= 2 else ""
            mark = above[4:-3].strip() if above.startswith("<!--") else ""
            yield Block(start + 1, mark, "\n".join(lines[start:number]) + "\n")
            start = None


def program(blocks: list[Block]) -> str:
    """The blocks as one program, each at its line."""
    text = ""
    for block in blocks:
        text += "\n" * (block.line - 1 - text.count("\n")) + block.code
    return text


def expected_output(code: str) -> list[str]:
    """What the comments behind each ``print`` promise."""
    promised = []
    for number, line in enumerate(code.splitlines(), start=1):
        if found := _PRINTED.match(line):
            assert found["output"], f"line {number} prints and does not say what: {line.strip()}"
            promised.append(found["output"])
    return promised


def clean_environment() -> dict[str, str]:
    """The environment, without settings that are meant for somebody else's members."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DYNAMOKV_")}
    return {**environment, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def run_python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, somewhere else than in the checkout."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def check_program(code: str, name: str, cwd: Path) -> None:
    """Run it: it succeeds, prints what it says, and nobody complains."""
    promised = expected_output(code)
    assert promised, f"{name} prints nothing, so that nothing was checked"
    script = cwd / f"{name}.py"
    script.write_text(code, "utf-8")
    run = run_python(str(script), cwd=cwd)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == promised
    assert run.stderr == ""
