"""The bytes on disk, held still by golden files and shown by ``docs/formats/log.md``."""

from __future__ import annotations

import re
from pathlib import Path

from dynamokv.ports import Row
from dynamokv.storage.log import LogEngine
from tests.storage.faulty import (
    FakeDisk,
    open_log,
    rows_of,
    salts,
)

GOLDEN = Path(__file__).parents[1] / "golden"
FORMAT_PAGE = Path(__file__).parents[2] / "docs" / "formats" / "log.md"

GOLDEN_BATCHES: list[list[Row]] = [
    [(b"apple", b"red"), (b"pear", b"")],
    [(b"apple", None)],
]


def golden_disk() -> FakeDisk:
    disk = FakeDisk()
    engine = open_log(disk)
    for batch in GOLDEN_BATCHES:
        engine.apply(batch, sync=True)
    engine.close()
    return disk


def golden_snapshot() -> bytes:
    disk = golden_disk()
    open_log(disk).checkpoint(Path("/copy"))
    return bytes(disk.names[Path("/copy/snapshot-00000000")].data)


def test_a_log_has_the_golden_bytes() -> None:
    assert golden_disk().listing() == {"log-00000001": (GOLDEN / "log-v1.bin").read_bytes()}


def test_a_snapshot_has_the_golden_bytes() -> None:
    assert golden_snapshot() == (GOLDEN / "snapshot-v1.bin").read_bytes()


def test_the_golden_bytes_are_read(tmp_path: Path) -> None:
    for name, golden in (("log-00000001", "log-v1.bin"), ("snapshot-00000000", "snapshot-v1.bin")):
        store = tmp_path / name
        store.mkdir()
        (store / name).write_bytes((GOLDEN / golden).read_bytes())
        engine = LogEngine(store, log_bytes_max=1 << 30, salt=salts())
        # A snapshot alone is a store that lost its log, and says so.
        assert engine.forgot == (name == "snapshot-00000000")
        assert rows_of(engine) == {b"pear": b""}
        engine.close()


def test_the_format_page_shows_the_golden_bytes() -> None:
    blocks = re.findall(r"```hex\n(.*?)```", FORMAT_PAGE.read_text("utf-8"), re.DOTALL)
    shown = [bytes.fromhex(re.sub(r"#.*", "", block)) for block in blocks]
    assert shown == [(GOLDEN / name).read_bytes() for name in ("log-v1.bin", "snapshot-v1.bin")]


def test_salt_differs_between_files(tmp_path: Path) -> None:
    seen = set()
    for n in range(5):
        engine = LogEngine(tmp_path / str(n), log_bytes_max=1 << 30)
        engine.close()
        seen.add((tmp_path / str(n) / "log-00000001").read_bytes()[12:20])
    assert len(seen) == 5
