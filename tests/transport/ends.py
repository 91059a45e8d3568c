"""Transports for tests, and what their owners hear."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

from dynamokv.transport.zeromq import ZeroMQTransport

GREETING = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + bytes(48)
"""What a ZMTP 3 peer says first: signature, version, mechanism, filler (rfc.zeromq.org/spec/23)."""

FROZEN = """
import os, signal, zmq
socket = zmq.Context().socket(zmq.ROUTER)
port = socket.bind_to_random_port("tcp://127.0.0.1")
print(port, flush=True)
while True:
    socket.recv()
    print("got", flush=True)
"""


class End:
    """A transport with a listener that writes everything down."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.sources: list[bytes] = []
        self.links: list[tuple[bytes, bool]] = []
        self.transport = ZeroMQTransport(asyncio.get_running_loop())
        self.transport.listener = self

    @property
    def up(self) -> dict[bytes, bool]:
        """The last that was said of each link."""
        return dict(self.links)

    def on_frame(self, source: bytes, frame: bytes) -> None:
        self.sources.append(source)
        self.frames.append(frame)

    def on_drained(self) -> None:
        pass

    def on_link(self, peer: bytes, up: bool) -> None:
        self.links.append((peer, up))


@contextmanager
def ends(count: int) -> Iterator[list[End]]:
    """Transports, closed at the end."""
    made: list[End] = []
    try:
        for _ in range(count):
            made.append(End())
        yield made
    finally:
        for end in made:
            end.transport.close()


@contextmanager
def raw_socket(kind: int, address: str, identity: bytes = b"") -> Iterator[zmq.Socket[bytes]]:
    """A plain ZeroMQ socket, connected: a peer that does not keep our rules."""
    with zmq.Context() as context, context.socket(kind) as raw:
        raw.setsockopt(zmq.LINGER, 2000)
        if identity:
            raw.setsockopt(zmq.IDENTITY, identity)
        raw.connect(f"tcp://{address}")
        yield raw


@contextmanager
def tcp(address: str) -> Iterator[socket.socket]:
    """A plain connection."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10.0) as connection:
        yield connection


@contextmanager
def peer_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that takes frames, and its address; for freezing and killing."""
    with subprocess.Popen(
        [sys.executable, "-c", FROZEN], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def native_threads() -> int:
    """How many threads this process has, those of C libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))
