"""The child's side: what it inherits, what it imports, and that it never outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.channel import Garbage, receive_message, send_message
from dynamokv.storage.lsm.jobs import (
    Built,
    Damaged,
    Failed,
    Flush,
    LogPart,
    Merge,
    Outcome,
    Salvage,
    Scrub,
    Task,
)
from dynamokv.storage.lsm.supervisor import Worker, worker_command, worker_environment
from dynamokv.storage.lsm.task_codec import (
    decode_outcome,
    decode_task,
    encode_outcome,
    encode_task,
    greeting,
)
from dynamokv.storage.lsm.tree import Lost, TableMeta
from tests.storage.lsm.job_files import FORMAT, large_table, slow_task, task, write_table
from tests.waiting import until

FILES = RealFiles()
ROOT = Path(__file__).resolve().parents[3]


# The codec.

META = TableMeta(1, 2, b"d" * 16, 3, 4, b"", b"\xff", 5, 6, ((b"a", b"b"), (b"c", b"d")))
TASKS = [
    Task(Flush((LogPart(1, 2, 3, 4), LogPart(5, 6, 7, 8))), "tag", FORMAT, 9),
    Task(Merge(((META,), (META, META)), 2, True, 0), "", FORMAT, 0),
    Task(Merge((), 0, False, 1 << 40), "tag", FORMAT, 0),
    Task(Scrub(META), "tag", FORMAT, 0),
    Task(Salvage(META), "tag", FORMAT, 0),
]
OUTCOMES: list[Outcome] = [
    Built((), 0, 0),
    Built((META, META), 1, 2, (Lost("file", b"a", b"b", "reason"),)),
    Damaged("file", 1, "reason"),
    Failed("reason", full=True, sync=False),
]


@pytest.mark.parametrize("example", TASKS)
def test_a_task_arrives_as_it_was_sent(example: Task) -> None:
    assert decode_task(encode_task(example)) == example


@pytest.mark.parametrize("example", OUTCOMES)
def test_an_outcome_arrives_as_it_was_sent(example: Outcome) -> None:
    assert decode_outcome(encode_outcome(example)) == example


@given(st.integers(0, len(TASKS) - 1), st.data())
def test_whatever_arrives_is_a_task_or_an_error(number: int, data: st.DataObject) -> None:
    """What passes has the types that it says: it can be sent again."""
    encoded = bytearray(encode_task(TASKS[number]))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_task(bytes(encoded))
    except ValueError:
        return
    assert decode_task(encode_task(decoded)) == decoded


@given(st.binary(max_size=40))
def test_bytes_that_are_no_outcome_are_an_error(data: bytes) -> None:
    try:
        outcome = decode_outcome(data)
    except ValueError:
        return
    assert isinstance(outcome, Built | Damaged | Failed)


@pytest.mark.parametrize(
    "content",
    [
        [0, [[], -1, 0, []]],
        [0, [[], True, 0, []]],
        [0, [[], 1.0, 0, []]],
        [0, [[], 0, 0]],
        [0, [[], 0, 0, [], []]],
        [3, [[], 0, 0, []]],
        [-1, ["reason", False, False]],
        [1, [b"file", 1, "reason"]],
        [2, ["reason", 1, False]],
        {},
    ],
)
def test_what_is_nearly_an_outcome_is_an_error(content: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        decode_outcome(cbor2.dumps(content))


# The process.


@contextmanager
def child_of_this_process(directory: Path, *, parent: int | None = None) -> Iterator[Child]:
    child = Child(directory, os.getpid() if parent is None else parent)
    try:
        yield child
    finally:
        child.channel.close()
        child.process.kill()
        child.process.wait()


class Child:
    """A worker without a supervisor."""

    def __init__(self, directory: Path, parent: int) -> None:
        self.channel, theirs = socket.socketpair()
        command = [*worker_command(directory)[:-2], str(parent), "10"]
        self.process = subprocess.Popen(
            command, stdin=theirs.fileno(), env=worker_environment(), stderr=subprocess.DEVNULL
        )
        theirs.close()
        assert receive_message(self.channel, 20.0) == greeting()


def test_it_ends_with_its_channel(tmp_path: Path) -> None:
    with child_of_this_process(tmp_path) as child:
        child.channel.close()
        assert child.process.wait(20.0) == 0


def test_it_ends_with_its_channel_in_the_middle_of_a_job(tmp_path: Path) -> None:
    table = large_table(FILES, tmp_path, 1)
    with child_of_this_process(tmp_path) as child:
        given = slow_task(Merge(((table,),), 1, False, 0))
        send_message(child.channel, encode_task(given))
        until(lambda: list(tmp_path.glob("build-*")), "the merge has begun")
        child.channel.close()
        assert child.process.wait(20.0) == 0


def test_it_ends_when_its_parent_is_another_process(tmp_path: Path) -> None:
    """As when the parent died, and a forked copy of it keeps the channel open."""
    with child_of_this_process(tmp_path, parent=1 << 30) as child:
        assert child.process.wait(20.0) == 0


def test_it_ends_on_garbage(tmp_path: Path) -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"dkvw\0\0\0\1x"):
        with child_of_this_process(tmp_path) as child:
            child.channel.sendall(garbage)
            assert child.process.wait(20.0) == 1


PARENT = """
import sys
from pathlib import Path
from dynamokv.storage.lsm.supervisor import Worker
from tests.storage.lsm.test_worker import start_slow_job

start_slow_job(Path(sys.argv[1]))
"""


def start_slow_job(directory: Path) -> None:
    """The life of a parent that is killed in the middle of it."""
    table = large_table(FILES, directory, 1)
    worker = Worker(directory)
    worker.run(task(Scrub(table)))
    sys.stdout.write(f"{worker.pid}\n")
    sys.stdout.flush()
    worker.run(slow_task(Merge(((table,),), 1, False, 0)))


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        until(lambda: list(tmp_path.glob("build-test-*")), "the merge has begun")
        parent.kill()
    until(lambda: not _runs(child), "the child is gone")


def _runs(pid: int) -> bool:
    """Whether a process is there, and more than its entry: who adopted it may never wait for it."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_it_gives_way_and_ignores_ctrl_c(tmp_path: Path) -> None:
    with child_of_this_process(tmp_path) as child:
        pid = child.process.pid
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(mine + 10, 19)
        os.kill(pid, signal.SIGINT)
        table = write_table(FILES, tmp_path, 1, [(b"a", b"1")])
        send_message(child.channel, encode_task(task(Scrub(table))))
        outcome = decode_outcome(receive_message(child.channel, 20.0))
        assert isinstance(outcome, Built)


@pytest.mark.parametrize("relative", [True, False])
def test_it_finds_this_library_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    """The working directory has files that would be imported instead."""
    elsewhere = tmp_path / "elsewhere"
    for name in ("dynamokv", "struct", "socket", "xxhash"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text("raise SystemExit(9)")
    store = tmp_path / "store"
    store.mkdir()
    table = write_table(FILES, store, 1, [(b"a", b"1")])
    monkeypatch.chdir(elsewhere)
    worker = Worker(Path("../store") if relative else store)
    monkeypatch.chdir(tmp_path)
    assert isinstance(worker.run(task(Scrub(table))), Built)
    assert worker.pid is not None
    worker.close()


def test_it_imports_from_where_its_parent_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "only_here.py").write_text("HERE = True")
    monkeypatch.syspath_prepend(str(mine))
    monkeypatch.chdir(tmp_path)
    program = "import only_here, dynamokv.storage.lsm.jobs as jobs; print(jobs.__file__)"
    found = subprocess.run(
        [*worker_command(tmp_path)[:2], "-c", program],
        env=worker_environment(),
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert Path(found.stdout.strip()) == ROOT / "dynamokv/storage/lsm/jobs.py"


def test_it_is_not_started_by_what_is_no_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that was packed into one file would start itself again."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert worker_command(tmp_path) == []
    monkeypatch.delattr(sys, "frozen")
    monkeypatch.setattr(sys, "executable", "")
    assert worker_command(tmp_path) == []


# The channel.


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_keep_their_ends(ends: tuple[socket.socket, socket.socket]) -> None:
    for payload in (b"", b"x" * 50_000, b"dkvw"):
        send_message(ends[0], payload)
    assert [receive_message(ends[1], 1.0) for _ in range(3)] == [b"", b"x" * 50_000, b"dkvw"]


def test_silence_is_a_timeout_and_an_end_is_an_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    with pytest.raises(TimeoutError):
        receive_message(ends[1], 0.01)
    ends[0].close()
    with pytest.raises(EOFError):
        receive_message(ends[1], 1.0)
    with pytest.raises(OSError, match="pipe"):
        send_message(ends[1], b"x")


def test_a_message_that_stops_is_garbage(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynamokv.storage.lsm.channel.MESSAGE_SECONDS", 0.01)
    for begin in (b"d", b"dkvw\0\0\0\2x", b"dkvw\xff\xff\xff\xff", b"otherwise"):
        ours, theirs = socket.socketpair()
        ours.sendall(begin)
        with pytest.raises(Garbage):
            receive_message(theirs)
        ours.close()
        theirs.close()
