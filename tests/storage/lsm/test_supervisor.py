"""With real processes. Each is started by the worker that is under test, and ended by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm import supervisor
from dynamokv.storage.lsm.jobs import Built, Damaged, Failed, Merge, Outcome, Scrub, Task
from dynamokv.storage.lsm.supervisor import Worker
from dynamokv.storage.lsm.work import run
from tests.storage.lsm.job_files import (
    built,
    large_table,
    rows_of,
    slow_task,
    task,
    unfinished,
    write_table,
)
from tests.waiting import until

FILES = RealFiles()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.close()


def merge(directory: Path) -> Merge:
    """Of two tables."""
    old = write_table(FILES, directory, 1, [(b"%06d" % at, b"old" * 10) for at in range(3)])
    new = write_table(FILES, directory, 2, [(b"000000", None), (b"000002", None)], (2, 2))
    return Merge(((new,), (old,)), 1, False, 0)


def large_merge(directory: Path) -> Merge:
    return Merge(((large_table(FILES, directory, 1),),), 1, False, 0)


def is_gone(pid: int) -> bool:
    """No process, nor what is left of one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def in_thread(worker: Worker, given: Task) -> Callable[[], Outcome]:
    """Begin a task; the result waits for its outcome."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(worker.run(given)))
    thread.start()

    def outcome() -> Outcome:
        thread.join()
        return outcomes[0]

    return outcome


def begin_slowly(worker: Worker, directory: Path) -> Callable[[], Outcome]:
    """A merge that is under way, with something to show for it, and would go on for long."""
    outcome = in_thread(worker, slow_task(large_merge(directory)))
    until(lambda: unfinished(FILES, directory), "the merge has begun")
    return outcome


def test_a_child_does_the_work(worker: Worker, tmp_path: Path) -> None:
    assert worker.pid is None
    job = merge(tmp_path)
    outcome = worker.run(task(job))
    assert rows_of(FILES, tmp_path, outcome) == [[(b"000001", b"old" * 10)]]
    pid = worker.pid
    assert pid not in (None, os.getpid())
    scrubbed = worker.run(task(Scrub(job.runs[0][0])))
    assert isinstance(scrubbed, Built)
    assert worker.pid == pid, "one child does it all"


def test_damage_is_told(worker: Worker, tmp_path: Path) -> None:
    job = merge(tmp_path)
    path = tmp_path / "table-00000001"
    path.write_bytes(bytes(path.stat().st_size))
    outcome = worker.run(task(job))
    assert isinstance(outcome, Damaged)
    assert (outcome.file, outcome.number) == (path.name, 1)


def test_close_ends_the_child_and_every_later_task(worker: Worker, tmp_path: Path) -> None:
    job = merge(tmp_path)
    worker.run(task(job))
    pid = worker.pid
    assert pid is not None
    worker.close()
    worker.close()
    assert is_gone(pid)
    assert worker.pid is None
    assert isinstance(worker.run(task(job)), Failed)
    assert worker.pid is None


def test_close_does_not_wait_for_a_job(worker: Worker, tmp_path: Path) -> None:
    outcome = begin_slowly(worker, tmp_path)
    pid = worker.pid
    assert pid is not None
    worker.close()
    assert isinstance(outcome(), Failed), "it was not done to its end"
    assert is_gone(pid)
    assert unfinished(FILES, tmp_path) == []


def test_a_killed_child_is_replaced_and_leaves_nothing(worker: Worker, tmp_path: Path) -> None:
    outcome = begin_slowly(worker, tmp_path)
    first = worker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    failed = outcome()
    assert isinstance(failed, Failed)
    assert f"{-signal.SIGKILL}" in failed.reason
    assert not failed.sync
    assert unfinished(FILES, tmp_path) == []
    assert is_gone(first), "no zombie"
    assert built(worker.run(task(merge(tmp_path)))).tables
    assert worker.pid not in (None, first, os.getpid())


def test_a_child_that_died_while_idle_costs_nothing(worker: Worker, tmp_path: Path) -> None:
    job = merge(tmp_path)
    worker.run(task(job))
    first = worker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert isinstance(worker.run(task(job)), Built)
    assert worker.pid != first


def test_a_job_that_two_children_died_of_is_done_here(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_fast(task: Task, *_: object) -> Outcome:
        return run(task, FILES, tmp_path)

    monkeypatch.setattr(supervisor, "run", run_fast)
    job = large_merge(tmp_path)
    for tag, expected in (("one", Failed), ("two", Built)):
        outcome = in_thread(worker, slow_task(job, tag))
        until(lambda: unfinished(FILES, tmp_path), "the merge has begun")
        child = worker.pid
        assert child is not None
        os.kill(child, signal.SIGKILL)
        assert isinstance(outcome(), expected)
    assert unfinished(FILES, tmp_path) == ["build-two-0000.tmp"]
    assert worker.pid is None


def test_ctrl_c_is_not_for_the_child(worker: Worker, tmp_path: Path) -> None:
    job = merge(tmp_path)
    worker.run(task(job))
    child = worker.pid
    assert child is not None
    os.kill(child, signal.SIGINT)
    assert isinstance(worker.run(task(job)), Built)
    assert worker.pid == child
    assert os.getpgid(child) != os.getpgid(0)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("raise SystemExit(3)", id="ends"),
        pytest.param("import os; os.write(0, b'garbage' * 10)", id="garbage"),
        pytest.param("import os, time; os.write(0, b'dkvw'); os.read(0, 1)", id="half"),
        pytest.param(
            "import os, time; os.write(0, b'dkvw\\0\\0\\0\\1x'); os.read(0, 1)", id="other"
        ),
        pytest.param("import os; os.close(0); os.close(1)", id="closes"),
        pytest.param("import os; os.read(0, 1)", id="silent"),
    ],
)
def test_where_no_child_can_be_started_the_work_is_done_here(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.5)
    monkeypatch.setattr("dynamokv.storage.lsm.channel.MESSAGE_SECONDS", 0.2)
    worker = Worker(tmp_path, command=[sys.executable, "-c", program])
    for _ in range(supervisor.STARTS_MAX + 1):
        assert isinstance(worker.run(task(merge(tmp_path))), Built)
        assert worker.pid is None
    worker.close()


def test_an_interpreter_that_is_not_there_is_done_without(tmp_path: Path) -> None:
    for command in (["/nowhere/python"], []):
        worker = Worker(tmp_path, command=command)
        assert isinstance(worker.run(task(merge(tmp_path))), Built)
        worker.close()


GREETS_AND_THEN = """
import os, sys
from dynamokv.storage.lsm.task_codec import greeting
hello = greeting()
os.write(0, b"dkvw" + len(hello).to_bytes(4, "big") + hello)
os.read(0, 1)
{}
"""


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(
            "os.write(0, b'garbage' * 10); os.read(0, 1 << 20); os.read(0, 1)", id="garbage"
        ),
        pytest.param(
            "os.write(0, b'dkvw\\0\\0\\0\\2x'); os.read(0, 1 << 20); os.read(0, 1)", id="half"
        ),
        pytest.param("os.write(0, b'dkvw\\xff\\xff\\xff\\xff')", id="endless"),
        pytest.param(
            "os.write(0, b'dkvw\\0\\0\\0\\1x'); os.read(0, 1 << 20); os.read(0, 1)", id="cbor"
        ),
        pytest.param("raise SystemExit(3)", id="ends"),
        # And its end of the channel is still open: in another process, until ours is closed.
        pytest.param("if os.fork(): os._exit(3)\nwhile os.read(0, 1 << 20): pass", id="forks"),
    ],
)
def test_a_child_that_speaks_in_riddles_is_ended(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynamokv.storage.lsm.channel.MESSAGE_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "CHECK_SECONDS", 0.2)
    worker = Worker(tmp_path, command=[sys.executable, "-c", GREETS_AND_THEN.format(then)])
    job = merge(tmp_path)
    assert isinstance(worker.run(task(job)), Failed)
    assert worker.pid is None
    assert isinstance(worker.run(task(job)), Built)
    worker.close()


def test_work_that_is_done_here_ends_with_close(tmp_path: Path) -> None:
    worker = Worker(tmp_path, command=[])
    outcome = begin_slowly(worker, tmp_path)
    worker.close()
    assert isinstance(outcome(), Failed)
    assert unfinished(FILES, tmp_path) == []


def test_tasks_wait_for_each_other(worker: Worker, tmp_path: Path) -> None:
    job = merge(tmp_path)
    outcomes = [in_thread(worker, task(job, f"turn-{at}")) for at in range(4)]
    assert len({built(outcome()).written_bytes for outcome in outcomes}) == 1


FORKS = """
import sys
from pathlib import Path
from tests.storage.lsm.test_supervisor import fork_with_a_child

fork_with_a_child(Path(sys.argv[1]))
"""


def fork_with_a_child(directory: Path) -> None:
    """In a process without threads: others must not be forked."""
    job = merge(directory)
    worker = Worker(directory)
    worker.run(task(job))
    child = worker.pid
    copy = os.fork()
    if copy == 0:
        refused = isinstance(worker.run(task(job)), Failed)
        worker.close()
        let_go = worker.pid is None
        del worker
        os._exit(0 if refused and let_go else 1)
    assert os.waitpid(copy, 0) == (copy, 0)
    assert isinstance(worker.run(task(job)), Built)
    assert worker.pid == child
    worker.close()


def test_a_forked_copy_leaves_the_child_alone(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_interrupted_wait_does_not_mix_up_outcomes(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> bytes:
        raise KeyboardInterrupt

    job = merge(tmp_path)
    worker.run(task(job))
    child = worker.pid
    assert child is not None
    with monkeypatch.context() as patched:
        patched.setattr(supervisor, "receive_message", interrupt)
        with pytest.raises(KeyboardInterrupt):
            worker.run(task(job, "other"))
    assert is_gone(child)
    assert isinstance(worker.run(task(job)), Built)
