"""The check that every decoded message passes."""

from __future__ import annotations

import pytest

from benchmarks.micro.samples import (
    NAME,
    NODES,
    PLAIN,
    Benchmark,
    fetch,
    get_request,
    put_request,
    replicate,
)
from dynamokv.wire import keys as row_keys
from dynamokv.wire import messages as m
from dynamokv.wire.messages import Message
from dynamokv.wire.schema import TAG_OF, check_message

KEY = row_keys.row_key(1, NAME)
MESSAGES: list[Message] = [
    replicate(KEY),
    m.Replicated(1),
    fetch(KEY),
    m.Fetched(1, [PLAIN]),
    m.Same(1),
    put_request(),
    get_request(),
    m.GetDone(1, 1, 2, list(NODES[:2]), [PLAIN], []),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_check(benchmark: Benchmark, message: Message) -> None:
    fields = [TAG_OF[type(message)], *message]
    assert benchmark(check_message, fields) == message
