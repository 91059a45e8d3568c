"""README.md is true: its code runs, prints what it says, and is that of the examples."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.documents import Block, check_program, clean_environment, program, python_blocks

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = (ROOT / "README.md").read_text("utf-8")
BLOCKS: Final = list(python_blocks(PAGE))
IN_PROCESSES: Final = "app.py: in three processes"


def block_with(text: str) -> Block:
    (found,) = [block for block in BLOCKS if text in block.code]
    return found


def test_the_code_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS if not block.mark]
    assert len(blocks) >= 7
    assert [block.mark for block in BLOCKS if block.mark] == [IN_PROCESSES]
    check_program(program(blocks), "README", tmp_path)


@pytest.mark.parametrize(
    ("sign", "example"),
    [
        ("b.batch_get(", "quickstart.py"),
        ("dynamokv.connect(", "quickstart.py"),
        ("dynamokv.AsyncNode(", "quickstart_async.py"),
    ],
)
def test_the_examples_are_the_code_of_the_readme(sign: str, example: str) -> None:
    """Line by line and in order; an example checks more, and cleans up."""
    lines = iter((ROOT / "examples" / example).read_text("utf-8").splitlines())
    for wanted in block_with(sign).code.splitlines():
        if wanted and not wanted.startswith(("asyncio.run", "from tempfile import")):
            assert wanted in lines, f"not in {example}, or not in this order: {wanted}"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """app.py in one of three terminals, on free ports."""
    code = block_with("sys.argv").code
    assert block_with("sys.argv").mark == IN_PROCESSES
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    for number, address in enumerate(addresses, start=1):
        assert f"127.0.0.1:740{number}" in code
        code = code.replace(f"127.0.0.1:740{number}", address)
    (tmp_path / "app.py").write_text(code, "utf-8")
    processes: list[subprocess.Popen[str]] = []

    def run(number: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "app.py", addresses[number], "abc"[number]],
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def application(begin: Callable[[int], subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """All three."""
    return [begin(number) for number in range(3)]


def test_the_application_runs_in_three_processes(
    application: list[subprocess.Popen[str]],
) -> None:
    def answer(process: subprocess.Popen[str], asked: str = "") -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        if asked:
            process.stdin.write(asked + "\n")
            process.stdin.flush()
        return process.stdout.readline().strip()

    for process, name in zip(application, "abc", strict=True):
        assert answer(process).startswith(f"{name} serves at 127.0.0.1:")
    assert int(answer(application[0], "color=green")) >= 2
    assert [answer(process, "color") for process in application] == ["green"] * 3
    for process in application:
        process.communicate()
        assert process.returncode == 0


def test_the_application_waits_when_it_is_started_again_alone(
    application: list[subprocess.Popen[str]], begin: Callable[[int], subprocess.Popen[str]]
) -> None:
    for process in application:
        assert process.stdout is not None
        assert process.stdout.readline()
    for process in application:
        process.communicate()
    first = begin(0)
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(2.0)
    second = begin(1)
    for process, name in ((first, "a"), (second, "b")):
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"{name} serves at ")
