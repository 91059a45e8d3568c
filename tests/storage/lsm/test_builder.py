"""Building a table: its bytes, its meta, and what happens when the disk fails."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.storage.files import RealAppendFile, RealFiles, RealReadFile
from dynamokv.storage.lsm.jobs import Format
from dynamokv.storage.lsm.options import Compression
from dynamokv.storage.lsm.tree import TableMeta
from tests.storage.lsm.tables import (
    FORMAT,
    ROWS,
    ReadChanges,
    all_rows,
    broken,
    build,
    builder,
    open_table,
)


def numbered(count: int, value_bytes: int = 100) -> list[Row]:
    generator = random.Random(count)
    return [(b"key:%08d" % i, generator.randbytes(value_bytes)) for i in range(count)]


def test_the_meta_says_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table"
    meta = build(path, ROWS)
    data = path.read_bytes()
    assert meta == TableMeta(
        number=0,
        size_bytes=len(data),
        digest=xxh3_128_digest(data),
        rows=11,
        deletions=2,
        first_key=b"",
        last_key=b"pear",
        first_sequence=7,
        last_sequence=9,
    )


@pytest.mark.parametrize("step", [1, 2, 3, 40, 999, 3000])
def test_calls_do_not_show(tmp_path: Path, step: int) -> None:
    rows = numbered(3000)
    form = Format(4096, Compression.ZSTD, 10)
    making = builder(tmp_path / "steps", form)
    for at in range(0, len(rows), step):
        making.add(rows[at : at + step])
        making.add([])
    assert making.finish() == build(tmp_path / "whole", rows, form)
    assert (tmp_path / "steps").read_bytes() == (tmp_path / "whole").read_bytes()


def test_the_size_is_known_while_building(tmp_path: Path) -> None:
    making = builder(tmp_path / "table", Format(4096, Compression.NONE, 0))
    last = making.size_bytes
    for row in numbered(2000):
        making.add([row])
        assert 0 < making.size_bytes - last < 250
        last = making.size_bytes
    size = making.finish().size_bytes
    assert last < size < last * 1.1


def test_blocks_are_about_as_large_as_they_should_be(tmp_path: Path) -> None:
    for size in (64, 4096, 32 * 1024):
        path = tmp_path / str(size)
        meta = build(path, numbered(2000), Format(size, Compression.NONE, 10))
        lists = list(open_table(path, meta).rows(b"", None))
        for rows in lists[:-1]:
            taken = [len(key) + len(value or b"") + 5 for key, value in rows]
            assert sum(taken) >= size
            assert sum(taken[:-1]) < size


def test_a_large_row_has_its_block_for_itself(tmp_path: Path) -> None:
    rows: list[Row] = [(b"a", b"1"), (b"b", b"2"), (b"c", bytes(70_000)), (b"d", b"3")]
    path = tmp_path / "table"
    meta = build(path, rows, Format(4096, Compression.NONE, 10))
    assert list(open_table(path, meta).rows(b"", None)) == [rows[:2], rows[2:3], rows[3:]]


def test_compression_is_used_where_it_pays(tmp_path: Path) -> None:
    similar: list[Row] = [(b"%06d" % i, b"the same again " * 6) for i in range(2000)]
    for rows, ratio in ((similar, 0.3), (numbered(2000, 90), 1.0)):
        raw = build(tmp_path / "raw", rows, Format(4096, Compression.NONE, 10))
        zstd = build(tmp_path / "zstd", rows, Format(4096, Compression.ZSTD, 10))
        assert zstd.size_bytes <= ratio * raw.size_bytes
        assert all_rows(open_table(tmp_path / "zstd", zstd)) == rows
    noise = (tmp_path / "zstd").read_bytes()
    assert rows[1000][1] in noise  # type: ignore[operator]


@pytest.mark.parametrize(
    "calls",
    [
        [[b"b", b"a"]],
        [[b"a", b"a"]],
        [[b"a", b"b", b"b"]],
        [[b"a"], [b"a"]],
        [[b"b"], [b"a"]],
        [[b"x" * 100, b"y" * 100], [b"y" * 100]],
    ],
)
def test_keys_must_ascend(tmp_path: Path, calls: list[list[bytes]]) -> None:
    making = builder(tmp_path / "table")
    with pytest.raises(AssertionError, match="ascend"):  # noqa: PT012
        for keys in calls:
            making.add([(key, b"") for key in keys])
    making.abandon()


def test_a_table_has_rows(tmp_path: Path) -> None:
    making = builder(tmp_path / "table")
    with pytest.raises(AssertionError, match="at least one row"):
        making.finish()


def test_what_another_attempt_left_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"left behind" * 1000)
    assert all_rows(open_table(path, build(path, ROWS))) == ROWS


def test_abandon_leaves_nothing_and_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "table"
    for finished in (False, True):
        making = builder(path)
        making.add(ROWS)
        if finished:
            making.finish()
        making.abandon()
        assert not path.exists()
        making.abandon()


def test_abandon_does_not_close_the_file_of_another(tmp_path: Path) -> None:
    """The number of a closed file is given to the next one that is opened."""
    making = builder(tmp_path / "table")
    making.add(ROWS)
    making.finish()
    with (tmp_path / "other").open("wb", buffering=0) as other:
        making.abandon()
        other.write(b"still open")


@pytest.mark.parametrize("damage", ["a flipped bit", "the end is missing", "more than was written"])
@pytest.mark.parametrize("count", [1, 300, 8_700])
def test_what_is_not_read_back_is_not_believed(tmp_path: Path, damage: str, count: int) -> None:
    def change(offset: int, data: bytes) -> bytes:
        if damage == "a flipped bit":
            return data[:-1] + bytes([data[-1] ^ 1]) if data else data
        return data[:-1] if damage == "the end is missing" else data + b"\0"

    making = builder(tmp_path / "table", FORMAT, ReadChanges(change))
    making.add(numbered(count))
    with pytest.raises(CorruptionError, match="table: what was written is not what is read"):
        making.finish()
    making.abandon()
    assert not (tmp_path / "table").exists()


class Watched(RealFiles):
    """Files that say what is about to be done to them; ``before(operation)`` may raise."""

    def __init__(self, before: Callable[[str], None]) -> None:
        self.before = before

    def open_append(self, path: Path) -> RealAppendFile:
        file = super().open_append(path)
        for operation in ("append", "sync"):
            setattr(file, operation, self._watched(operation, getattr(file, operation)))
        return file

    def open_read(self, path: Path) -> RealReadFile:
        self.before("open_read")
        return super().open_read(path)

    def _watched(self, operation: str, method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            self.before(operation)
            method(*arguments)

        return call


@pytest.mark.parametrize(
    ("operation", "good"), [("append", 0), ("append", 1), ("sync", 0), ("open_read", 0)]
)
def test_errors_of_the_disk_pass(tmp_path: Path, operation: str, good: int) -> None:
    seen: list[str] = []

    def before(now: str) -> None:
        seen.append(now)
        if seen.count(operation) > good:
            raise broken(errno.ENOSPC)

    making = builder(tmp_path / "table", FORMAT, Watched(before))
    with pytest.raises(OSError, match="No space") as caught:  # noqa: PT012
        making.add(numbered(20_000))
        making.finish()
    assert caught.value.errno == errno.ENOSPC
    making.abandon()
    assert not (tmp_path / "table").exists()


def test_a_table_is_synced_before_it_is_read_back(tmp_path: Path) -> None:
    done: list[str] = []
    making = builder(tmp_path / "table", FORMAT, Watched(done.append))
    making.add(ROWS)
    making.finish()
    assert done == ["append", "sync", "open_read"]
