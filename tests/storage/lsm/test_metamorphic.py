"""The same operations under many options: block and memtable sizes, caches, styles of compaction,
reopening at any moment. Answers must never depend on any of it.

The idea is pebble's metamorphic test; the yardstick is ``MemoryEngine``. A failure prints the seed,
the options and the operations; ``DYNAMOKV_METAMORPHIC_SEED`` runs one seed again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from dynamokv.ports import FileSystem, Row
from dynamokv.storage.files import RealFiles
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.options import Compaction, Compression, LSMOptions
from dynamokv.storage.memory import MemoryEngine
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.lsm.stores import NoLock

SEEDS: Final = 30
OPTION_SETS: Final = 3
"""For each seed."""

END: Final = b"\xff" * 40

Operation: TypeAlias = tuple[str, Any]


def random_options(rng: random.Random) -> LSMOptions:
    merge_tables = rng.randrange(2, 5)
    return LSMOptions(
        memtable_bytes=rng.choice((300, 1_000, 3_000, 20_000)),
        cache_bytes=rng.choice((0, 500, 3_000, 1 << 20)),
        block_bytes=rng.choice((64, 100, 400, 4096)),
        compression=rng.choice(list(Compression)),
        bloom_bits=rng.choice((0, 1, 12)),
        compaction=rng.choice(list(Compaction)),
        table_bytes=rng.choice((200, 1_000, 5_000)),
        level_bytes=rng.choice((400, 2_000, 10_000)),
        level_ratio=rng.randrange(2, 5),
        merge_tables=merge_tables,
        slow_tables=merge_tables + rng.randrange(3),
        stop_tables=merge_tables + 3 + rng.randrange(4),
    )


def random_key(rng: random.Random) -> bytes:
    """Few and short, so that they meet; some with much in common."""
    return rng.choice((b"", b"\0", b"a", b"a\0", b"common ")) + b"%d" % rng.randrange(10)


def random_operations(rng: random.Random, count: int) -> list[Operation]:
    return [random_operation(rng) for _ in range(count)]


def random_operation(rng: random.Random) -> Operation:
    kind = rng.choices(
        ("apply", "get", "scan", "drop", "flush", "reopen", "checkpoint"),
        (50, 30, 8, 2, 3, 3, 1),
    )[0]
    if kind == "apply":
        rows: list[Row] = [
            (random_key(rng), None if rng.random() < 0.2 else rng.randbytes(rng.randrange(120)))
            for _ in range(rng.randrange(1, 8))
        ]
        return kind, (rows, rng.random() < 0.2)
    if kind == "get":
        return kind, random_key(rng)
    if kind in ("scan", "drop"):
        return kind, (random_key(rng), random_key(rng))
    return kind, None


@dataclass
class Run:
    """One store against the yardstick."""

    files: FileSystem
    directory: Path
    rng: random.Random
    background: bool
    used: list[LSMOptions] = field(default_factory=list)
    copies: int = 0
    answers: int = 0
    flushes: int = 0
    merges: int = 0

    def __post_init__(self) -> None:
        self.memory = MemoryEngine()
        self.engine = self.open()

    def open(self) -> LSMEngine:
        self.used.append(random_options(self.rng))
        engine = LSMEngine(
            self.directory,
            self.used[-1],
            files=self.files,
            salt=lambda: self.rng.randbytes(8),
            lock=NoLock,
            background=self.background,
            clock=lambda: 0.0,
        )
        assert not engine.forgot
        return engine

    def close(self) -> None:
        counters = self.engine.chores.counters
        self.flushes += counters["flushes"]
        self.merges += counters["merges"] + counters["moves"]
        self.engine.close()

    def do(self, operation: Operation) -> None:
        kind, argument = operation
        actions: dict[str, Callable[[Any], None]] = {
            "apply": self.apply,
            "get": self.get,
            "scan": self.scan,
            "drop": self.drop,
            "flush": lambda _: self.engine.flush(),
            "reopen": lambda _: self.reopen(),
            "checkpoint": lambda _: self.checkpoint(),
        }
        actions[kind](argument)

    def apply(self, argument: tuple[list[Row], bool]) -> None:
        rows, sync = argument
        self.memory.apply(rows, sync=sync)
        self.engine.apply(rows, sync=sync)

    def get(self, key: bytes) -> None:
        assert self.engine.get(key) == self.memory.get(key)
        self.answers += 1

    def scan(self, bounds: tuple[bytes, bytes]) -> None:
        assert list(self.engine.scan(*bounds)) == list(self.memory.scan(*bounds))
        self.answers += 1

    def drop(self, bounds: tuple[bytes, bytes]) -> None:
        self.memory.drop(*bounds)
        self.engine.drop(*bounds)

    def reopen(self) -> None:
        self.close()
        self.engine = self.open()

    def checkpoint(self) -> None:
        """Go on in the copy."""
        self.copies += 1
        copy = self.directory.with_name(f"copy-{self.copies}")
        self.engine.checkpoint(copy)
        self.close()
        self.directory = copy
        self.engine = self.open()


def check(seed: int, files: FileSystem, directory: Path, *, background: bool, count: int) -> Run:
    rng = random.Random(seed)
    operations = random_operations(random.Random(seed // OPTION_SETS), count)
    run = Run(files, directory, rng, background)
    done = 0
    try:
        for operation in operations:
            done += 1
            run.do(operation)
        run.scan((b"", END))
    except BaseException as error:
        told = [f"seed {seed}, operation {done} of {len(operations)}", "options, one a reopening:"]
        told += map(str, run.used)
        told += ["operations:", *map(repr, operations[:done])]
        raise AssertionError("\n".join(told)) from error
    finally:
        run.close()
    return run


def seeds(count: int) -> list[int]:
    one = os.environ.get("DYNAMOKV_METAMORPHIC_SEED")
    return list(range(count)) if one is None else [int(one)]


def check_many(count: int, operations: int) -> None:
    runs = [
        check(seed, SimulatedDisk(), Path("/store"), background=False, count=operations)
        for seed in seeds(count)
    ]
    assert sum(run.answers for run in runs) > 10 * len(runs)
    assert sum(run.flushes for run in runs) > 5 * len(runs)
    assert sum(run.merges for run in runs) > len(runs)


def test_answers_do_not_depend_on_options() -> None:
    check_many(SEEDS, 200)


@pytest.mark.parametrize("seed", range(1000, 1004))
def test_nor_on_threads(seed: int, tmp_path: Path) -> None:
    run = check(seed, RealFiles(), tmp_path / "store", background=True, count=300)
    assert run.answers > 10


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_thousands_of_option_sets() -> None:
    check_many(3000, 500)
