"""Whether an engine could heal what it had quarantined was guessed from names that no port had, so
engines of others were never asked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Quarantines
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.memory import MemoryEngine
from dynamokv.types import Durability


class Foreign(MemoryEngine):
    """As somebody else might write one: ranges overlap, and come in no order."""

    def __init__(self) -> None:
        super().__init__({b"%d" % n: b"row" for n in range(10)})
        self.bad = [(b"6", b"8"), (b"2", b"4"), (b"3", b"4")]
        self.healed: list[tuple[bytes, bytes]] = []

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        if any(a < end and start < b for a, b in self.bad):
            raise CorruptionError("damaged")
        return super().scan(start, end)

    def quarantined(self) -> list[tuple[bytes, bytes]]:
        return self.bad

    def heal(self, ranges: Sequence[tuple[bytes, bytes]]) -> None:
        self.healed += ranges
        self.bad = []


class Queue(CommitQueue):
    """Its jobs are done at once."""

    def _start(self, job: Job) -> None:
        do, tell = job
        tell(do())


def test_its_ranges_are_left_out_and_healed() -> None:
    engine = Foreign()
    queue = Queue(engine, Durability.OS)
    assert [key for key, _ in queue.scan_readable(b"1", b"9")] == [b"1", b"4", b"5", b"8"]
    lost = engine.quarantined()
    queue.mend(lost)
    assert engine.healed == lost
    assert len(list(queue.scan_readable(b"", b"a"))) == 10


def test_one_without_it_is_an_engine_all_the_same() -> None:
    queue = Queue(MemoryEngine({b"1": b"row"}), Durability.OS)
    queue.mend([(b"", b"a")])
    assert list(queue.scan_readable(b"", b"a")) == [(b"1", b"row")]
    assert queue.idle


@pytest.mark.parametrize("engine", [Foreign, LSMEngine])
def test_who_has_it(engine: type[object]) -> None:
    assert issubclass(engine, Quarantines)
    assert not issubclass(MemoryEngine, Quarantines)
