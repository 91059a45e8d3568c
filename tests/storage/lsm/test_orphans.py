"""Tables that no manifest speaks of: what they say, and where they belong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamokv.errors import CorruptionError
from dynamokv.ports import Row
from dynamokv.storage.lsm.framing import FileKind
from dynamokv.storage.lsm.jobs import Merge
from dynamokv.storage.lsm.names import build_name
from dynamokv.storage.lsm.orphans import Orphan, adopt, describe
from dynamokv.storage.lsm.tree import Edit, TableMeta, Tree
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Fault, Operation
from tests.storage.lsm.job_files import TAG, built, perform, write_table
from tests.storage.lsm.stores import flipped, newer
from tests.storage.lsm.workload import STORE

ROWS: list[Row] = [(b"%02d" % n, b"x" * n or None) for n in range(30)]
TABLE = STORE / "table-00000007"


def disk_with_table() -> tuple[SimulatedDisk, TableMeta]:
    disk = SimulatedDisk()
    disk.make_dir(STORE)
    return disk, write_table(disk, STORE, 7, ROWS, (3, 9))


def test_a_table_says_what_the_manifest_would() -> None:
    disk, meta = disk_with_table()
    assert describe(disk, STORE, 7) == Orphan(meta, ())
    older = write_table(disk, STORE, 5, ROWS[:9], (1, 2))
    merge = Merge(((meta,), (older,)), level=1, keep_deletions=False, table_bytes=0)
    [merged] = built(perform(merge, disk, STORE)).tables
    disk.replace(STORE / build_name(TAG, 0), STORE / "table-00000008")
    found = describe(disk, STORE, 8)
    assert found is not None
    assert found.meta == replace(merged, number=8)
    assert set(found.inputs) == {5, 7}


def test_what_cannot_be_read_says_nothing() -> None:
    disk, _ = disk_with_table()
    data = disk.read(TABLE)
    for damaged in (b"", data[:-1], data[:100], bytes(len(data)), flipped(data, 8 * len(data) - 9)):
        disk.put(TABLE, damaged)
        assert describe(disk, STORE, 7) is None
    disk.put(TABLE, data)
    for operation in (Operation.READ, Operation.OPEN_READ, Operation.READ_AT):
        disk.faults = [Fault(operations=[operation])]
        assert describe(disk, STORE, 7) is None
        assert all(file.closed for file in disk.open_files)
    disk.faults = []
    disk.lose(TABLE)
    assert describe(disk, STORE, 7) is None


@pytest.mark.parametrize("operation", [Operation.READ, Operation.OPEN_READ, Operation.READ_AT])
def test_what_may_be_readable_later_is_no_answer(operation: Operation) -> None:
    disk, _ = disk_with_table()
    disk.faults = [Fault(operations=[operation], error=13)]
    with pytest.raises(OSError, match="Permission denied"):
        describe(disk, STORE, 7)


def test_a_newer_version_is_refused() -> None:
    disk, _ = disk_with_table()
    disk.put(TABLE, newer(disk.read(TABLE), FileKind.TABLE))
    with pytest.raises(CorruptionError, match=r"table-00000007: .* version 2"):
        describe(disk, STORE, 7)


# Where they belong.


def meta(number: int, keys: str = "az", newest: int = 0) -> TableMeta:
    first, last = keys.encode()[:1], keys.encode()[1:]
    newest = newest or number
    return TableMeta(number, 100, bytes(16), 5, 0, first, last, newest, newest)


def orphan(number: int, *inputs: int, keys: str = "az", newest: int = 0) -> Orphan:
    return Orphan(meta(number, keys, newest), inputs)


def tree_of(*levels: list[TableMeta]) -> Tree:
    return Tree().apply(
        Edit(added=tuple((n, table) for n, level in enumerate(levels) for table in level))
    )


def numbers(tree: Tree) -> list[list[int]]:
    """Of the upper levels; the others are empty."""
    assert not any(tree.levels[4:])
    return [[table.number for table in level] for level in tree.levels[:4]]


def test_a_lost_flush_is_on_top() -> None:
    tree, replaced = adopt(tree_of([meta(1), meta(2)], [meta(3)]), [orphan(9)], {1, 2, 3, 9})
    assert numbers(tree) == [[9, 2, 1], [3], [], []]
    assert replaced == set()


def test_a_lost_merge_takes_the_place_of_its_inputs() -> None:
    tree, replaced = adopt(
        tree_of([meta(5), meta(4)], [meta(3)], [meta(1, "am"), meta(2, "nz")]),
        [orphan(9, 1, 2, 3, newest=3)],
        {4, 5, 9},
    )
    assert numbers(tree) == [[5, 4], [], [9], []]
    assert replaced == {1, 2, 3}


def test_of_several_results_each_does() -> None:
    tree, replaced = adopt(
        tree_of([], [meta(3)], [meta(1, "az")]),
        [orphan(8, 1, 3, keys="am"), orphan(9, 1, 3, keys="nz")],
        {8, 9},
    )
    assert numbers(tree) == [[], [], [8, 9], []]
    assert replaced == {1, 3}


def test_where_one_input_is_gone_the_others_are_left_over() -> None:
    """A deletion may have taken back, in the result, what one of them still shows."""
    tree, replaced = adopt(tree_of([meta(2), meta(1)]), [orphan(9, 1, 2)], {1, 9})
    assert numbers(tree) == [[9], [], [], []]
    assert replaced == {1, 2}


def test_where_no_input_is_gone_the_result_adds_nothing() -> None:
    """It may be one of several, and the rows of the others are in the inputs only."""
    before = tree_of([meta(2), meta(1)])
    assert adopt(before, [orphan(9, 1, 2)], {1, 2, 9}) == (before, set())


def test_a_merge_of_a_merge() -> None:
    """Edits about both are lost. What the first one replaced went into the second as well."""
    tree, replaced = adopt(
        tree_of([meta(3)], [meta(1)], [meta(2)]),
        [orphan(8, 1, 3), orphan(9, 2, 8)],
        {1, 8, 9},
    )
    assert numbers(tree) == [[], [], [9], []]
    assert replaced == {1, 2, 3}


def test_without_any_tree_inputs_tell_what_is_old() -> None:
    tree, replaced = adopt(
        Tree(), [orphan(4), orphan(5), orphan(7, 1, 2), orphan(9, 4, 6, newest=6)], {4, 5, 7, 9}
    )
    assert numbers(tree) == [[7, 9, 5], [], [], []]
    assert replaced == set()


def test_a_place_that_is_taken_is_not_taken_twice() -> None:
    tree, replaced = adopt(
        tree_of([meta(4)], [meta(1, "ac"), meta(2, "kp")]), [orphan(9, 1, keys="az")], {2, 4, 9}
    )
    assert numbers(tree) == [[9, 4], [2], [], []]
    assert replaced == {1}
