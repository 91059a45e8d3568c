"""A store with flushes, merges and deletions behind it, at every moment of its life, to be damaged
and opened again; and what has to hold then."""

from __future__ import annotations

import random
from functools import cache

from dynamokv.ports import Row
from dynamokv.storage.lsm.engine import LSMEngine
from dynamokv.storage.lsm.manifest_codec import decode_edit
from dynamokv.storage.lsm.manifest_recovery import recover_manifest
from dynamokv.storage.lsm.names import CURRENT, RESERVE
from dynamokv.storage.lsm.tree import Edit, Tree
from dynamokv.testing.disk import SimulatedDisk
from dynamokv.testing.disk_faults import Call, Operation
from tests.storage.conformance import apply_to_dict
from tests.storage.lsm.stores import TINY, copy_of, listing, names_of, open_store, records, rows_of
from tests.storage.lsm.workload import STORE, Rows


class Story:
    """A store with flushes, merges and deletions behind it.

    Attributes:
        disk: after the last step, with the store still open.
        rows: what it holds.
        ever: all values of each key.
        moments: the disk and the rows after each step that ended in an edit of the manifest.
        removed: every table that was ever deleted.
    """

    def __init__(self, steps: int) -> None:
        self.disk = SimulatedDisk()
        self.disk.on_call = self._keep_removed
        self.rows: Rows = {}
        self.ever: dict[bytes, set[bytes | None]] = {}
        self.moments: list[tuple[SimulatedDisk, Rows, Edit]] = []
        self.removed: dict[str, bytes] = {}
        rng = random.Random(7)
        engine = open_store(self.disk, TINY)
        edits = 0
        for step in range(steps):
            batch: list[Row] = [
                (b"%03d" % rng.randrange(150), None if rng.random() < 0.3 else b"%d" % step * 4)
                for _ in range(4)
            ]
            engine.apply(batch, sync=True)
            apply_to_dict(self.rows, batch)
            for key, value in batch:
                self.ever.setdefault(key, {None}).add(value)
            found = records(listing(self.disk)[names_of(self.disk, "manifest")[0]])
            if len(found) != edits:
                edits = len(found)
                last = decode_edit(found[-1].payload)
                self.moments.append((copy_of(self.disk), dict(self.rows), last))

    def _keep_removed(self, call: Call) -> None:
        if call.operation is Operation.REMOVE and call.path.name.startswith("table"):
            self.removed[call.path.name] = self.disk.contents()[call.path]

    def closed(self) -> SimulatedDisk:
        return copy_of(self.disk)


@cache
def story() -> Story:
    return Story(150)


def manifest_of(disk: SimulatedDisk) -> str:
    [name] = names_of(disk, "manifest")
    return name


def tree_on(disk: SimulatedDisk) -> Tree:
    found = recover_manifest(disk, STORE, disk.list_dir(STORE))
    assert not found.faults
    return found.tree


def cut_last_edit(disk: SimulatedDisk) -> None:
    name = manifest_of(disk)
    disk.cut(STORE / name, records(listing(disk)[name])[-1].offset)


def opened(disk: SimulatedDisk) -> LSMEngine:
    return open_store(disk, TINY)


def check_repaired(disk: SimulatedDisk, rows: Rows) -> None:
    """It opens, says that it forgot and shows these rows; so does the next opening, which has
    nothing to say once that is taken in; and it takes writes, which are newer than all that is
    there."""
    engine = opened(disk)
    assert engine.forgot
    assert rows_of(engine) == rows
    engine.taken_in()
    engine.close()
    check_files(disk)
    engine = opened(disk)
    assert not engine.forgot
    assert engine.stats()["files_damaged"] == 0
    assert rows_of(engine) == rows
    later: list[Row] = [(key, b"later") for key in story().ever]
    engine.apply(later[::3], sync=True)
    engine.apply(later[1::3], sync=True)
    assert engine.chores.counters["flushes"] > 0
    engine.close()
    engine = opened(disk)
    assert rows_of(engine) == rows | dict(later[::3] + later[1::3])
    engine.close()


def check_files(disk: SimulatedDisk) -> None:
    """There is what the manifest refers to, and no more."""
    tables = {f"table-{meta.number:08d}" for meta in tree_on(disk).tables()}
    kept = {name for name in names_of(disk) if not name.endswith(".damaged")}
    logs = {name for name in kept if name.startswith("wal")}
    assert kept == tables | logs | {CURRENT, RESERVE, manifest_of_current(disk)}


def manifest_of_current(disk: SimulatedDisk) -> str:
    return listing(disk)[CURRENT].decode().strip()


def replaced_by(edit: Edit) -> set[int]:
    return set(edit.removed) - {meta.number for _, meta in edit.added}


def moments(kind: str) -> list[tuple[SimulatedDisk, Rows]]:
    """After a flush, or after a merge with a result; not after a move, which deletes nothing."""
    found = [
        (disk, rows)
        for disk, rows, edit in story().moments
        if (kind == "flush" and edit.log_number is not None)
        or (kind == "merge" and edit.added and replaced_by(edit))
    ]
    assert len(found) > 3
    return found
