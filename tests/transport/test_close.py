"""A transport that closes: soon, whatever its peers do, and with nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import zmq

from dynamokv import limits
from tests.transport.ends import (
    End,
    ends,
    native_threads,
    open_descriptors,
    peer_process,
    raw_socket,
    tcp,
)
from tests.waiting import until, until_async

LOOPBACK = "127.0.0.1:0"
ROOT = Path(__file__).resolve().parents[2]


def seconds_to_close(end: End) -> float:
    started = time.monotonic()
    end.transport.close()
    return time.monotonic() - started


async def busy(address: str) -> End:
    """An end with a link to this address and frames on their way."""
    end = End()
    end.transport.bind(LOOPBACK)
    end.transport.connect(b"peer", address)
    await until_async(lambda: end.up.get(b"peer"), "the link")
    for _ in range(200):
        end.transport.send(b"peer", bytes(100_000))
    return end


@pytest.mark.asyncio
async def test_close_with_a_live_peer() -> None:
    with ends(1) as (other,):
        end = await busy(other.transport.bind(LOOPBACK))
        assert seconds_to_close(end) < limits.CLOSE_SECONDS_MAX


@pytest.mark.asyncio
async def test_the_last_frames_still_leave() -> None:
    with ends(1) as (other,):
        end = await busy(other.transport.bind(LOOPBACK))
        end.transport.send(b"peer", b"goodbye")
        end.transport.close()
        await until_async(lambda: b"goodbye" in other.frames, "the last frame")


@pytest.mark.asyncio
async def test_close_with_dead_peers() -> None:
    with peer_process() as (process, address):
        end = await busy(address)
        process.kill()
        process.wait()
        for number in range(20):
            end.transport.connect(b"%d" % number, "127.0.0.1:1")
        assert seconds_to_close(end) < limits.CLOSE_SECONDS_MAX


@pytest.mark.asyncio
async def test_close_with_a_frozen_peer() -> None:
    with peer_process() as (process, address):
        end = End()
        end.transport.bind(LOOPBACK)
        end.transport.connect(b"peer", address)
        await until_async(lambda: end.up.get(b"peer"), "the link")
        process.send_signal(signal.SIGSTOP)
        for _ in range(limits.SEND_QUEUE_FRAMES):
            end.transport.send(b"peer", bytes(100_000))
        assert seconds_to_close(end) < limits.CLOSE_SECONDS_MAX


@pytest.mark.asyncio
async def test_a_frozen_peer_is_noticed_while_it_is_frozen() -> None:
    with ends(1) as (end,), peer_process() as (process, address):
        end.transport.connect(b"peer", address)
        await until_async(lambda: end.up.get(b"peer"), "the link")
        process.send_signal(signal.SIGSTOP)
        await until_async(lambda: not end.up[b"peer"], "its heartbeats are missed")
        assert not end.transport.send(b"peer", b"frame")
        process.send_signal(signal.SIGCONT)
        await until_async(lambda: end.up[b"peer"], "it is back")


@pytest.mark.asyncio
async def test_nothing_is_left_behind() -> None:
    """Sockets, their monitors, libzmq's threads: all of it goes, also after failures."""
    await closed_once()
    gc.collect()
    descriptors, threads = open_descriptors(), native_threads()
    for _ in range(5):
        await closed_once()
    gc.collect()
    await until_async(lambda: open_descriptors() <= descriptors, "no descriptor is left")
    await until_async(lambda: native_threads() <= threads, "no thread is left")
    assert threading.active_count() == 1 or "dynamokv" not in str(threading.enumerate())


async def closed_once() -> None:
    with ends(3) as (a, b, c):
        address = a.transport.bind(LOOPBACK)
        for end in (b, c):
            end.transport.connect(b"a", address)
        b.transport.connect(b"dead", "127.0.0.1:1")
        await until_async(lambda: b.up.get(b"a") and c.up.get(b"a"), "links")
        with raw_socket(zmq.DEALER, address) as raw, tcp(address) as stranger:
            raw.send_multipart([b"a", b"b"])
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            await until_async(lambda: a.transport.handshakes_failed, "the stranger")
        c.transport.disconnect(b"a")


@pytest.mark.asyncio
async def test_a_second_close_does_nothing() -> None:
    with ends(1) as (end,):
        end.transport.bind(LOOPBACK)
        end.transport.close()
        end.transport.close()
        assert not end.transport.send(b"anyone", b"frame")


def test_an_address_is_free_again_after_the_close() -> None:
    async def once(address: str) -> str:
        with ends(1) as (end,):
            return end.transport.bind(address)

    address = asyncio.run(once(LOOPBACK))
    for _ in range(5):
        assert asyncio.run(once(address)) == address


def test_one_that_nobody_closed_does_not_hang_the_process() -> None:
    """Its context waits for its sockets when it is collected first. Peers must see it go, too."""
    kept: list[End] = []

    async def forgetful() -> None:
        kept.append(End())
        kept[0].transport.bind(LOOPBACK)
        kept[0].transport.connect(b"dead", "127.0.0.1:1")

    asyncio.run(forgetful())
    threads = native_threads()
    kept.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
        until(lambda: native_threads() < threads, "libzmq's threads are gone")
    assert any("dropped without being closed" in str(warning.message) for warning in caught)


def test_a_process_that_forgets_to_close_still_ends() -> None:
    script = (
        "import asyncio\n"
        "from tests.transport.ends import End\n"
        "async def main():\n"
        "    global end\n"
        "    end = End()\n"
        "    end.transport.bind('127.0.0.1:0')\n"
        "    end.transport.connect(b'dead', '127.0.0.1:1')\n"
        "asyncio.run(main())\n"
        "print('done')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
