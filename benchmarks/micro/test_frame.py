"""Frames: alone, a message pays for its frame; of 64, each pays for itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.micro.samples import NAME, NODES, PLAIN, Benchmark, fetch, replicate
from dynamokv.wire import frame as frames
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message

KEY = row_keys.row_key(1, NAME)
HEAD = frames.head(b"ring tag", NODES[0])
MESSAGES: dict[str, Callable[[int], Message]] = {
    "Replicate 1 KB": lambda id: replicate(KEY, PLAIN, id),
    "Replicated": m.Replicated,
    "Fetch": lambda id: fetch(KEY, PLAIN, id),
    "Same": m.Same,
}
each_kind = pytest.mark.parametrize("kind", MESSAGES)
each_count = pytest.mark.parametrize("count", [1, 64])


@each_kind
@each_count
def test_encode(benchmark: Benchmark, kind: str, count: int) -> None:
    messages = [MESSAGES[kind](id) for id in range(count)]
    frame = benchmark(frames.encode_frame, HEAD, messages)
    assert frames.FrameReader().messages(frame) == messages


@each_kind
@each_count
def test_decode(benchmark: Benchmark, kind: str, count: int) -> None:
    messages = [MESSAGES[kind](id) for id in range(count)]
    frame, reader = frames.encode_frame(HEAD, messages), frames.FrameReader()

    def read() -> list[Message]:
        frames.read_head(frame)
        return reader.messages(frame)

    assert benchmark(read) == messages
