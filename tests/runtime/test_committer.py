"""Writes on their way to an engine: order, exactly one outcome each, and what can be seen when."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.ports import Row
from dynamokv.protocol.effects import After, PageStored, Send, Write, WriteFailed, Written
from dynamokv.runtime.commit_queue import ERROR_TEXT_MAX
from dynamokv.runtime.committer import Committer
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.memory import MemoryEngine
from dynamokv.types import Durability
from dynamokv.wire.messages import Replicated
from tests.waiting import until, until_async


class Engine(MemoryEngine):
    """Remembers each batch, and can be held, or made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[list[Row], bool]] = []
        self.flushes: list[str] = []
        self.closed_by: list[str] = []
        self.fault: Callable[[], None] = lambda: None
        self.go = threading.Event()
        self.go.set()
        self.inside = 0
        self.most_inside = 0

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.go.wait(20.0)
        self.inside -= 1
        self.batches.append((list(batch), sync))
        self.fault()
        super().apply(batch, sync=sync)

    def flush(self) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.go.wait(20.0)
        self.inside -= 1
        self.flushes.append(threading.current_thread().name)
        self.fault()

    def close(self) -> None:
        self.closed_by.append(threading.current_thread().name)


class Bench:
    """A committer, and what it released."""

    def __init__(self, durability: Durability) -> None:
        self.engine = Engine()
        self.released: list[After] = []
        self.committer = Committer(self.engine, durability, asyncio.get_running_loop())
        self.committer.release = self.released.extend

    def write(self, number: int, *, synced: bool = False, key: bytes = b"") -> None:
        row = (key or b"key %d" % number, b"value %d" % number)
        self.committer.write(Write([row], Written(number), WriteFailed(number, ""), synced))

    def outcomes(self) -> list[int]:
        return [after.id for after in self.released if isinstance(after, (Written, WriteFailed))]

    async def done(self, count: int) -> None:
        await until_async(lambda: len(self.released) >= count, f"{count} outcomes")


@asynccontextmanager
async def bench(durability: Durability = Durability.FSYNC) -> AsyncIterator[Bench]:
    made = Bench(durability)
    try:
        yield made
    finally:
        made.engine.go.set()
        made.committer.close()


def fails(error: Exception) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


@pytest.mark.asyncio
async def test_writes_of_one_round_share_one_sync() -> None:
    async with bench() as b:
        for number in range(100):
            b.write(number)
        b.committer.commit()
        await b.done(100)
        assert [(len(rows), sync) for rows, sync in b.engine.batches] == [(100, True)]


@pytest.mark.asyncio
async def test_writes_that_come_during_a_sync_share_the_next_one_in_order() -> None:
    async with bench() as b:
        b.engine.go.clear()
        for number in range(50):
            b.write(number)
            b.committer.commit()
        b.engine.go.set()
        await b.done(50)
        rows = [key for batch, _ in b.engine.batches for key, _ in batch]
        assert rows == [b"key %d" % number for number in range(50)]
        assert [len(batch) for batch, _ in b.engine.batches] == [1, 49]
        assert b.outcomes() == list(range(50))
        assert b.committer.commits == 2


@pytest.mark.parametrize("durability", Durability)
@pytest.mark.asyncio
async def test_every_write_has_exactly_one_outcome(durability: Durability) -> None:
    """Also when batches fail in between."""
    async with bench(durability) as b:
        turn = iter(range(10_000))

        def now_and_then() -> None:
            if next(turn) % 3 == 1:
                raise DiskFull("no space")

        b.engine.fault = now_and_then
        for number in range(300):
            b.write(number, synced=number % 7 == 0)
            if number % 5 == 0:
                b.committer.commit()
                await asyncio.sleep(0)
        b.committer.commit()
        await b.done(300)
        await b.committer.wait_idle()
        assert sorted(b.outcomes()) == list(range(300))
        kinds = {type(after) for after in b.released}
        assert kinds == {Written, WriteFailed}
        assert b.committer.failures > 0
        for after in b.released:
            written = isinstance(after, Written)
            assert isinstance(after, (Written, WriteFailed))
            assert (b.engine.get(b"key %d" % after.id) is not None) == written


@pytest.mark.asyncio
async def test_what_is_not_durable_yet_is_built_on_but_not_shown() -> None:
    async with bench() as b:
        b.engine.apply([(b"a", b"old"), (b"c", b"old")], sync=True)
        b.engine.go.clear()
        b.write(1, key=b"a")
        b.write(2, key=b"b")
        b.committer.commit()
        b.write(3, key=b"b")
        assert b.committer.visible(b"a") == b"old"
        assert b.committer.visible(b"b") is None
        assert b.committer.newest(b"a") == b"value 1"
        assert b.committer.newest(b"b") == b"value 3"
        assert b.committer.newest(b"c") == b"old"
        assert list(b.committer.scan(b"", b"z")) == [
            (b"a", b"value 1"),
            (b"b", b"value 3"),
            (b"c", b"old"),
        ]
        assert list(b.committer.scan(b"b", b"c")) == [(b"b", b"value 3")]
        b.engine.go.set()
        b.committer.commit()
        await b.done(3)
        assert b.committer.visible(b"b") == b.committer.newest(b"b") == b"value 3"
        assert not b.committer._newest, "what is applied is held only once"


@pytest.mark.asyncio
async def test_an_older_write_does_not_hide_a_newer_one_of_the_same_key() -> None:
    async with bench() as b:
        b.engine.go.clear()
        b.write(1, key=b"k")
        b.committer.commit()
        b.write(2, key=b"k")
        b.committer.commit()

        def fail_and_hold() -> None:
            b.engine.go.clear()
            raise DiskFull("no space")

        b.engine.fault = fail_and_hold
        b.engine.go.set()
        await b.done(1)
        assert b.committer.newest(b"k") == b"value 2", "the first one failed, the second waits"


@pytest.mark.asyncio
async def test_an_unsynced_write_needs_no_thread() -> None:
    async with bench(Durability.OS) as b:
        b.write(1)
        b.committer.commit()
        assert b.outcomes() == [1], "released within the call"
        assert b.engine.batches == [([(b"key 1", b"value 1")], False)]


@pytest.mark.asyncio
async def test_one_synced_write_makes_its_whole_batch_synced() -> None:
    async with bench(Durability.OS) as b:
        b.write(1)
        b.write(2, synced=True)
        b.committer.commit()
        assert not b.outcomes()
        b.write(3)
        b.committer.commit()
        await b.done(3)
        assert [sync for _, sync in b.engine.batches] == [True, False]
        assert b.outcomes() == [1, 2, 3]


@pytest.mark.asyncio
async def test_the_engine_has_one_user_at_a_time() -> None:
    async with bench(Durability.INTERVAL) as b:
        for number in range(200):
            b.write(number, synced=number % 3 == 0)
            b.committer.commit()
            b.committer.flush_soon()
            if number % 10 == 0:
                await asyncio.sleep(0)
        await b.done(200)
        await b.committer.wait_idle()
        assert b.engine.most_inside == 1
        assert b.engine.flushes


@pytest.mark.asyncio
async def test_a_flush_asked_for_while_busy_comes_afterwards() -> None:
    async with bench(Durability.INTERVAL) as b:
        b.engine.go.clear()
        b.write(1, synced=True)
        b.committer.commit()
        for _ in range(5):
            b.committer.flush_soon()
        assert not b.engine.flushes
        b.engine.go.set()
        await until_async(lambda: b.engine.flushes, "the flush")
        await b.committer.wait_idle()
        assert b.engine.flushes == ["dynamokv-commit"], "five wishes are one"


@pytest.mark.asyncio
async def test_a_flush_that_fails_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(Durability.INTERVAL) as b:
        b.engine.fault = fails(StorageError("the disk is gone"))
        b.committer.flush_soon()
        await until_async(lambda: b.committer.failures, "the failure")
        assert "the disk is gone" in b.committer.last_error
        assert "the disk is gone" in caplog.text


@pytest.mark.parametrize("error", [DiskFull("no space left"), OSError(28, "ENOSPC"), KeyError("k")])
@pytest.mark.parametrize("durability", [Durability.FSYNC, Durability.OS])
@pytest.mark.asyncio
async def test_whatever_an_engine_raises_is_a_failed_write(
    error: Exception, durability: Durability, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(durability) as b:
        b.engine.fault = fails(error)
        for number in range(3):
            b.write(number)
            b.committer.commit()
            await b.done(number + 1)
        failed = b.released[0]
        assert isinstance(failed, WriteFailed)
        assert failed.reason.startswith(type(error).__name__)
        assert b.committer.last_error == failed.reason
        lines = [r for r in caplog.records if "a write to the local store failed" in r.message]
        assert len(lines) == 1, "said once, not for every write"
        b.engine.fault = lambda: None
        b.write(4)
        b.committer.commit()
        await b.done(4)
        assert isinstance(b.released[3], Written), "and when there is space again, it goes on"
        assert b.committer.last_error == "", "and the node is healthy again"


@pytest.mark.asyncio
async def test_what_an_engine_says_is_cut_to_what_a_message_carries() -> None:
    async with bench() as b:
        b.engine.fault = fails(StorageError("x" * 100_000))
        b.write(1)
        b.committer.commit()
        await b.done(1)
        assert isinstance(b.released[0], WriteFailed)
        assert len(b.released[0].reason) == ERROR_TEXT_MAX


@pytest.mark.asyncio
async def test_only_failed_writes_of_requests_are_told_why() -> None:
    send = Send(b"peer", Replicated(1))
    async with bench() as b:
        b.engine.fault = fails(DiskFull("no space"))
        b.committer.write(Write([(b"k", b"v")], send, PageStored(b"peer", None)))
        b.committer.write(Write([(b"l", b"v")], send))
        b.committer.commit()
        await b.done(1)
        await b.committer.wait_idle()
        assert b.released == [PageStored(b"peer", None)]


@pytest.mark.asyncio
async def test_what_is_released_may_write_again() -> None:
    """The next commit is not lost when it comes out of the release of the last one."""
    async with bench(Durability.OS) as b:
        seen: list[After] = []

        def release(released: list[After]) -> None:
            seen.extend(released)
            if len(seen) < 20:
                b.write(len(seen), synced=len(seen) % 2 == 0)
                b.committer.commit()

        b.committer.release = release
        b.write(0)
        b.committer.commit()
        await until_async(lambda: len(seen) == 20, "twenty writes, each brought about by the last")


@pytest.mark.asyncio
async def test_close_waits_for_the_disk_and_writes_nothing_new() -> None:
    b = Bench(Durability.FSYNC)
    b.engine.go.clear()
    b.write(1)
    b.committer.commit()
    b.write(2)
    closing = asyncio.get_running_loop().run_in_executor(None, b.committer.close)
    await until_async(lambda: b.committer._closed, "the close has begun")
    b.committer.commit()
    b.committer.flush_soon()
    assert not b.engine.closed_by
    b.engine.go.set()
    await closing
    assert b.engine.closed_by == ["dynamokv-commit"]
    assert b.engine.get(b"key 1")
    assert b.engine.get(b"key 2") is None
    await b.done(1)
    assert b.outcomes() == [1]


def test_an_engine_that_cannot_close_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(MemoryEngine):
        def close(self) -> None:
            raise StorageError("flush failed")

    async def main() -> None:
        Committer(Stubborn(), Durability.OS, asyncio.get_running_loop()).close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "flush failed" in caplog.text


def test_a_disk_that_outlives_its_loop_does_no_harm() -> None:
    """The process closed after its two seconds, and the disk came back later."""
    made: list[Bench] = []

    async def main() -> None:
        made.append(Bench(Durability.FSYNC))
        made[0].engine.go.clear()
        made[0].write(1)
        made[0].committer.commit()

    asyncio.run(main())
    made[0].engine.go.set()
    made[0].committer.close()
    assert made[0].engine.get(b"key 1")
    assert not made[0].released


def test_one_that_nobody_closed_lets_go_of_its_store(tmp_path: Path) -> None:
    """In a notebook or a test the next one opens the same directory."""

    async def main() -> None:
        engine = LSMEngine(tmp_path)
        committer = Committer(engine, Durability.OS, asyncio.get_running_loop())
        committer.write(Write([(b"k", b"v")]))
        committer.commit()

    asyncio.run(main())
    gc.collect()
    names = [thread.name for thread in threading.enumerate()]
    until(lambda: "dynamokv-commit" not in [t.name for t in threading.enumerate()], str(names))
    engine = LSMEngine(tmp_path)
    assert engine.get(b"k") == b"v"
    engine.close()
