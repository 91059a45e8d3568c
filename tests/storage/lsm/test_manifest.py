"""How the tree becomes durable: edits, whole trees, ``CURRENT``, and the space kept in reserve."""

from __future__ import annotations

import errno

import pytest

from dynamokv.errors import DiskFull, StorageError
from dynamokv.storage.lsm.manifest import RESERVE_BYTES, Manifest, current_text
from dynamokv.storage.lsm.manifest_recovery import FoundManifest, recover_manifest
from dynamokv.storage.lsm.names import CURRENT, RESERVE
from dynamokv.storage.lsm.tree import Edit, TableMeta, Tree
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Crash, Fault, Operation
from dynamokv.testing.disk_loss import Kill, PowerCut
from tests.storage.lsm.stores import names_of, salts
from tests.storage.lsm.workload import STORE

CUT = PowerCut(contents=0.0, names=0.0)
"""Only what was synced is left."""


def meta(number: int) -> TableMeta:
    key = b"%04d" % number
    return TableMeta(number, 100, bytes(16), 5, 0, key, key, number, number)


def adding(number: int) -> Edit:
    return Edit(added=((1, meta(number)),), next_number=number + 1)


def tree_of(*numbers: int) -> Tree:
    tree = Tree()
    for number in numbers:
        tree = tree.apply(adding(number))
    return tree


def new_manifest(disk: SimulatedDisk, bytes_max: int = 1 << 20) -> Manifest:
    disk.make_dir(STORE)
    return Manifest(disk, STORE, salts(), bytes_max)


def begun(disk: SimulatedDisk, tree: Tree | None = None, bytes_max: int = 1 << 20) -> Manifest:
    manifest = new_manifest(disk, bytes_max)
    manifest.begin(1, tree or Tree())
    return manifest


def recovered(disk: SimulatedDisk) -> FoundManifest:
    return recover_manifest(disk, STORE, disk.list_dir(STORE))


def test_an_edit_is_durable_when_append_returns() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    for number in range(1, 20):
        manifest.append(adding(number))
        found = recovered(disk.survivor(CUT))
        assert found.tree == tree_of(*range(1, number + 1))
        assert (found.number, found.sequence, found.faults) == (1, number + 1, [])
        assert found.size_bytes == manifest.writer.size_bytes


def test_a_new_manifest_says_all_and_takes_the_place_of_the_old_one() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    manifest.append(adding(1))
    manifest.begin(2, tree_of(1))
    assert names_of(disk) == [CURRENT, "manifest-00000002"]
    manifest.append(adding(3))
    found = recovered(disk.survivor(CUT))
    assert found.tree == tree_of(1, 3)
    assert (found.number, found.sequence) == (2, 2)


def test_a_manifest_is_gone_on_with() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk, tree_of(1))
    manifest.append(adding(2))
    manifest.close()
    disk.put(STORE / "manifest-00000001", disk.read(STORE / "manifest-00000001") + b"torn")
    found = recovered(disk)
    assert found.cut_bytes == 4
    manifest = new_manifest(disk)
    manifest.go_on_in(found.number, found.salt, found.size_bytes, found.sequence)
    manifest.append(adding(3))
    found = recovered(disk.survivor(CUT))
    assert (found.tree, found.cut_bytes, found.faults) == (tree_of(1, 2, 3), 0, [])


def test_it_wants_a_rewrite_when_it_has_grown_to_twice_its_tree() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk, bytes_max=500)
    sizes = []
    for number in range(1, 200):
        manifest.append(adding(number))
        if manifest.wants_rewrite:
            sizes.append(manifest.writer.size_bytes)
            manifest.begin(1000 + number, tree_of(*range(1, number + 1)))
            assert not manifest.wants_rewrite
    # What is written altogether stays in proportion.
    assert 3 < len(sizes) < 12
    assert sizes == sorted(sizes)
    manifest.close()
    found = recovered(disk)
    size_bytes = found.size_bytes
    manifest = new_manifest(disk, bytes_max=500)
    manifest.go_on_in(found.number, found.salt, size_bytes, found.sequence)
    assert not manifest.wants_rewrite


@pytest.mark.parametrize("loss", [Kill(), CUT, PowerCut(1.0, 0.0), PowerCut(0.0, 1.0)], ids=str)
def test_a_crash_at_every_call_of_a_rewrite(loss: Kill | PowerCut) -> None:
    at = 0
    while True:
        disk = SimulatedDisk()
        manifest = begun(disk)
        manifest.append(adding(1))
        at += 1
        disk.crash_at = len(disk.trace) + at
        try:
            manifest.begin(2, tree_of(1))
        except Crash:
            found = recovered(disk.survivor(loss))
            assert (found.tree, found.faults) == (tree_of(1), [])
        else:
            break
    assert at > 8


# A disk that fails.


@pytest.mark.parametrize("operation", [Operation.OPEN_APPEND, Operation.APPEND, Operation.SYNC])
@pytest.mark.parametrize("name", ["manifest-00000002", CURRENT])
def test_a_rewrite_that_fails_leaves_the_old_one_in_use(operation: Operation, name: str) -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    disk.faults = [Fault(operations=[operation], name=name, error=errno.ENOSPC)]
    with pytest.raises(OSError, match="No space"):
        manifest.begin(2, tree_of(1))
    disk.faults = []
    manifest.append(adding(3))
    # It must not be taken for the newest, should CURRENT be lost.
    assert names_of(disk) == [CURRENT, "manifest-00000001"]
    assert recovered(disk.survivor(CUT)).tree == tree_of(3)
    manifest.begin(4, tree_of(3))
    assert recovered(disk.survivor(CUT)).tree == tree_of(3)


@pytest.mark.parametrize("shown", [True, False])
def test_a_rename_of_current_that_may_have_happened_is_the_end(shown: bool) -> None:
    """It failed, and yet the new one may be named: edits to either could be lost."""
    disk = SimulatedDisk()
    manifest = begun(disk)
    disk.faults = [
        Fault(operations=[Operation.REPLACE], name=CURRENT, done=float(shown)),
        Fault(operations=[Operation.READ], name=CURRENT, where=lambda call: not shown),
    ]
    with pytest.raises(StorageError, match="making a manifest the current one failed"):
        manifest.begin(2, tree_of(1))
    disk.faults = []
    with pytest.raises(StorageError, match="takes no writes"):
        manifest.append(adding(3))
    assert {"manifest-00000001", "manifest-00000002"} <= set(names_of(disk))
    assert recovered(disk).faults == []


def test_a_rename_of_current_that_did_not_happen_is_tried_again() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    disk.faults = [Fault(operations=[Operation.REPLACE], name=CURRENT)]
    with pytest.raises(OSError, match="Input/output"):
        manifest.begin(2, tree_of(1))
    disk.faults = []
    manifest.append(adding(3))
    assert disk.read(STORE / CURRENT) == current_text(1)
    assert recovered(disk.survivor(CUT)).tree == tree_of(3)


def test_a_directory_that_cannot_be_synced_behind_current_is_the_end() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    disk.faults = [Fault(operations=[Operation.SYNC_DIR], skip=1)]
    with pytest.raises(StorageError, match="making a manifest the current one failed"):
        manifest.begin(2, tree_of(1))


def test_an_edit_that_may_be_on_the_disk_is_the_end() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    disk.faults = [Fault(operations=[Operation.SYNC])]
    with pytest.raises(StorageError, match="a sync failed") as caught:
        manifest.append(adding(1))
    assert not isinstance(caught.value, DiskFull)
    disk.faults = []
    with pytest.raises(StorageError, match="takes no writes"):
        manifest.append(adding(2))


# The reserve.


def full(disk: SimulatedDisk) -> None:
    disk.capacity_bytes = disk.used_bytes()


def test_the_reserve_is_used_when_the_disk_is_full_and_made_again_later() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    manifest.keep_reserve()
    assert len(disk.read(STORE / RESERVE)) == RESERVE_BYTES
    full(disk)
    for number in range(1, 200):
        manifest.append(adding(number))
    assert RESERVE not in names_of(disk)
    assert recovered(disk.survivor(CUT)).tree == tree_of(*range(1, 200))
    manifest.keep_reserve()
    assert RESERVE not in names_of(disk)
    disk.capacity_bytes = None
    manifest.keep_reserve()
    assert len(disk.read(STORE / RESERVE)) == RESERVE_BYTES


def test_without_a_reserve_an_edit_is_refused_and_the_next_may_be_made() -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    full(disk)
    with pytest.raises(DiskFull):
        manifest.append(adding(1))
    disk.capacity_bytes = None
    manifest.append(adding(2))
    assert recovered(disk.survivor(CUT)).tree == tree_of(2)


def test_a_reserve_that_cannot_be_had_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    disk = SimulatedDisk()
    manifest = begun(disk)
    disk.faults = [Fault(operations=[Operation.APPEND], name=RESERVE)]
    manifest.keep_reserve()
    assert "no space kept in reserve" in caplog.text
    assert names_of(disk) == [CURRENT, "manifest-00000001"]
