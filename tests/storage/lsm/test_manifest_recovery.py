"""Manifests that were cut, damaged, lost: which tree is left, and what is said about it."""

from __future__ import annotations

from typing import Final

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.storage.lsm.framing import HEADER_BYTES, FileKind, RecordType, encode_header
from dynamokv.storage.lsm.manifest import current_text, manifest_pieces
from dynamokv.storage.lsm.manifest_codec import encode_edit
from dynamokv.storage.lsm.manifest_recovery import FoundManifest, recover_manifest
from dynamokv.storage.lsm.names import CURRENT
from dynamokv.storage.lsm.tree import Edit, Tree
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from tests.storage.lsm.stores import flipped, newer, record, records
from tests.storage.lsm.test_manifest import adding, meta, tree_of
from tests.storage.lsm.workload import STORE

FIRST: Final = tree_of(1, 2)
EDITS: Final = [adding(3), Edit(removed=(1,), added=((1, meta(4)),), next_number=5), adding(5)]
NAME: Final = "manifest-00000009"


def manifest_of(tree: Tree, edits: list[Edit], salt: bytes = b"12345678") -> bytes:
    data = b"".join(manifest_pieces(tree, salt))
    for sequence, edit in enumerate(edits, 1):
        data += record(data, sequence, encode_edit(edit), RecordType.EDIT)
    return data


DATA: Final = manifest_of(FIRST, EDITS)


def trees(edits: list[Edit]) -> Tree:
    tree = FIRST
    for edit in edits:
        tree = tree.apply(edit)
    return tree


def disk_with(data: bytes, **others: bytes) -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir(STORE)
    disk.put(STORE / CURRENT, current_text(9))
    disk.put(STORE / NAME, data)
    for number, content in others.items():
        disk.put(STORE / number.replace("_", "-"), content)
    return disk


def recover(disk: SimulatedDisk) -> FoundManifest:
    before = disk.contents()
    found = recover_manifest(disk, STORE, disk.list_dir(STORE))
    assert disk.contents() == before
    return found


def reasons(found: FoundManifest) -> list[str]:
    return [fault.reason for fault in found.faults]


def test_a_good_manifest_is_all_of_its_edits() -> None:
    found = recover(disk_with(DATA))
    assert found.tree == trees(EDITS)
    assert (found.number, found.size_bytes, found.sequence) == (9, len(DATA), 4)
    assert (found.cut_bytes, found.faults) == (0, [])
    assert found.known_below == 6
    assert found.removed == {1}
    assert not found.could_have_had(1)
    assert not found.could_have_had(5)
    assert found.could_have_had(6)


def test_a_directory_without_one() -> None:
    disk = SimulatedDisk()
    disk.make_dir(STORE)
    assert recover(disk) == FoundManifest()


def test_a_cut_at_every_byte_is_an_edit_that_was_not_made() -> None:
    ends = [item.end for item in records(DATA)]
    for size in range(len(DATA)):
        found = recover(disk_with(DATA[:size]))
        whole = sum(end <= size for end in ends)
        if whole:
            assert found.tree == trees(EDITS[: whole - 1])
            assert (found.size_bytes, found.cut_bytes) == (ends[whole - 1], size - ends[whole - 1])
            assert found.faults == []
            assert found.known_below == found.tree.next_number
        else:
            assert (found.tree, found.number) == (Tree(), 0)
            assert reasons(found) == ["it does not begin with a tree"]


def test_every_flipped_bit() -> None:
    places = records(DATA)
    for bit in range(len(DATA) * 8):
        found = recover(disk_with(flipped(DATA, bit)))
        hit = [item.sequence for item in places if item.offset <= bit // 8 < item.end]
        if hit == [3]:
            # It looks like a torn tail; whether it is one, the files will tell.
            assert (found.tree, found.faults) == (trees(EDITS[:2]), [])
            assert found.cut_bytes == places[3].end - places[3].offset
        elif hit == [0] or 12 <= bit // 8 < 20:
            assert (found.tree, found.number) == (Tree(), 0)
            assert reasons(found) == ["it does not begin with a tree"]
        elif hit:
            lost = EDITS[hit[0] - 1]
            assert found.tree == trees([edit for edit in EDITS if edit is not lost])
            assert len(found.faults) == 2
            # Tables from here on may have been the lost edit's.
            assert found.known_below == trees(EDITS[: hit[0] - 1]).next_number
        else:
            assert found.tree == trees(EDITS)
            assert reasons(found) == ["the header fails its checksum"]
            assert found.known_below == 6


def test_a_lost_edit_makes_others_not_fit() -> None:
    """Each counts that fits."""
    second = Edit(removed=(3,), added=((1, meta(6)),), next_number=7)
    data = manifest_of(FIRST, [adding(3), second, adding(7)])
    place = records(data)[1]
    found = recover(disk_with(flipped(data, place.offset * 8)))
    assert found.tree == tree_of(1, 2, 7)
    assert "tables [3] are removed and were not there" in reasons(found)
    assert found.known_below == 3
    # What it took away is known all the same.
    assert not found.could_have_had(3)
    assert found.could_have_had(6)


def test_a_repeated_edit_is_not_made_again() -> None:
    place = records(DATA)[1]
    found = recover(disk_with(DATA + DATA[place.offset : place.end]))
    assert found.tree == trees(EDITS)
    assert reasons(found) == ["edit 1 stands where 4 belongs"]


@pytest.mark.parametrize(
    ("payload", "type", "reason"),
    [
        (b"poison", RecordType.EDIT, "cannot be read"),
        (b"\xa0", RecordType.BATCH, "a record of type 1 in a manifest"),
    ],
)
def test_a_poison_edit_costs_itself_only(payload: bytes, type: RecordType, reason: str) -> None:
    """A sound checksum over bytes that are no edit: some version had a bug."""
    data = DATA + record(DATA, 4, payload, type)
    data += record(data, 5, encode_edit(adding(6)), RecordType.EDIT)
    found = recover(disk_with(data))
    assert found.tree == trees([*EDITS, adding(6)])
    assert len(found.faults) == 1
    assert reason in found.faults[0].reason
    header = encode_header(FileKind.MANIFEST, b"12345678", 0)
    first = header + record(header, 0, payload, type) + DATA[records(DATA)[1].offset :]
    assert recover(disk_with(first)).number == 0


def test_an_edit_of_a_newer_library_is_refused_by_name() -> None:
    data = DATA + record(DATA, 4, b"\xa1\x18\x63\x01", RecordType.EDIT)
    with pytest.raises(CorruptionError, match=rf"{NAME}: .*fields \[99\].*: upgrade dynamokv"):
        recover(disk_with(data))


def test_a_manifest_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(CorruptionError, match=rf"/store/{NAME}: .*version 2 .*: upgrade dynamokv"):
        recover(disk_with(newer(DATA, FileKind.MANIFEST)))


# Which manifest counts.

OTHER: Final = manifest_of(tree_of(7), [], b"another.")


def test_the_one_that_current_names_counts() -> None:
    """A higher number was never put in use, a lower one is left over."""
    found = recover(disk_with(DATA, manifest_00000008=OTHER, manifest_00000010=OTHER))
    assert (found.tree, found.number, found.faults) == (trees(EDITS), 9, [])


@pytest.mark.parametrize("current", [None, b"", b"nonsense", b"wal-00000009\n", b"manifest-9\n"])
def test_without_current_the_newest_counts(current: bytes | None) -> None:
    disk = disk_with(DATA, manifest_00000008=OTHER)
    disk.lose(STORE / CURRENT)
    if current is not None:
        disk.put(STORE / CURRENT, current)
    found = recover(disk)
    assert (found.tree, found.number) == (trees(EDITS), 9)
    assert [fault.file for fault in found.faults] == [CURRENT]


def test_current_that_cannot_be_read() -> None:
    disk = disk_with(DATA)
    disk.faults = [Fault(operations=[Operation.READ], name=CURRENT)]
    found = recover(disk)
    assert found.tree == trees(EDITS)
    assert reasons(found) == ["it cannot be read: Input/output error"]


@pytest.mark.parametrize("others", [{}, {"manifest_00000008": OTHER}], ids=["alone", "another"])
def test_current_names_what_is_not_there(others: dict[str, bytes]) -> None:
    disk = disk_with(DATA, **others)
    disk.lose(STORE / NAME)
    found = recover(disk)
    assert found.number == (8 if others else 0)
    assert found.tree == (tree_of(7) if others else Tree())
    assert [(fault.file, fault.reason) for fault in found.faults] == [
        (NAME, "it does not begin with a tree")
    ]


def test_where_the_one_in_use_is_damaged_an_older_one_counts() -> None:
    damaged = flipped(DATA, HEADER_BYTES * 8)
    found = recover(disk_with(damaged, manifest_00000008=OTHER))
    assert (found.tree, found.number) == (tree_of(7), 8)
    assert [fault.file for fault in found.faults] == [NAME]
    assert found.known_below == 8


def test_a_manifest_that_may_not_be_read_is_left_alone() -> None:
    disk = disk_with(DATA)
    disk.faults = [Fault(operations=[Operation.READ], name=NAME, error=13)]
    with pytest.raises(OSError, match="Permission denied"):
        recover(disk)
