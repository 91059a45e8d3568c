"""A process is aborted by libzmq when its receive queue is full as the peer goes away.

With heartbeats on, libzmq 4.3.5 asserts ``!_io_error`` (``stream_engine_base.cpp:310``) on the next
heartbeat after a connection broke whose input had stopped at ``RCVHWM``: issues 3937, 4364 and 4767
of zeromq/libzmq, all open. It takes an event loop that is busy for 0.3 s, or a frozen process. The
way out was an input that never stops (``RCVHWM`` 0), or heartbeats of our own.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

FULL: Final = """
import asyncio, time, zmq
from dynamokv.transport.zeromq import ZeroMQTransport

async def main():
    transport = ZeroMQTransport(asyncio.get_running_loop())
    router = transport.new_socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    peer = zmq.Context().socket(zmq.DEALER)
    peer.set(zmq.SNDHWM, 0)
    peer.connect(f"tcp://127.0.0.1:{port}")
    for _ in range(5000):
        peer.send(b"x" * 100)
    router.poll(5000)
    time.sleep(0.2)
    peer.close(0)
    time.sleep(1.0)
    print("alive", flush=True)

asyncio.run(main())
"""


def test_a_full_queue_does_not_kill_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "alive\n", done.stderr
