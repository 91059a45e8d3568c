"""``Node.step``: all that the core does for one request, without sockets, frames and disk.

The store does not change, so every turn meets what the first one met.
"""

from __future__ import annotations

from benchmarks.micro.samples import (
    NODES,
    PLAIN,
    WRITTEN_BY_ALL,
    Benchmark,
    fetch,
    get_request,
    node,
    put_request,
    replicate,
)
from dynamokv.protocol import effects as e
from dynamokv.protocol.effects import Effect
from dynamokv.types import Consistency
from dynamokv.wire import messages as m

HERE, FIRST, SECOND = NODES


def test_put_at_the_coordinator(benchmark: Benchmark) -> None:
    """From the request to the reply, and the acknowledgement that comes after it."""
    core, _ = node(0)
    request = put_request()

    def put() -> list[Effect]:
        write, *_ = core.step(e.Request(1, request))
        assert type(write) is e.Write
        assert type(write.then) is e.Written
        done = m.Replicated(write.then.id)
        core.step(write.then)
        reply = core.step(e.Received(FIRST, done))
        core.step(e.Received(SECOND, done))
        return reply

    (reply,) = benchmark(put)
    assert type(reply) is e.Reply
    assert type(reply.message) is m.PutDone


def test_replicate_at_a_replica(benchmark: Benchmark) -> None:
    core, key = node(1)
    (write,) = benchmark(core.step, e.Received(HERE, replicate(key)))
    assert type(write) is e.Write
    assert write.rows


def test_get_at_the_coordinator(benchmark: Benchmark) -> None:
    """From the request to the reply; the other owner says "same"."""
    core, _ = node(0)
    request = get_request()

    def get() -> list[Effect]:
        (ask,) = core.step(e.Request(1, request))
        assert type(ask) is e.Send
        assert type(ask.message) is m.Fetch
        return core.step(e.Received(ask.peer, m.Same(ask.message.id)))

    (reply,) = benchmark(get)
    assert type(reply) is e.Reply
    assert type(reply.message) is m.GetDone
    assert reply.message.records == [PLAIN]


def test_get_at_one(benchmark: Benchmark) -> None:
    core, _ = node(0)
    (reply,) = benchmark(core.step, e.Request(1, get_request(Consistency.ONE)))
    assert type(reply) is e.Reply


def test_fetch_at_a_replica_same(benchmark: Benchmark) -> None:
    core, key = node(1)
    (answer,) = benchmark(core.step, e.Received(HERE, fetch(key)))
    assert answer == e.Send(HERE, m.Same(1))


def test_fetch_at_a_replica_other(benchmark: Benchmark) -> None:
    core, key = node(1)
    (answer,) = benchmark(core.step, e.Received(HERE, fetch(key, WRITTEN_BY_ALL)))
    assert answer == e.Send(HERE, m.Fetched(1, [PLAIN]))
