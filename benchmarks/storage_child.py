"""One engine in a process of its own; told line by line what to measure.

Calls are timed two ways, in slices that take turns: a whole slice at once for the rate, so that the
timer does not count (the loop is C, and costs 0.02 us a call, which is not taken off); and each
call alone for the percentiles, of which the timer's own time is taken off.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from xxhash import xxh3_128_digest

from benchmarks.child import say
from benchmarks.storage_engines import CONTESTANTS, Budget, Contestant, settle
from benchmarks.storage_figures import PERCENTILES
from dynamokv.limits import MiB
from dynamokv.runtime.latency import percentile

PARTITIONS: Final = 512
KEYSPACE: Final = b"\0"
SLICE_CALLS: Final = 1000
HOT_KEYS: Final = 100
GROUP_ROWS: Final = 64
GETS_PER_PUT: Final = 0.1
"""While all is overwritten."""

STEADY_PUTS_PER_SECOND: Final = 40_000
"""Of the steady writer: what two or three members' callers put, and a third of what a store takes
at most. At the most, a latency says how processes share the cores, and little of the store."""

STEADY_PUTS: Final = 100
"""That it puts at once."""

_POOL: Final = random.Random(0).randbytes(MiB)
_clock = time.perf_counter_ns


class WrongValue(Exception):
    """A get brought something else than was put."""


def partition_start(number: int) -> bytes:
    """The least key of a partition."""
    return number.to_bytes(2, "big") + KEYSPACE


def key_of(number: int) -> bytes:
    """Partition, keyspace, and 20 bytes that look random."""
    digest = xxh3_128_digest(b"", seed=number)
    return partition_start(digest[0] << 1 | digest[1] >> 7) + digest + number.to_bytes(4, "big")


def value_of(number: int, size_bytes: int) -> bytes:
    """Half of it random, half of it repeated."""
    half = size_bytes // 2
    start = number * 7919 % (len(_POOL) - half)
    return _POOL[start : start + half] + b"." * (size_bytes - half)


def timer_cost() -> int:
    """Nanoseconds between two looks at the clock."""
    return min(-_clock() + _clock() for _ in range(1000))


class Stopwatch:
    """What some calls took, whichever way they were timed."""

    def __init__(self) -> None:
        self.calls = 0
        self.nanoseconds = 0
        self.single = array("q")
        self._cost = timer_cost()

    def all_at_once(self, call: Callable[..., object], *columns: Sequence[object]) -> None:
        """Time a slice as a whole."""
        started = _clock()
        deque(map(call, *columns), maxlen=0)
        self.nanoseconds += _clock() - started
        self.calls += len(columns[0])

    def one_by_one(self, call: Callable[..., object], *columns: Sequence[object]) -> None:
        """Time each call of a slice."""
        took = self.single.append
        cost = self._cost
        for arguments in zip(*columns, strict=True):
            started = _clock()
            call(*arguments)
            took(_clock() - started - cost)

    def measure(
        self, call: Callable[..., object], slices: Iterable[tuple[Sequence[object], ...]]
    ) -> None:
        """Every slice, one way and the other in turn."""
        for number, columns in enumerate(slices):
            timed = self.one_by_one if number % 2 else self.all_at_once
            timed(call, *columns)

    def percentiles(self) -> dict[str, float]:
        """In microseconds."""
        ordered = sorted(self.single)
        return {
            name: percentile(ordered, fraction) / 1000 for name, fraction in PERCENTILES.items()
        }

    def summary(self, per_call: float = 1) -> dict[str, float]:
        """The rate, of things of which a call does so many, and the percentiles of a call."""
        return {"rate": self.calls * per_call / self.nanoseconds * 1e9, **self.percentiles()}


def sliced(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """In slices, of which there are at least two."""
    size = max(1, min(SLICE_CALLS, len(numbers) // 2))
    return (numbers[at : at + size] for at in range(0, len(numbers), size))


class Bench:
    """One store, and what is done to it. Rows are numbers; all of them have a key and a value."""

    def __init__(self, name: str, directory: Path, rows: int, value_bytes: int) -> None:
        self._make = CONTESTANTS[name]
        self._directory = directory
        self._rows = rows
        self._value_bytes = value_bytes
        self._random = random.Random(1)
        self._budget = Budget()
        self.store: Contestant

    def open(self, memtable_bytes: int, cache_bytes: int) -> float:
        """Open the store and get something; milliseconds."""
        self._budget = Budget(memtable_bytes, cache_bytes)
        started = time.perf_counter()
        self.store = self._make(self._directory, self._budget)
        self.store.get(key_of(0))
        return (time.perf_counter() - started) * 1000

    def reopen(self) -> float:
        """Stop cleanly, open again; milliseconds of the opening."""
        self.store.close()
        return self.open(self._budget.memtable_bytes, self._budget.cache_bytes)

    def put(self) -> dict[str, float]:
        """Every row, once."""
        watch = Stopwatch()
        watch.measure(self.store.put, map(self._columns, sliced(range(self._rows))))
        settle(self.store)
        return watch.summary()

    def fill(self) -> None:
        """The same without a watch, whose notes would be a part of what is held in memory."""
        for part in sliced(range(self._rows)):
            for key, value in zip(*self._columns(part), strict=True):
                self.store.put(key, value)
        settle(self.store)

    def synced(self, calls: int) -> dict[str, float]:
        """Groups of rows that are put already."""
        watch = Stopwatch()
        groups = [self._columns(self._any_rows(GROUP_ROWS)) for _ in range(max(2, calls))]
        slices = (
            tuple(zip(*(groups[at] for at in part), strict=True))
            for part in sliced(range(len(groups)))
        )
        watch.measure(self.store.put_synced, slices)
        settle(self.store)
        return watch.summary(GROUP_ROWS)

    def hot(self, calls: int) -> dict[str, float]:
        """Few keys, again and again."""
        few = self._any_rows(HOT_KEYS)
        for number in few:
            self.store.get(key_of(number))
        numbers = list(itertools.islice(itertools.cycle(few), calls))
        return self._gets(numbers)

    def random(self, calls: int) -> dict[str, float]:
        """Any key."""
        return self._gets(self._any_rows(calls))

    def absent(self, calls: int) -> dict[str, float]:
        """Keys between those that are there."""
        return self._gets(range(self._rows, self._rows + calls))

    def scan(self, calls: int) -> dict[str, float]:
        """Whole partitions, picked at random."""
        found = 0

        def scan(number: int) -> None:
            nonlocal found
            rows = list(self.store.scan(partition_start(number), partition_start(number + 1)))
            found += len(rows)

        watch = Stopwatch()
        numbers = [self._random.randrange(PARTITIONS) for _ in range(max(2, calls))]
        watch.measure(scan, ((part,) for part in sliced(numbers)))
        return watch.summary(found / len(numbers))

    def mixed(self, puts: int, gets_per_put: float) -> dict[str, float]:
        """p99.9 of puts and of gets in between, in microseconds. All rows are there already."""
        putting, getting = Stopwatch(), Stopwatch()
        for part in sliced(self._any_rows(puts)):
            putting.one_by_one(self.store.put, *self._columns(part))
            reads = self._any_rows(max(1, round(len(part) * gets_per_put)))
            getting.one_by_one(self.store.get, [key_of(number) for number in reads])
        return {"put": putting.percentiles()["p999"], "get": getting.percentiles()["p999"]}

    def overwritten(self, times: int, steady: int) -> dict[str, float | None]:
        """Put some rows at a steady rate, and then so many times as many as there are, as fast as
        it goes; in any order. What was put off counts."""
        puts = self._rows * times
        before = self.store.written_bytes()
        slowly = self.steadily(steady)
        fast = self.mixed(puts, GETS_PER_PUT)
        found: dict[str, float | None] = {
            **slowly,
            **{f"{call}.fast": p999 for call, p999 in fast.items()},
            "amplification": None,
        }
        settle(self.store)
        after = self.store.written_bytes()
        if before is not None and after is not None:
            user_bytes = (puts + steady) * (len(key_of(0)) + self._value_bytes)
            found["amplification"] = (after - before) / user_bytes
        return found

    def steadily(self, puts: int) -> dict[str, float]:
        """As ``mixed``, at ``STEADY_PUTS_PER_SECOND``, or as near to it as the store comes; and the
        part of the time in which it flushed or compacted."""
        putting, getting = Stopwatch(), Stopwatch()
        numbers = self._any_rows(puts)
        working = 0
        started = time.perf_counter()
        for at in range(0, puts, STEADY_PUTS):
            due = started + at / STEADY_PUTS_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            part = numbers[at : at + STEADY_PUTS]
            putting.one_by_one(self.store.put, *self._columns(part))
            reads = self._any_rows(max(1, round(len(part) * GETS_PER_PUT)))
            getting.one_by_one(self.store.get, [key_of(number) for number in reads])
            working += self.store.busy()
        return {
            "put": putting.percentiles()["p999"],
            "get": getting.percentiles()["p999"],
            "working": working * STEADY_PUTS / puts * 100,
        }

    def _gets(self, numbers: Sequence[int]) -> dict[str, float]:
        watch = Stopwatch()
        watch.measure(
            self.store.get, (([key_of(number) for number in part],) for part in sliced(numbers))
        )
        for number in (numbers[0], numbers[-1]):
            expected = value_of(number, self._value_bytes) if number < self._rows else None
            if self.store.get(key_of(number)) != expected:
                raise WrongValue(f"row {number}")
        return watch.summary()

    def _any_rows(self, count: int) -> list[int]:
        return self._random.choices(range(self._rows), k=count)

    def _columns(self, numbers: Iterable[int]) -> tuple[list[bytes], list[bytes]]:
        numbers = list(numbers)
        size_bytes = self._value_bytes
        return [key_of(n) for n in numbers], [value_of(n, size_bytes) for n in numbers]


CALLS: Final[dict[str, Callable[..., Any]]] = {
    call.__name__: call
    for call in (
        Bench.open,
        Bench.reopen,
        Bench.put,
        Bench.fill,
        Bench.synced,
        Bench.hot,
        Bench.random,
        Bench.absent,
        Bench.scan,
        Bench.mixed,
        Bench.overwritten,
    )
}


def main() -> None:
    """Answer until stdin ends, and stop cleanly."""
    name, directory, rows, value_bytes = sys.argv[1:]
    bench = Bench(name, Path(directory), int(rows), int(value_bytes))
    say("ready")
    for line in sys.stdin:
        do, arguments = json.loads(line)
        say(CALLS[do](bench, **arguments))
    bench.store.close()


if __name__ == "__main__":
    main()
