"""Handing work to a loop on a thread of its own, and ending that loop: nobody waits in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from dynamokv import limits
from dynamokv.errors import ClosedError
from dynamokv.runtime.thread import Handover, LoopThread, in_thread
from dynamokv.wire.messages import Replicated
from tests.waiting import until, until_async


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread("test-loop")
    yield made
    made.stop()


# --- the hand-over --------------------------------------------------------------------------------


def test_a_result_is_handed_over() -> None:
    handover = Handover()
    assert not handover.done()
    threading.Thread(target=handover.set_result, args=(Replicated(1),)).start()
    assert handover.wait(20.0) == Replicated(1)
    assert handover.done()
    assert handover.wait(0.0) == Replicated(1), "and stays"


def test_an_error_is_handed_over() -> None:
    handover = Handover()
    handover.set_exception(ClosedError("closed"))
    assert handover.done()
    with pytest.raises(ClosedError):
        handover.wait(20.0)


def test_a_wait_ends() -> None:
    handover = Handover()
    with pytest.raises(TimeoutError):
        handover.wait(0.01)
    assert not handover.done()
    handover.set_result(Replicated(1))
    assert handover.wait(0.01) == Replicated(1), "a result that comes late is still taken"


@pytest.mark.parametrize("seconds", [1e11, 1e300, float("inf")])
def test_a_wait_may_be_longer_than_the_platform_knows(seconds: float) -> None:
    handover = Handover()
    threading.Timer(0.01, handover.set_result, (Replicated(1),)).start()
    assert handover.wait(seconds) == Replicated(1)


# --- a loop on a thread ---------------------------------------------------------------------------


def test_coroutines_and_functions_run_there(thread: LoopThread) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert thread.run(where()) == "test-loop"
    assert thread.call(lambda a, b: a + b, 1, 2) == 3
    assert thread.alive


def test_what_they_raise_is_raised_here(thread: LoopThread) -> None:
    def fails() -> None:
        raise RuntimeError("not about a closed handle")

    with pytest.raises(RuntimeError, match="not about"):
        thread.call(fails)


def test_after_the_stop_everything_is_refused(thread: LoopThread) -> None:
    thread.stop()
    assert not thread.alive
    assert thread.loop.is_closed()
    with pytest.raises(ClosedError):
        thread.post(print)
    with pytest.raises(ClosedError):
        thread.call(print)
    thread.stop()


def test_the_stop_cancels_what_still_runs_and_lets_it_clean_up(thread: LoopThread) -> None:
    cleaned: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    caught: list[BaseException] = []

    def wait() -> None:
        try:
            thread.run(endless())
        except ClosedError as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: thread.call(lambda: len(asyncio.all_tasks(thread.loop))) == 2, "it runs")
    thread.stop()
    waiting.join(20.0)
    assert cleaned == ["up"]
    assert len(caught) == 1


def test_whoever_comes_before_the_stop_is_served(thread: LoopThread) -> None:
    """Posted from many threads while it stops: each callback ran, or its caller was told."""
    ran: list[int] = []
    refused: list[int] = []
    posted: list[int] = []

    def post(number: int) -> None:
        for turn in range(2000):
            try:
                thread.post(ran.append, number * 10_000 + turn)
            except ClosedError:
                refused.append(number)
                return
            posted.append(number * 10_000 + turn)

    workers = [threading.Thread(target=post, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    until(lambda: len(ran) > 100, "some callbacks ran")
    thread.stop()
    for worker in workers:
        worker.join()
    assert sorted(ran) == sorted(posted)


def test_many_may_end_it_at_once() -> None:
    for _ in range(20):
        thread = LoopThread("test-loop")
        ended: list[int] = []

        async def last(thread: LoopThread = thread, ended: list[int] = ended) -> None:
            await asyncio.sleep(0)
            ended.append(1)

        workers = [threading.Thread(target=lambda t=thread: t.end(last())) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(20.0)
        assert not thread.alive
        assert len(ended) >= 1


def test_a_loop_that_something_holds_does_not_hold_its_owner(
    thread: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait(20.0)

    async def last() -> None:
        pass

    thread.post(hold)
    held.wait(20.0)
    started = time.monotonic()
    thread.end(last())
    assert time.monotonic() - started < limits.CLOSE_SECONDS_MAX + 1.0
    assert "closing goes on by itself" in caplog.text
    go.set()
    until(lambda: not thread.alive, "the thread ends by itself")


# --- jobs that may block --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_has_a_thread_of_its_own() -> None:
    assert await in_thread("job", lambda: threading.current_thread().name) == "job"
    with pytest.raises(ZeroDivisionError):
        await in_thread("job", lambda: 1 // 0)


@pytest.mark.asyncio
async def test_the_result_of_an_abandoned_job_is_disposed_of() -> None:
    go = threading.Event()
    disposed: list[int] = []

    def job() -> int:
        go.wait(20.0)
        return 7

    task = asyncio.create_task(in_thread("job", job, disposed.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not disposed
    go.set()
    await until_async(lambda: disposed == [7], "the disposal")


def test_also_when_the_loop_is_gone() -> None:
    go = threading.Event()
    disposed: list[int] = []

    def job() -> int:
        go.wait(20.0)
        return 7

    async def main() -> None:
        task = asyncio.create_task(in_thread("job", job, disposed.append))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(main())
    go.set()
    until(lambda: disposed == [7], "the disposal")


@pytest.mark.asyncio
async def test_without_threads_a_job_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.12 on, an interpreter that shuts down starts no more of them."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert await in_thread("job", lambda: threading.current_thread().name) == "MainThread"
