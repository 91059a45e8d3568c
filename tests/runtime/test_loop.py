"""A runtime's life: joining, or saying why not; closing, at any moment and more than once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dynamokv import limits
from dynamokv.config import ClientConfig, NodeConfig
from dynamokv.errors import (
    ClosedError,
    ClusterMismatch,
    DataDirLocked,
    JoinTimeout,
    StorageError,
)
from dynamokv.ports import Row, StorageEngine
from dynamokv.protocol.state.identity import Identity
from dynamokv.ring.topology import Topology
from dynamokv.runtime import arrival
from dynamokv.runtime.loop import Runtime
from dynamokv.runtime.open import open_client, open_node
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.memory import MemoryEngine
from dynamokv.transport.zeromq import ZeroMQTransport
from dynamokv.wire import codec
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from tests.waiting import until_async

NOBODY = "127.0.0.1:1"


def put_request(name: bytes = b"key", budget_ms: int = 5000) -> m.PutRequest:
    return m.PutRequest(
        0, 0, budget_ms, 0, True, False, 0, [row_keys.name_of(b"", name)], [b"v"], []
    )


def submit(runtime: Runtime, request: m.PutRequest) -> asyncio.Future[m.Message]:
    future: asyncio.Future[m.Message] = runtime.loop.create_future()
    runtime.submit(request, future)
    return future


@pytest.mark.asyncio
async def test_a_ring_of_one_serves_and_closes() -> None:
    runtime = await open_node(NodeConfig(), 20.0)
    reply = await submit(runtime, put_request())
    assert isinstance(reply, m.PutDone)
    await runtime.close()
    await runtime.close()
    assert runtime.closed


@pytest.mark.asyncio
async def test_after_the_close_requests_are_refused() -> None:
    runtime = await open_node(NodeConfig(), 20.0)
    await runtime.close()
    with pytest.raises(ClosedError):
        await submit(runtime, put_request())


@pytest.mark.asyncio
async def test_requests_under_way_are_told_of_the_close() -> None:
    runtime = await open_node(NodeConfig(), 20.0)
    futures = [submit(runtime, put_request(b"%d" % number)) for number in range(50)]
    await runtime.close()
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {ClosedError, m.PutDone}
    assert any(isinstance(outcome, ClosedError) for outcome in outcomes)


@pytest.mark.asyncio
async def test_nobody_to_join_is_said_with_the_seeds() -> None:
    config = NodeConfig(seeds=(NOBODY, "127.0.0.1:2"))
    with pytest.raises(
        JoinTimeout, match=r":1 \(no answer\), 127\.0\.0\.1:2 \(no answer\)"
    ) as caught:
        await open_node(config, 0.3)
    assert "0.3 s" in str(caught.value)
    assert f"least address, {NOBODY}, founds the ring" in str(caught.value)


@pytest.mark.asyncio
async def test_who_waits_says_so_once_and_never_after_it_gave_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def said(patience: float, timeout: float) -> list[str]:
        monkeypatch.setattr(arrival, "PATIENCE_SECONDS", patience)
        caplog.clear()
        with pytest.raises(JoinTimeout):
            await open_node(NodeConfig(seeds=(NOBODY, "127.0.0.1:2")), timeout)
        return [line for line in caplog.messages if "and waiting: " in line]

    (line,) = await said(patience=0.1, timeout=0.5)
    assert f"{NOBODY} (no answer)" in line
    assert await said(patience=0.4, timeout=0.2) == []
    assert await said(patience=60.0, timeout=0.5) == [], "the one before has given up"


@pytest.mark.asyncio
async def test_no_member_to_connect_to_is_said_with_the_nodes() -> None:
    with pytest.raises(JoinTimeout, match=r"127\.0\.0\.1:1"):
        await open_client(ClientConfig(nodes=(NOBODY,)), 0.3)


@pytest.mark.asyncio
async def test_a_member_that_cannot_be_filled_says_so(tmp_path: Path) -> None:
    """In the ring, still without its copy, and whoever has it is gone."""
    first = await open_node(NodeConfig(data_dir=tmp_path / "a"), 20.0)
    config = NodeConfig(seeds=(first.home.settings.address,), data_dir=tmp_path / "b")
    second = await open_node(config, 20.0)
    await first.close()
    await second.close()
    engine = LSMEngine(tmp_path / "b")
    row = engine.get(row_keys.TOPOLOGY_ROW)
    assert row is not None
    topology = replace(Topology.decode(codec.decode(row)), change=second.home.node_id)
    engine.apply([(row_keys.TOPOLOGY_ROW, codec.encode(topology.encode()))], sync=True)
    engine.close()
    config = replace(config, address=second.home.settings.address)
    with pytest.raises(JoinTimeout, match=r"0 rows so far, from 127.*\(not reached\)"):
        await open_node(config, 0.5)


@pytest.mark.asyncio
async def test_a_ring_of_another_name_refuses() -> None:
    runtime = await open_node(NodeConfig(cluster="ours"), 20.0)
    address = runtime.home.settings.address
    with pytest.raises(ClusterMismatch, match=r"'ours'.*'theirs'"):
        await open_node(NodeConfig(cluster="theirs", seeds=(address,)), 20.0)
    with pytest.raises(ClusterMismatch, match=r"'ours'.*'theirs'"):
        await open_client(ClientConfig(cluster="theirs", nodes=(address,)), 20.0)
    await runtime.close()


@pytest.mark.asyncio
async def test_a_join_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(JoinTimeout):
            await open_node(NodeConfig(seeds=(NOBODY,), data_dir=tmp_path), 0.05)
    LSMEngine(tmp_path).close()
    assert "dynamokv-commit" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.asyncio
async def test_a_join_that_is_given_up_leaves_nothing_open(tmp_path: Path) -> None:
    for rounds in (0, 1, 3, 10, 50):
        config = NodeConfig(seeds=(NOBODY,), data_dir=tmp_path)
        task = asyncio.create_task(open_node(config, 20.0))
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        def free() -> bool:
            try:
                LSMEngine(tmp_path).close()
            except DataDirLocked:
                return False
            return True

        await until_async(free, f"the store is let go of, after {rounds} rounds")


class SlowEngine(MemoryEngine):
    """Takes its time to open, to write, or to close."""

    def __init__(self, opens: threading.Event, writes: threading.Event) -> None:
        super().__init__()
        opens.wait(20.0)
        self.writes = writes
        self.closed = False

    def apply(self, batch: Sequence[Row], *, sync: bool) -> None:
        self.writes.wait(20.0)
        super().apply(batch, sync=sync)

    def close(self) -> None:
        self.closed = True


@pytest.mark.asyncio
async def test_a_store_that_opens_too_late_is_closed_again(tmp_path: Path) -> None:
    opens, writes = threading.Event(), threading.Event()
    made: list[SlowEngine] = []

    def engine(_: Path) -> StorageEngine:
        made.append(SlowEngine(opens, writes))
        return made[0]

    task = asyncio.create_task(open_node(NodeConfig(data_dir=tmp_path, engine=engine), 20.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    opens.set()
    await until_async(lambda: made and made[0].closed, "it is closed")


@pytest.mark.asyncio
async def test_a_stuck_disk_does_not_hold_the_close(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opens, writes = threading.Event(), threading.Event()
    opens.set()
    writes.set()
    made = SlowEngine(opens, writes)
    runtime = await open_node(NodeConfig(data_dir=tmp_path, engine=lambda _: made), 20.0)
    writes.clear()
    future = submit(runtime, put_request())
    started = time.monotonic()
    await runtime.close()
    assert time.monotonic() - started < limits.CLOSE_SECONDS_MAX
    assert "in the background" in caplog.text
    with pytest.raises(ClosedError):
        await future
    assert not made.closed
    writes.set()
    await until_async(lambda: made.closed, "it is closed when the disk is back")


@pytest.mark.asyncio
async def test_a_clean_stop_is_written_down(tmp_path: Path) -> None:
    runtime = await open_node(NodeConfig(data_dir=tmp_path), 20.0)
    await submit(runtime, put_request())
    await runtime.close()
    engine = LSMEngine(tmp_path)
    row = engine.get(row_keys.IDENTITY_ROW)
    engine.close()
    assert row is not None
    identity = Identity.decode(row)
    assert identity.clean
    assert identity.actor == runtime.home.actor


@pytest.mark.parametrize("error", [StorageError("broken"), ValueError("foreign")])
@pytest.mark.asyncio
async def test_a_store_that_does_not_open_is_said_so(tmp_path: Path, error: Exception) -> None:
    def engine(_: Path) -> StorageEngine:
        raise error

    with pytest.raises(type(error), match=str(error)):
        await open_node(NodeConfig(data_dir=tmp_path, engine=engine), 20.0)


@pytest.mark.asyncio
async def test_a_loop_that_is_held_is_seen_to_be_late() -> None:
    runtime = await open_node(NodeConfig(), 20.0)
    never = threading.Event()
    late = runtime.background
    await until_async(lambda: never.wait(0.7) or late.loop_lag > 0.05, "the lag is seen")
    await runtime.close()


@pytest.mark.asyncio
async def test_a_transport_error_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bind that fails closes the store that was opened before it."""

    def fail(self: ZeroMQTransport, address: str) -> str:
        raise OSError("no sockets today")

    monkeypatch.setattr(ZeroMQTransport, "bind", fail)
    made = MemoryEngine()
    closed: list[int] = []
    monkeypatch.setattr(made, "close", lambda: closed.append(1))
    with pytest.raises(OSError, match="no sockets"):
        await open_node(NodeConfig(data_dir=Path("unused"), engine=lambda _: made), 20.0)
    assert closed == [1]
