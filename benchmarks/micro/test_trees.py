"""Trees: what keeping them costs an owner at each write."""

from __future__ import annotations

from benchmarks.micro.samples import NEWER, PLAIN, Benchmark
from dynamokv.merkle.tree import Tree
from dynamokv.protocol.effects import Write
from dynamokv.protocol.state.forest import Forest, Plot
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.storage.memory import MemoryEngine
from dynamokv.types import Durability
from dynamokv.wire.keys import name_of, row_key

KEY = row_key(0, name_of(b"", b"user:4711"))


class _Queue(CommitQueue):
    def _start(self, job: Job) -> None:
        raise AssertionError("nothing is synced here")


def _queue(forest: Forest | None) -> CommitQueue:
    queue = _Queue(MemoryEngine({KEY: PLAIN}), Durability.OS)
    queue.account = forest
    return queue


def test_change(benchmark: Benchmark) -> None:
    plot = Plot(Tree(7))
    plot.change(KEY, None, PLAIN)
    plot.root()

    def there_and_back() -> None:
        plot.change(KEY, PLAIN, NEWER)
        plot.root()
        plot.change(KEY, NEWER, PLAIN)
        plot.root()

    benchmark(there_and_back)
    assert plot.rows == 1


def test_write_without(benchmark: Benchmark) -> None:
    queue = _queue(None)
    write = Write([(KEY, NEWER)])

    def put() -> None:
        queue.write(write)
        queue.commit()

    benchmark(put)
    assert queue.engine.get(KEY) == NEWER


def test_write(benchmark: Benchmark) -> None:
    forest = Forest(_queue(None))
    forest.plots[0] = Plot(Tree(7))
    forest.plots[0].change(KEY, None, PLAIN)
    queue = _queue(forest)
    writes = [Write([(KEY, NEWER)]), Write([(KEY, PLAIN)])]

    def put() -> None:
        writes.reverse()
        queue.write(writes[0])
        queue.commit()

    benchmark(put)
    assert forest.rows(0) == 1
