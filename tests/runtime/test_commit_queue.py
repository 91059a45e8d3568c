"""Rows that go: what is newest while their end is on its way."""

from __future__ import annotations

from dynamokv.errors import DiskFull
from dynamokv.ports import Change, Told
from dynamokv.protocol.effects import Write
from dynamokv.runtime.commit_queue import CommitQueue, Job
from dynamokv.storage.memory import MemoryEngine
from dynamokv.types import Durability

KEY = b"\x00\x00\x01k"


class Queue(CommitQueue):
    """One whose disk works when told to."""

    def __init__(self) -> None:
        super().__init__(MemoryEngine(), Durability.FSYNC)
        self.jobs: list[Job] = []

    def _start(self, job: Job) -> None:
        self.jobs.append(job)

    def put(self, record: bytes | None) -> None:
        self.write(Write([(KEY, record)]))
        self.commit()

    def finish(self, error: str | None = None) -> None:
        work, tell = self.jobs.pop(0)
        tell(work() if error is None else error)

    def rows(self) -> list[tuple[bytes, bytes]]:
        return list(self.scan(b"", b"\xff"))


def test_a_row_on_its_way_out_is_gone_for_writes_and_there_for_reads() -> None:
    queue = Queue()
    queue.put(b"1")
    queue.finish()
    queue.put(None)
    assert queue.newest(KEY) is None
    assert queue.visible(KEY) == b"1"
    assert queue.rows() == []
    queue.finish()
    assert queue.visible(KEY) is None
    assert not queue._newest, "what is applied is held only once"


def test_a_refused_end_leaves_the_row() -> None:
    queue = Queue()
    queue.put(b"1")
    queue.finish()
    queue.put(None)
    queue.finish(str(DiskFull("no room")))
    assert queue.newest(KEY) == b"1"
    assert queue.rows() == [(KEY, b"1")]


def test_the_first_of_two_ends_does_not_uncover_what_stood_between_them() -> None:
    queue = Queue()
    queue.put(None)
    queue.put(b"1")
    queue.put(None)
    queue.finish()  # the first end; the others are one batch
    assert queue.newest(KEY) is None
    queue.finish()
    assert queue.newest(KEY) is None
    assert queue.rows() == []


def test_a_row_that_comes_back_is_newest_before_its_end_is_done() -> None:
    queue = Queue()
    queue.put(None)
    queue.put(b"2")
    queue.finish()
    assert queue.newest(KEY) == b"2"
    assert queue.rows() == [(KEY, b"2")]


class Book:
    """An account that has some rows still at hand."""

    def __init__(self, **told: Told) -> None:
        self.at_hand = {name.encode(): heads for name, heads in told.items()}
        self.heard: list[Change] = []

    def follows(self, key: bytes) -> bool:
        return key != b"other"

    def told(self, key: bytes) -> Told | None:
        return self.at_hand.get(key)

    def changed(self, changes: list[Change]) -> None:
        self.heard += changes

    def lost_track(self, key: bytes) -> None:
        raise AssertionError(key)


def test_what_the_account_has_at_hand_is_not_read_again() -> None:
    queue = Queue()
    queue.account = book = Book(known=(None, b"head"), gone=(b"head", None))
    rows = [(b"known", b"1"), (b"gone", b"2"), (b"new", b"3"), (b"new", b"4"), (b"other", b"5")]
    read = []

    def get(key: bytes) -> bytes | None:
        read.append(key)
        return None

    queue.engine.get = get  # type: ignore[method-assign]
    queue.write(Write(rows))
    queue.commit()
    queue.finish()
    assert book.heard == [
        (b"known", b"head", b"1"),
        (b"gone", None, b"2"),
        (b"new", None, b"3"),
        (b"new", b"3", b"4"),
    ]
    assert read == [b"new"]
