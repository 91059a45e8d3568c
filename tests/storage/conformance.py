"""What every storage engine must do, for ours and for anybody's.

To hold your own engine to it, derive a test class and say how a store is opened::

    class TestMine(DurableConformance):
        @pytest.fixture
        def open_engine(self) -> OpenEngine:
            return MyEngine

``EngineConformance`` is for engines without a disk: there each opening may be a new store. For an
engine whose ``stats`` count the rows, say so: ``counts_rows = True``. One that sets damaged ranges
aside has ``quarantine_conformance`` to pass, too.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from dynamokv import limits
from dynamokv.errors import StorageError
from dynamokv.ports import Row, StorageEngine

OpenEngine: TypeAlias = Callable[[Path], StorageEngine]

END = b"\xff" * 2000
"""Behind every key that a test uses."""


def all_rows(engine: StorageEngine) -> dict[bytes, bytes]:
    return dict(engine.scan(b"", END))


def number(engine: StorageEngine, name: str) -> int | float:
    """A figure of its stats."""
    value = engine.stats()[name]
    assert isinstance(value, int | float)
    return value


class EngineConformance:
    """One opening of one store.

    Attributes:
        counts_rows: ``rows`` in ``stats`` is exact, and no estimate.
    """

    counts_rows = False

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        raise NotImplementedError("a derived class says how to open a store")

    @pytest.fixture
    def engine(self, open_engine: OpenEngine, tmp_path: Path) -> Iterator[StorageEngine]:
        engine = open_engine(tmp_path / "store")
        yield engine
        engine.close()

    def check_row_count(self, engine: StorageEngine, expected: int) -> None:
        counted = number(engine, "rows")
        assert counted == expected if self.counts_rows else counted >= 0

    def test_a_new_store_is_empty_and_forgot_nothing(self, engine: StorageEngine) -> None:
        assert engine.forgot is False
        assert engine.get(b"key") is None
        assert list(engine.scan(b"", END)) == []
        self.check_row_count(engine, 0)

    def test_rows_are_visible_once_applied(self, engine: StorageEngine) -> None:
        for sync in (False, True):
            engine.apply([(b"a", b"1"), (b"b", b"%d" % sync)], sync=sync)
            assert engine.get(b"a") == b"1"
            assert engine.get(b"b") == b"%d" % sync

    def test_a_value_is_replaced_and_deleted(self, engine: StorageEngine) -> None:
        engine.apply([(b"a", b"1"), (b"b", b"1")], sync=False)
        engine.apply([(b"a", b"2"), (b"b", None)], sync=False)
        assert all_rows(engine) == {b"a": b"2"}
        engine.apply([(b"b", b"3")], sync=False)
        assert all_rows(engine) == {b"a": b"2", b"b": b"3"}

    def test_deleting_what_is_not_there_does_nothing(self, engine: StorageEngine) -> None:
        engine.apply([(b"a", None)], sync=True)
        assert engine.get(b"a") is None
        self.check_row_count(engine, 0)

    def test_the_last_row_of_a_key_wins(self, engine: StorageEngine) -> None:
        engine.apply([(b"a", b"1"), (b"a", None), (b"a", b"2")], sync=False)
        engine.apply([(b"b", b"1"), (b"b", b"2"), (b"b", None)], sync=False)
        assert all_rows(engine) == {b"a": b"2"}

    def test_an_empty_batch_is_no_error(self, engine: StorageEngine) -> None:
        engine.apply([], sync=False)
        engine.apply([], sync=True)
        assert all_rows(engine) == {}

    def test_any_bytes_are_a_key_and_a_value(self, engine: StorageEngine) -> None:
        rows = {bytes([n]) * size: bytes([n]) for n in (0, 1, 127, 255) for size in (1, 2, 1024)}
        rows[b"empty"] = b""
        engine.apply(list(rows.items()), sync=True)
        assert all_rows(engine) == rows
        assert engine.get(b"empty") == b""

    def test_a_value_may_be_large(self, engine: StorageEngine) -> None:
        value = random.Random(1).randbytes(limits.RECORD_BYTES_MAX)
        engine.apply([(b"a", value)], sync=True)
        assert engine.get(b"a") == value

    def test_a_batch_may_have_many_rows(self, engine: StorageEngine) -> None:
        rows = {b"%d" % n: b"%d" % (n * n) for n in range(limits.BATCH_ITEMS_MAX)}
        engine.apply(list(rows.items()), sync=False)
        assert all_rows(engine) == rows

    def test_a_scan_is_in_byte_order_within_its_bounds(self, engine: StorageEngine) -> None:
        keys = [b"b", b"ba", b"a\xff", b"a", b"c", b"a\x00", b"\x00", b"\xff"]
        engine.apply([(key, key) for key in keys], sync=False)
        assert [key for key, _ in engine.scan(b"", END)] == sorted(keys)
        assert list(engine.scan(b"a\x00", b"ba")) == [(k, k) for k in (b"a\x00", b"a\xff", b"b")]
        assert list(engine.scan(b"a", b"a\x00")) == [(b"a", b"a")]
        assert list(engine.scan(b"b", b"b")) == []
        assert list(engine.scan(b"c", b"a")) == []

    def test_a_scan_shows_the_moment_of_its_call(self, engine: StorageEngine) -> None:
        engine.apply([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")], sync=False)
        before = engine.scan(b"", END)
        half = engine.scan(b"", END)
        assert next(half) == (b"a", b"1")
        engine.apply([(b"b", b"2"), (b"c", None), (b"d", b"2")], sync=False)
        assert list(before) == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]
        assert list(half) == [(b"b", b"1"), (b"c", b"1")]
        assert all_rows(engine) == {b"a": b"1", b"b": b"2", b"d": b"2"}

    def test_a_dropped_range_is_gone(self, engine: StorageEngine) -> None:
        keys = [b"a", b"b", b"b\x00", b"ba", b"c", b"c\x00"]
        engine.apply([(key, b"1") for key in keys], sync=False)
        before = engine.scan(b"", END)
        half = engine.scan(b"", END)
        assert next(half) == (b"a", b"1")
        engine.drop(b"b", b"c")
        assert [key for key, _ in before] == keys
        assert [key for key, _ in half] == keys[1:]
        assert engine.get(b"b\x00") is None
        assert all_rows(engine) == dict.fromkeys((b"a", b"c", b"c\x00"), b"1")
        self.check_row_count(engine, 3)
        engine.apply([(b"ba", b"2")], sync=False)
        assert engine.get(b"ba") == b"2"
        for start, end in ((b"b", b"ba"), (b"c", b"c"), (b"c", b"a")):
            engine.drop(start, end)
        assert all_rows(engine) == {b"a": b"1", b"ba": b"2", b"c": b"1", b"c\x00": b"1"}

    def test_stats_are_numbers(self, engine: StorageEngine) -> None:
        engine.apply([(b"a", b"x" * 1000), (b"b", b"")], sync=False)
        stats = engine.stats()
        self.check_row_count(engine, 2)
        assert number(engine, "storage_bytes") >= 1000
        assert all(isinstance(value, int | float | list) for value in stats.values())

    def test_flush_and_close_may_be_repeated(self, engine: StorageEngine) -> None:
        engine.apply([(b"a", b"1")], sync=False)
        engine.flush()
        engine.flush()
        engine.close()
        engine.close()

    @pytest.mark.parametrize("seed", range(5))
    def test_it_is_a_dict(self, engine: StorageEngine, seed: int) -> None:
        rng = random.Random(seed)
        oracle: dict[bytes, bytes] = {}
        for _ in range(300):
            batch = random_batch(rng)
            engine.apply(batch, sync=rng.random() < 0.1)
            apply_to_dict(oracle, batch)
            key = b"%d" % rng.randrange(30)
            assert engine.get(key) == oracle.get(key)
            if rng.random() < 0.1:
                start, end = sorted(b"%d" % rng.randrange(30) for _ in range(2))
                expected = [(k, v) for k, v in sorted(oracle.items()) if start <= k < end]
                assert list(engine.scan(start, end)) == expected
                self.check_row_count(engine, len(oracle))
        assert all_rows(engine) == oracle

    def test_reads_from_other_threads_never_fail_nor_go_back(self, engine: StorageEngine) -> None:
        done = threading.Event()
        failures: list[BaseException] = []
        scans: list[int] = []

        def read() -> None:
            newest: dict[bytes, int] = {}
            try:
                while not done.is_set():
                    rows = list(engine.scan(b"", END))
                    assert [key for key, _ in rows] == sorted(key for key, _ in rows)
                    for key, value in [*rows, (b"always", engine.get(b"always") or b"none")]:
                        assert int(value) >= newest.get(key, 0)
                        newest[key] = int(value)
                    assert number(engine, "rows") >= int(self.counts_rows)
                    scans.append(len(rows))
            except BaseException as error:
                failures.append(error)

        engine.apply([(b"always", b"1")], sync=False)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        reader = threading.Thread(target=read)
        reader.start()
        try:
            generation = 1
            while not failures and (len(scans) < 20 or generation < 200):
                generation += 1
                keys = [b"%d" % (n * generation % 300) for n in range(40)]
                batch: list[Row] = [(key, b"%d" % generation) for key in keys]
                batch += [(b"%d" % (generation * 7 % 300), None), (b"always", b"%d" % generation)]
                engine.apply(batch, sync=False)
        finally:
            done.set()
            reader.join()
            sys.setswitchinterval(interval)
        assert not failures, failures
        assert len(scans) >= 20


class DurableConformance(EngineConformance):
    """A store that outlives its engine."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    def test_rows_are_there_after_a_reopen(self, open_engine: OpenEngine, store: Path) -> None:
        rows = {b"%d" % n: b"x" * n for n in range(100)}
        engine = open_engine(store)
        engine.apply(list(rows.items()), sync=False)
        engine.apply([(b"7", None), (b"8", b"new")], sync=False)
        engine.close()
        del rows[b"7"]
        rows[b"8"] = b"new"
        for _ in range(3):
            engine = open_engine(store)
            assert engine.forgot is False
            assert all_rows(engine) == rows
            engine.close()

    def test_a_dropped_range_stays_gone(self, open_engine: OpenEngine, store: Path) -> None:
        engine = open_engine(store)
        engine.apply([(b"%05d" % n, b"x") for n in range(30_000)], sync=True)
        engine.drop(b"00001", b"29999")
        engine.apply([(b"10000", b"new")], sync=False)
        engine.close()
        engine = open_engine(store)
        assert all_rows(engine) == {b"00000": b"x", b"10000": b"new", b"29999": b"x"}
        engine.close()

    def test_a_store_can_be_opened_once_at_a_time(
        self, open_engine: OpenEngine, store: Path
    ) -> None:
        engine = open_engine(store)
        engine.apply([(b"a", b"1")], sync=True)
        with pytest.raises(StorageError):
            open_engine(store)
        engine.apply([(b"b", b"1")], sync=True)
        engine.close()
        again = open_engine(store)
        assert all_rows(again) == {b"a": b"1", b"b": b"1"}
        again.close()

    def test_a_checkpoint_is_a_store_as_of_its_call(
        self, open_engine: OpenEngine, store: Path, tmp_path: Path
    ) -> None:
        engine = open_engine(store)
        rows = {b"%d" % n: b"x" * 100 * n for n in range(100)}
        engine.apply(list(rows.items()), sync=False)
        engine.checkpoint(tmp_path / "copy")
        engine.apply([(b"1", b"later"), (b"2", None)], sync=True)
        copy = open_engine(tmp_path / "copy")
        assert copy.forgot is False
        assert all_rows(copy) == rows
        copy.apply([(b"3", b"elsewhere")], sync=True)
        assert engine.get(b"3") == rows[b"3"]
        copy.close()
        engine.close()
        copy = open_engine(tmp_path / "copy")
        assert copy.get(b"3") == b"elsewhere"
        copy.close()

    def test_a_checkpoint_needs_a_new_directory(
        self, open_engine: OpenEngine, store: Path, tmp_path: Path
    ) -> None:
        engine = open_engine(store)
        (tmp_path / "copy").mkdir()
        with pytest.raises(StorageError, match="copy"):
            engine.checkpoint(tmp_path / "copy")
        assert list((tmp_path / "copy").iterdir()) == []
        engine.apply([(b"a", b"1")], sync=True)
        engine.close()

    def test_a_checkpoint_of_nothing_opens(
        self, open_engine: OpenEngine, store: Path, tmp_path: Path
    ) -> None:
        engine = open_engine(store)
        engine.checkpoint(tmp_path / "copy")
        engine.close()
        copy = open_engine(tmp_path / "copy")
        assert copy.forgot is False
        assert all_rows(copy) == {}
        copy.close()

    @pytest.mark.parametrize("seed", range(5))
    def test_it_is_a_dict_across_reopens(
        self, open_engine: OpenEngine, store: Path, seed: int
    ) -> None:
        rng = random.Random(seed)
        oracle: dict[bytes, bytes] = {}
        engine = open_engine(store)
        for _ in range(200):
            batch = random_batch(rng)
            engine.apply(batch, sync=rng.random() < 0.1)
            apply_to_dict(oracle, batch)
            if rng.random() < 0.1:
                engine.close()
                engine = open_engine(store)
                assert engine.forgot is False
                assert all_rows(engine) == oracle
        engine.close()


def random_batch(rng: random.Random) -> list[Row]:
    """A few rows over few keys, so that they often meet."""
    return [
        (
            b"%d" % rng.randrange(30),
            None if rng.random() < 0.2 else rng.randbytes(rng.randrange(50)),
        )
        for _ in range(rng.randrange(6))
    ]


def apply_to_dict(oracle: dict[bytes, bytes], batch: list[Row]) -> None:
    for key, value in batch:
        if value is None:
            oracle.pop(key, None)
        else:
            oracle[key] = value
