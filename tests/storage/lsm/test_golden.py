"""The bytes of logs and manifests, held still by golden files and shown by ``docs/formats``; and
that files of a newer version are refused, whatever they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynamokv.errors import CorruptionError, StorageError
from dynamokv.ports import Row
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.framing import FileKind
from dynamokv.storage.lsm.inspect import inspect
from dynamokv.storage.lsm.manifest import Manifest, current_text
from dynamokv.storage.lsm.manifest_recovery import recover_manifest
from dynamokv.storage.lsm.names import CURRENT
from dynamokv.storage.lsm.tree import Edit, Lost, TableMeta, Tree
from dynamokv.testing.disk import SimulatedDisk
from tests.storage.lsm.stores import (
    WAL,
    NoLock,
    closed_store,
    listing,
    names_of,
    newer,
    open_store,
    rows_of,
    salts,
)
from tests.storage.lsm.story import opened, story
from tests.storage.lsm.workload import STORE

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"

BATCHES: list[list[Row]] = [
    [(b"apple", b"red"), (b"pear", b"")],
    [(b"apple", None)],
]

FRUIT = TableMeta(3, 300, bytes(range(16)), 2, 1, b"apple", b"pear", 1, 2)
NUTS = TableMeta(5, 200, bytes(range(16, 32)), 1, 0, b"cashew", b"walnut", 3, 3, ((b"d", b"e"),))
TREE = Tree().apply(Edit(added=((1, FRUIT),), log_number=2, sequence=3, next_number=5))
EDITS = [
    Edit(added=((0, NUTS),), log_number=4, sequence=4, next_number=6),
    Edit(
        removed=(3,),
        next_number=7,
        lost=(Lost("table-00000003", b"apple", b"pear\0", "it is missing"),),
    ),
    Edit(healed=((b"apple", b"pear\0"),)),
]


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def made_log() -> bytes:
    disk = SimulatedDisk()
    engine = LSMEngine(STORE, files=disk, salt=salts(), lock=NoLock, background=False)
    for batch in BATCHES:
        engine.apply(batch, sync=True)
    engine.close()
    return listing(disk)[WAL]


def made_manifest() -> bytes:
    disk = SimulatedDisk()
    disk.make_dir(STORE)
    manifest = Manifest(disk, STORE, salts())
    manifest.begin(4, TREE)
    for edit in EDITS:
        manifest.append(edit)
    manifest.close()
    return listing(disk)["manifest-00000004"]


def test_a_log_has_the_golden_bytes() -> None:
    assert made_log() == golden("wal-v1.bin")


def test_a_manifest_has_the_golden_bytes() -> None:
    assert made_manifest() == golden("manifest-v1.bin")


def test_the_golden_log_is_read() -> None:
    disk = closed_store([])
    disk.put(STORE / WAL, golden("wal-v1.bin"))
    engine = open_store(disk)
    assert not engine.forgot
    assert rows_of(engine) == {b"pear": b""}


def test_the_golden_manifest_is_read() -> None:
    disk = SimulatedDisk()
    disk.make_dir(STORE)
    disk.put(STORE / "manifest-00000004", golden("manifest-v1.bin"))
    disk.put(STORE / CURRENT, current_text(4))
    found = recover_manifest(disk, STORE, disk.list_dir(STORE))
    assert (found.faults, found.cut_bytes, found.sequence) == ([], 0, 4)
    assert found.tree.levels[0] == (NUTS,)
    assert found.tree.tables() == [NUTS]
    assert (found.tree.log_number, found.tree.sequence, found.tree.next_number) == (4, 4, 7)
    assert found.tree.lost == ()


@pytest.mark.parametrize("name", ["wal", "manifest"])
def test_the_format_page_shows_the_golden_bytes(name: str) -> None:
    page = (ROOT / "docs" / "formats" / f"{name}.md").read_text("utf-8")
    blocks = re.findall(r"```hex\n(.*?)```", page, re.DOTALL)
    shown = b"".join(bytes.fromhex(re.sub(r"#.*", "", block)) for block in blocks)
    assert shown == golden(f"{name}-v1.bin")


def test_salt_differs_between_files(tmp_path: Path) -> None:
    seen = set()
    for number in range(5):
        LSMEngine(tmp_path / str(number), background=False).close()
        for path in (tmp_path / str(number)).glob("*-*"):
            seen.add(path.read_bytes()[12:20])
    assert len(seen) == 10


# The ratchet.


@pytest.mark.parametrize("kind", FileKind, ids=lambda kind: kind.name.lower())
def test_a_file_of_a_newer_version_is_refused_by_name(kind: FileKind, tmp_path: Path) -> None:
    """By the library that is too old for it. Also each of several, and where others are damaged:
    nothing is repaired around it."""
    for damaged in (False, True):
        for name in names_of(story().disk, kind.name.lower()):
            disk = story().closed()
            if damaged and kind is not FileKind.WAL:
                disk.flip(STORE / names_of(disk, "wal")[0], 0)
            disk.put(STORE / name, newer(listing(disk)[name], kind))
            before = listing(disk)
            with pytest.raises(CorruptionError, match=rf"{name}: .*version 2 .*: upgrade dynamokv"):
                opened(disk)
            assert listing(disk) == before
            (tmp_path / name).write_bytes(before[name])
            with pytest.raises(CorruptionError, match=rf"{name}: .*: upgrade dynamokv"):
                list(inspect(tmp_path / name))


def test_an_orphan_of_a_newer_version_is_refused_by_name() -> None:
    disk = story().closed()
    disk.lose(STORE / CURRENT)
    disk.lose(STORE / names_of(disk, "manifest")[0])
    name = names_of(disk, "table")[1]
    disk.put(STORE / name, newer(listing(disk)[name], FileKind.TABLE))
    before = listing(disk)
    with pytest.raises(StorageError, match=rf"{name}: .*version 2 .*: upgrade dynamokv"):
        opened(disk)
    assert listing(disk) == before
