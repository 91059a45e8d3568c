"""Rows that go: what is newest while their end is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dynamokv.errors import DiskFull
from dynamokv.ports import Changes, Row
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
    """An account of all rows but one, which it asks the queue for."""

    def __init__(self) -> None:
        self.heard: list[Changes] = []

    def about_to_change(
        self, rows: Iterable[Row], visible: Callable[[bytes], bytes | None]
    ) -> Changes:
        after = dict(rows)
        return {key: visible(key) for key in after if key != b"other"}, after

    def changed(self, changes: Changes) -> None:
        self.heard.append(changes)

    def lost_track(self, key: bytes) -> None:
        raise AssertionError(key)


def test_the_account_hears_what_a_batch_replaces_once_that_is_done() -> None:
    queue = Queue()
    queue.account = book = Book()
    queue.put(b"1")
    queue.finish()
    queue.write(Write([(KEY, b"2"), (b"other", b"3")]))
    queue.write(Write([(KEY, b"4"), (b"new", b"5")]))
    queue.commit()
    book.heard.clear()
    queue.finish()
    after = {KEY: b"4", b"other": b"3", b"new": b"5"}
    assert book.heard == [({KEY: b"1", b"new": None}, after)]
