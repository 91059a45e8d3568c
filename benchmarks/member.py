"""A member in a process of its own, with the blocking face; told line by line what to measure."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import workload
from benchmarks.child import say
from benchmarks.workload import MICROSECONDS, REPETITIONS, keys
from dynamokv import Consistency, Durability, Node, NodeConfig
from dynamokv.protocol.state.forest import Forest
from dynamokv.runtime.commit_queue import CommitQueue

WITHOUT_TREES = "--without-trees"


def config_of(data_dir: Path, seeds: tuple[str, ...]) -> NodeConfig:
    """The settings of every member here. A finished configuration: what stands in the environment
    is meant for other members."""
    return NodeConfig(
        address="127.0.0.1:0", data_dir=data_dir, seeds=seeds, durability=Durability.OS
    )


def local(node: Node, count: int) -> float:
    """Microseconds of a get at ONE."""
    get, one = node.get, Consistency.ONE
    work = list(keys(count))

    def repetition() -> float:
        started = time.perf_counter()
        for key in work:
            get(key, consistency=one)
        return (time.perf_counter() - started) / count

    return min(repetition() for _ in range(REPETITIONS)) * MICROSECONDS


def latencies(node: Node, count: int) -> tuple[float, float]:
    """p50 and p99 of a get at QUORUM, in microseconds."""
    return workload.p50_p99(workload.blocking_latencies(node.get, count))


def rate(node: Node, count: int) -> float:
    """Gets a second at QUORUM, from several threads."""
    return workload.blocking_rate(node.get, count)


@contextlib.contextmanager
def without_trees() -> Iterator[None]:
    """Members that are made meanwhile keep no trees, then and later: there are none to compare, and
    no write looks whether there are."""
    forest_made, queue_made = Forest.__init__, CommitQueue.__init__

    def make_forest(forest: Forest, *arguments: Any) -> None:
        forest_made(forest, *arguments)
        forest.adopt = lambda *_: None  # type: ignore[method-assign]

    def make_queue(queue: CommitQueue, *arguments: Any) -> None:
        queue_made(queue, *arguments)
        queue._look_before = lambda batch: None  # type: ignore[method-assign]

    with (
        mock.patch.object(Forest, "__init__", make_forest),
        mock.patch.object(CommitQueue, "__init__", make_queue),
    ):
        yield


CALLS: dict[str, Callable[..., Any]] = {"local": local, "latencies": latencies, "rate": rate}


def main() -> None:
    """Join, answer until stdin ends, and stop cleanly."""
    data_dir, *seeds = sys.argv[1:]
    without = without_trees() if WITHOUT_TREES in seeds else contextlib.nullcontext()
    seeds = [seed for seed in seeds if seed != WITHOUT_TREES]
    with without, Node(config=config_of(Path(data_dir), tuple(seeds))) as node:
        say(node.address)
        for line in sys.stdin:
            do, arguments = json.loads(line)
            say(CALLS[do](node, **arguments))


if __name__ == "__main__":
    main()
